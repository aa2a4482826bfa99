#include "schema/spec/witness_url.h"

#include <gtest/gtest.h>

namespace safekit::spec {
namespace {

const std::string kSecret(32, 'a');
const std::string kPrint(32, '7');

TEST(WitnessUrl, OfAWitnessOfOurOwn) {
  const auto url = parse_witness_url("https://10.0.0.9/" + kSecret + kPrint, WitnessKey::Needed);
  ASSERT_TRUE(url.has_value()) << url.error().what;
  EXPECT_EQ(*url, (WitnessUrl{.tls = true, .host = "10.0.0.9", .port = 9454, .secret = kSecret, .fingerprint = kPrint}));
  const auto v6 = parse_witness_url("http://[fd00::9]:99/" + kSecret + kPrint, WitnessKey::Needed);
  ASSERT_TRUE(v6.has_value()) << v6.error().what;
  EXPECT_EQ(*v6, (WitnessUrl{.tls = false, .host = "fd00::9", .port = 99, .secret = kSecret, .fingerprint = kPrint}));
}

TEST(WitnessUrl, OfEtcd) {
  const auto url = parse_witness_url("http://etcd1", WitnessKey::None);
  ASSERT_TRUE(url.has_value()) << url.error().what;
  EXPECT_EQ(*url, (WitnessUrl{.host = "etcd1", .port = 2379}));
  EXPECT_EQ(parse_witness_url("https://etcd1:1/", WitnessKey::None)->port, 1);
}

TEST(WitnessUrl, WhatIsNone) {
  for (const std::string& text : {std::string{}, std::string{"10.0.0.9"}, std::string{"https://"}, "https://10.0.0.9:0/" + kSecret + kPrint,
                                  "https://10.0.0.9:70000/" + kSecret + kPrint, "https://[fd00::9/" + kSecret + kPrint,
                                  "https://10.0.0.9/" + kSecret, "https://10.0.0.9/" + kSecret + kPrint + "7",
                                  "https://10.0.0.9:9454x/" + kSecret + kPrint, "https://user@h/" + kSecret + kPrint,
                                  "https://h/" + kSecret + std::string(32, 'G')}) {
    EXPECT_FALSE(parse_witness_url(text, WitnessKey::Needed).has_value()) << text;
  }
  EXPECT_FALSE(parse_witness_url("http://etcd1:2379/v3", WitnessKey::None).has_value());
}

}  // namespace
}  // namespace safekit::spec
