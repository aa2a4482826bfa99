#include "reconciler/api/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/api/request.h"
#include "schema/doc/json.h"

namespace safekit::api {
namespace {

using ::testing::HasSubstr;

PreflightPeer good_peer() {
  return {.node = "b",
          .answer_median = milliseconds{1},
          .answer_worst = milliseconds{2},
          .bytes_per_second = 100'000'000,
          .lans = {{.name = "default", .address = "10.0.0.2", .round_trip = Duration{200'000}, .port_open = true}}};
}
PreflightSelf self(const std::string& text) {
  doc::Problems problems{"test"};
  return {.node = "a", .tree = doc::parse_json(text, problems).at(0)};
}
PreflightSelf good_self() {
  return self(R"({"node":"a","kernel":"6.1.0","features":{"kernelNewEnough":true,"fuse":true,"controlGroups":true},)"
              R"("directories":[{"path":"/srv","syncMedianMs":1.5}]})");
}

TEST(Preflight, FindsNothingWhereNothingIsInTheWay) {
  const auto found = findings_of({good_peer()}, {good_self()}, seconds{1});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].level, PreflightFinding::Level::Fine);
  const doc::Node report = report_of({good_peer()}, {good_self()}, found, timeout_for({good_peer()}));
  EXPECT_EQ(text_at(report, {"recommendedTimeout"}), "300ms");
  EXPECT_EQ(text_at(report.find("peers")->children.at(0).find("networks")->children.at(0), {"roundTripMs"}), "0.200");
}

TEST(Preflight, ASlowNetworkNeedsALongerTimeout) {
  PreflightPeer peer = good_peer();
  peer.lans[0].round_trip = milliseconds{42};
  EXPECT_EQ(timeout_for({peer}), milliseconds{800});
  const auto found = findings_of({peer}, {good_self()}, milliseconds{300});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("at least 800ms"));
}

TEST(Preflight, NamesWhatIsInTheWayAndItsFix) {
  PreflightPeer peer = good_peer();
  peer.lans[0] = {.name = "default", .address = "10.0.0.2"};
  peer.clock_offset = -seconds{90};
  peer.bytes_per_second = 2'000'000;
  const auto found = findings_of({peer, {.node = "c", .problem = "no answer in time"}},
                                 {self(R"({"node":"a","kernel":"5.4.0","features":{"kernelNewEnough":false,"fuse":false},)"
                                       R"("directories":[{"path":"/srv","syncMedianMs":35.0},{"path":"/x","problem":"cannot"}]})")},
                                 std::nullopt);
  std::string all;
  for (const auto& finding : found) all += finding.text + "\n";
  for (const char* part : {"TCP 9453 of node b (10.0.0.2)", "answers no echo", "90.0 s behind", "2.0 MB/s to node b", "10 GB takes 83 minutes",
                           "node c cannot be asked: no answer in time", "kernel 5.4.0", "/dev/fuse", "no control groups", "takes 35.0 ms",
                           "cannot"}) {
    EXPECT_THAT(all, HasSubstr(part));
  }
}

}  // namespace
}  // namespace safekit::api
