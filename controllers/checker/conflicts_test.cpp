#include "controllers/checker/conflicts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/fake/fixed_interfaces.h"

namespace safekit::checker {
namespace {

constexpr MacAddress kOwn{2, 0, 0, 0, 0, 1};
constexpr MacAddress kOther{2, 0, 0, 0, 0, 2};
const IpAddress kVip = parse_ip("10.0.0.9").value();

std::vector<Interface> interfaces() {
  Interface eth{.index = 3, .name = "eth0", .mac = kOwn, .up = true, .carrier = true};
  eth.addresses = {{parse_ip("10.0.0.1").value(), 24}, {kVip, 24}};
  return {{.index = 1, .name = "lo", .up = true, .loopback = true, .addresses = {{parse_ip("127.0.0.1").value(), 8}}}, eth};
}
std::vector<std::pair<NodeName, IpAddress>> nodes() {
  return {{NodeName{"b"}, parse_ip("10.9.0.2").value()}, {NodeName{"b"}, parse_ip("10.0.0.2").value()}, {NodeName{"c"}, parse_ip("10.0.0.3").value()}};
}

TEST(ConflictQuestion, IsAskedWhereTheAddressIsAndOtherNodesAre) {
  const auto question = conflict_question(kVip, interfaces(), nodes());
  ASSERT_TRUE(question);
  EXPECT_EQ(question->index, 3);
  EXPECT_EQ(question->nodes.size(), 2U) << "the other network is asked about nothing";
  EXPECT_FALSE(conflict_question(parse_ip("10.0.0.7").value(), interfaces(), {}));
  EXPECT_FALSE(conflict_question(parse_ip("127.0.0.1").value(), interfaces(), {}));
}

TEST(Conflicts, ANodeOfTheClusterIsKnownByItsOwnAddress) {
  fake::FixedInterfaces net;
  std::optional<std::optional<Conflict>> said;
  find_conflict(net, *conflict_question(kVip, interfaces(), nodes()), [&](const std::optional<Conflict>& found) { said = found; });
  const auto answer = [&](const std::string& address, std::optional<MacAddress> owner) {
    EXPECT_FALSE(said);
    ASSERT_EQ(to_string(net.probes.back().address), address);
    const auto task = net.probes.back().answer;
    task(owner);
  };
  answer("10.0.0.9", kOther);
  answer("10.0.0.9", kOther);
  answer("10.0.0.2", MacAddress{2, 0, 0, 0, 0, 5});
  answer("10.0.0.3", kOther);
  ASSERT_TRUE(said);
  EXPECT_EQ(*said, (Conflict{.mac = kOther, .node = NodeName{"c"}}));
  EXPECT_EQ(net.announced.size(), 1U);
}

TEST(Conflicts, OneAnswerIsNone) {
  fake::FixedInterfaces net;
  std::optional<std::optional<Conflict>> said;
  find_conflict(net, *conflict_question(kVip, interfaces(), {}), [&](const std::optional<Conflict>& found) { said = found; });
  for (const auto& owner : {std::optional{kOther}, std::optional<MacAddress>{}}) {
    const auto task = net.probes.back().answer;  // it asks again meanwhile
    task(owner);
  }
  ASSERT_TRUE(said);
  EXPECT_FALSE(said->has_value());
}

}  // namespace
}  // namespace safekit::checker
