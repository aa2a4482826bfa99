#include "datapath/control/codec.h"

#include <gtest/gtest.h>

#include <random>

#include "datapath/control/one_of_each.h"

namespace safekit::control {
namespace {

TEST(ControlCodec, RoundTripTogetherAndByteByByte) {
  Bytes together;
  for (const Message& message : one_of_each()) {
    const Bytes bytes = encode(message);
    together.insert(together.end(), bytes.begin(), bytes.end());
    Bytes buffer;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto early = take_message(buffer);
      ASSERT_TRUE(early);
      ASSERT_FALSE(early->has_value());
      buffer.push_back(bytes[i]);
    }
    const auto back = take_message(buffer);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
  }
  for (const Message& message : one_of_each()) {
    const auto back = take_message(together);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
  }
  EXPECT_TRUE(together.empty());
}

TEST(ControlCodec, WhatALaterReleaseAddsIsIgnored) {
  for (const Message& message : one_of_each()) {
    Bytes buffer{3, 0, 0, 0, 99, 1, 2};  // a type that is not known
    Bytes longer = encode(message);
    longer.insert(longer.end(), {7, 8, 9});
    longer[0] = static_cast<std::uint8_t>(longer[0] + 3);
    ASSERT_GE(longer[0], 3) << "the test's own carry";
    buffer.insert(buffer.end(), longer.begin(), longer.end());
    const auto back = take_message(buffer);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
    EXPECT_TRUE(buffer.empty());
  }
}

/// Without the last bytes, which the release before did not send.
template <typename T>
void expect_read_without(std::size_t appended, const T& message) {
  Bytes old = encode(message);
  old.resize(old.size() - appended);
  old[0] = static_cast<std::uint8_t>(old[0] - appended);
  const auto back = take_message(old);
  ASSERT_TRUE(back && back->has_value());
  EXPECT_EQ(std::get<T>(**back), message);
}

TEST(ControlCodec, WhatTheReleaseBeforeSaysIsRead) {
  constexpr std::size_t kIdlePoll = 1;
  constexpr std::size_t kLeases = 1 + 8 + 4 + kIdlePoll;
  expect_read_without(1, Report{.order = 7, .outside_last = "x", .bytes_done = 20});
  expect_read_without(7 * 8 + 2 + 1, Report{.order = 7, .outside_last = "x"});
  expect_read_without(2, Want{.order = 7, .pairing = 11});
  expect_read_without(kIdlePoll, Configure{.module = "AM", .port = 3, .leased = true});
  expect_read_without(kLeases, Configure{.module = "AM", .port = 3, .silence = seconds{1}});
  expect_read_without(kLeases + 8, Configure{.module = "AM", .port = 3, .connections = 2});
  expect_read_without(kLeases + 1 + 4 + 8, Configure{.module = "AM", .port = 3});
}

TEST(ControlCodec, MutatedNeverCrashes) {
  std::mt19937 random{7};
  for (const Message& message : one_of_each()) {
    for (int round = 0; round < 2000; ++round) {
      Bytes bytes = encode(message);
      for (int change = 0; change < 3; ++change) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
      (void)take_message(bytes);  // any answer is fine, a crash is not
    }
  }
}

}  // namespace
}  // namespace safekit::control
