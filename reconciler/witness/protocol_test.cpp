#include "reconciler/witness/protocol.h"

#include <gtest/gtest.h>

namespace safekit::witness {
namespace {

TEST(WitnessProtocol, QuestionsComeBack) {
  const LeaseAsk ask{.name = "safekit/0123456789abcdef/db-1", .holder = "node_1", .id = "00ff", .length = milliseconds{2500}};
  const auto acquire = parse_acquire(to_body(ask));
  ASSERT_TRUE(acquire.has_value()) << acquire.error().what;
  EXPECT_EQ(acquire->name, ask.name);
  EXPECT_EQ(acquire->holder, "node_1");
  EXPECT_EQ(acquire->id, "00ff");
  EXPECT_EQ(acquire->length, milliseconds{2500});
  const auto release = parse_release(to_body(ask));
  ASSERT_TRUE(release.has_value()) << release.error().what;
  EXPECT_EQ(release->name + " " + release->id, ask.name + " 00ff");
}

TEST(WitnessProtocol, AnswersComeBack) {
  const auto granted = parse_reply(to_body(LeaseBook::Answer{.granted = true, .holder = "a", .id = "7", .length = seconds{10}}));
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(*granted, (LeaseReply{.granted = true, .holder = "a", .id = "7", .length = seconds{10}}));
  const auto refused = parse_reply(to_body(LeaseBook::Answer{.holder = "b"}));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(*refused, (LeaseReply{.holder = "b", .detail = "'b' holds the lease"}));
  const auto closed = parse_reply(to_body(LeaseBook::Answer{}));
  ASSERT_TRUE(closed.has_value());
  EXPECT_TRUE(!closed->granted && closed->holder.empty());
}

TEST(WitnessProtocol, WhatIsNoQuestion) {
  const std::string fine = R"({"name":"m","holder":"a","lengthMs":1000})";
  ASSERT_TRUE(parse_acquire(fine).has_value());
  for (const std::string& body :
       {std::string{}, std::string{"[]"}, std::string{"{}"}, std::string{R"({"name":"m","holder":"a"})"},
        std::string{R"({"name":"m","holder":"a","lengthMs":999})"}, std::string{R"({"name":"m","holder":"a","lengthMs":3600001})"},
        std::string{R"({"name":"m","holder":"a","lengthMs":1e4})"}, std::string{R"({"name":"m","holder":"a","lengthMs":"5000"})"},
        std::string{R"({"name":"m\n","holder":"a","lengthMs":1000})"}, std::string{R"({"name":"m","holder":"a b","lengthMs":1000})"},
        std::string{R"({"name":"m","holder":"a","id":"x y","lengthMs":1000})"},
        R"({"name":")" + std::string(kNameBytesMax + 1, 'n') + R"(","holder":"a","lengthMs":1000})", fine + fine}) {
    EXPECT_FALSE(parse_acquire(body).has_value()) << body;
  }
  EXPECT_FALSE(parse_release(R"({"name":"m"})").has_value());
}

TEST(WitnessProtocol, WhatIsNoAnswer) {
  for (const std::string body :
       {"", "<html>", "{}", R"({"granted":1})", R"({"granted":true,"id":"7"})", R"({"granted":true,"lengthMs":1000})",
        R"({"granted":true,"id":"7","lengthMs":0})", R"({"granted":true,"id":"7","lengthMs":-5})",
        R"({"granted":false,"holder":"b\u001b"})"}) {
    const auto reply = parse_reply(body);
    ASSERT_FALSE(reply.has_value()) << body;
    EXPECT_EQ(reply.error().code, Code::Corrupt);
  }
}

}  // namespace
}  // namespace safekit::witness
