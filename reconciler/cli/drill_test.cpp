#include "reconciler/cli/drill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/api/request.h"
#include "schema/doc/json.h"

namespace safekit::cli {
namespace {

using ::testing::HasSubstr;

doc::Node tree(const std::string& text) {
  doc::Problems problems{"test"};
  return doc::parse_json(text, problems).at(0);
}
doc::Node status(const std::string& name, const std::string& role, const std::string& more = {}, const std::string& conditions = "[]") {
  return tree(R"({"nodes":[{"name":")" + name + R"(","local":true,"role":")" + role + R"(","readiness":"Ready","upToDate":true,)" +
              R"("replication":{"connected":true},"settings":{"failover":true})" + more + R"(},{"name":"x","local":false,"heartbeats":{"a":"up"}}],)" +
              R"("conditions":)" + conditions + "}");
}
constexpr const char* kMove = R"(,"lastMove":{"kind":"swap","began":"T2","milliseconds":1500,"phases":{"detect":0,"decide":1,"fence":700,"switch":99,"application":700}})";

TEST(Drill, NeedsAHealthyPair) {
  EXPECT_EQ(drill_refusal(status("a", "PRIM"), status("b", "SECOND")), "");
  EXPECT_THAT(drill_refusal(status("a", "ALONE"), status("b", "SECOND")), HasSubstr("a is not PRIM Ready"));
  doc::Node off = status("b", "SECOND");
  off.find("nodes")->children[0].find("settings")->find("failover")->text = "false";
  EXPECT_THAT(drill_refusal(status("a", "PRIM"), off), HasSubstr("failover is off on b"));
  doc::Node old = status("b", "SECOND");
  old.find("nodes")->children[0].find("upToDate")->text = "false";
  EXPECT_THAT(drill_refusal(status("a", "PRIM"), old), HasSubstr("copy of b is not up to date"));
  doc::Node cut = status("a", "PRIM");
  cut.find("nodes")->children[1].find("heartbeats")->children[0].text = "down";
  EXPECT_THAT(drill_refusal(cut, status("b", "SECOND")), HasSubstr("heartbeat a is down"));
  doc::Node lost = status("a", "PRIM");
  lost.find("nodes")->children[0].find("replication")->find("connected")->text = "false";
  EXPECT_THAT(drill_refusal(lost, status("b", "SECOND")), HasSubstr("not connected"));
  EXPECT_THAT(drill_refusal(status("a", "PRIM"), status("b", "SECOND", "", R"([{"type":"ConfigConflict","status":"True"}])")),
              HasSubstr("different revisions"));
  EXPECT_THAT(drill_refusal(status("a", "PRIM", "", R"([{"type":"Configured","status":"False","message":"why"}])"), status("b", "SECOND")),
              HasSubstr("not configured on a: why"));
}

TEST(Drill, KnowsThePairByWhatOneNodeSees) {
  const auto pair = drill_pair(tree(R"({"nodes":[{"name":"b","role":"SECOND","readiness":"Ready"},{"name":"a","role":"PRIM","readiness":"Ready"}]})"));
  ASSERT_TRUE(pair.has_value());
  EXPECT_EQ(pair->prim, "a");
  EXPECT_EQ(pair->second, "b");
  const auto none = drill_pair(tree(R"({"nodes":[{"name":"a","role":"ALONE","readiness":"Ready"},{"name":"b","role":"UNKNOWN"}]})"));
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error().what, HasSubstr("a=ALONE(Ready) b=UNKNOWN"));
}

TEST(Drill, ReportsTheTimeLineAndAVerdict) {
  const DrillPair pair{.prim = "a", .second = "b"};
  const doc::Node before = status("b", "SECOND");
  const doc::Node after = status("b", "PRIM", kMove);
  const doc::Node fine = drill_report(pair, before, after, Status{});
  EXPECT_EQ(api::text_at(fine, {"verdict"}), "fine");
  const std::string text = drill_text("web", fine);
  EXPECT_THAT(text, HasSubstr("from a to b"));
  EXPECT_THAT(text, HasSubstr("fence        700 ms"));
  EXPECT_THAT(text, HasSubstr("total        1500 ms\nverdict: fine\n"));
  EXPECT_THAT(drill_text("web", drill_report(pair, before, after, Error{Code::Timeout, "late"})), HasSubstr("verdict: failed: the pair is not complete again: late"));
  EXPECT_EQ(api::text_at(drill_report(pair, after, after, Status{}), {"verdict"}), "failed");
}

TEST(Preflight, ReadsAsText) {
  const std::string text = preflight_text(tree(
      R"({"peers":[{"node":"b","answerMedianMs":1.5,"answerWorstMs":3,"clockOffsetMs":-2,"clockErrorMs":1,"bytesPerSecond":120000000,)"
      R"("networks":[{"name":"default","portOpen":true,"roundTripMs":0.2},{"name":"r","portOpen":false}]},{"node":"c","problem":"away"}],)"
      R"("nodes":[{"node":"a","kernel":"6.1","directories":[{"path":"/srv","syncMedianMs":2,"syncWorstMs":9}]}],)"
      R"("recommendedTimeout":"300ms","findings":[{"level":"error","text":"away"}]})"));
  for (const char* part : {"network default  0.2 ms round trip", "no echo, port closed", "120 MB/s", "-2 ms ahead, +- 1 ms", "to node c: away",
                           "/srv: durable write 2 ms median, 9 ms at most", "time-out: 300ms", "error: away"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

}  // namespace
}  // namespace safekit::cli
