#include "reconciler/api/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/api/source.h"
#include "reconciler/store/memory_backend.h"
#include "schema/doc/json.h"
#include "schema/fake/manual_loop.h"

namespace safekit::api {
namespace {

using testing::HasSubstr;

constexpr std::string_view kClusterText = R"(apiVersion: safekit/v1
kind: Cluster
metadata:
  name: demo
spec:
  lans:
    - name: default
      nodes:
        node1: 10.0.0.11
        node2: 10.0.0.12
)";

constexpr std::string_view kModuleText = R"(apiVersion: safekit/v1
kind: Module
metadata:
  name: web
spec:
  mode: mirror
  id: 1
  nodes: [node1, node2]
  heartbeats:
    lans: [default]
)";

class RoutesTest : public testing::Test {
 protected:
  Response ask(Method method, const std::string& path, const std::string& body = {},
               std::map<std::string, std::string> query = {}) {
    return ask(Request{.method = method,
                       .path = std::string{kRoot} + path,
                       .query = std::move(query),
                       .content_type = "application/json",
                       .body = body,
                       .user = "root"});
  }
  Response ask(const Request& request) {
    Response answer{.status = 0};
    routes.handle(request, [&answer](const Response& response) { answer = response; });
    return answer;
  }
  Response apply(std::string_view text, std::map<std::string, std::string> query = {}) {
    query["file"] = "file.yaml";
    return ask(Request{.method = Method::Post,
                       .path = std::string{kRoot} + "/apply",
                       .query = std::move(query),
                       .content_type = "application/yaml",
                       .body = std::string{text},
                       .user = "root"});
  }
  static doc::Node tree(const Response& response) {
    doc::Problems problems;
    auto nodes = doc::parse_json(response.body, problems);
    return nodes.empty() ? doc::Node{} : nodes[0];
  }
  void apply_both() {
    EXPECT_EQ(apply(kClusterText).status, 201);
    const Response response = apply(kModuleText);
    EXPECT_EQ(response.status, 201) << response.body;
  }
  fake::ManualClock clock{};
  fake::ManualLoop loop{clock};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"node1"}};
  std::vector<std::pair<NodeName, Request>> forwarded{};
  std::vector<NodeLink> links{};
  Routes routes{
      store, loop, clock,
      Callbacks{.forward = [this](const NodeName& node, const Request& request, const Respond& respond) {
        forwarded.emplace_back(node, request);
        respond(text(200, "there"));
      },
                .links = [this] { return links; }}};
};

TEST_F(RoutesTest, AppliesGivesBackAndTellsWhatChanged) {
  apply_both();
  const Response one = ask(Method::Get, "/modules/web");
  ASSERT_EQ(one.status, 200) << one.body;
  const doc::Node view = tree(one);
  EXPECT_EQ(text_at(view, {"metadata", "name"}), "web");
  EXPECT_EQ(text_at(view, {"metadata", "generation"}), "1");
  EXPECT_EQ(text_at(view, {"spec", "mode"}), "mirror");
  EXPECT_EQ(text_at(view.find("status")->find("nodes")->children.at(0), {"role"}), "STOP");
  EXPECT_THAT(apply(kModuleText).body, HasSubstr(R"("result":"unchanged")"));
  std::string other{kModuleText};
  other += "  maxLoop: 7\n";
  const Response dry = apply(other, {{"dryRun", "All"}});
  EXPECT_EQ(dry.status, 200) << dry.body;
  EXPECT_THAT(dry.body, HasSubstr(R"("path":"spec.maxLoop","before":"3","after":"7")"));
  EXPECT_EQ(store.module(ModuleName{"web"})->max_loop, 3U);
  EXPECT_THAT(apply(other).body, HasSubstr(R"("result":"configured")"));
  EXPECT_EQ(store.module(ModuleName{"web"})->max_loop, 7U);
}

TEST_F(RoutesTest, AModuleThatRunsTakesOnlyWhatItCanTakeWhileItRuns) {
  apply_both();
  const std::string other = std::string{kModuleText} + "  maxLoop: 7\n  replication: {directories: [/srv/web]}\n";
  store.update_status(ModuleName{"web"}, [](status::Module& module) { module.role.role = status::Role::Alone; });
  const Response refused = apply(other);
  EXPECT_EQ(refused.status, 409) << refused.body;
  EXPECT_THAT(refused.body, HasSubstr("'spec.replication' cannot be changed while the module runs on node1 (ALONE)"));
  EXPECT_EQ(store.module(ModuleName{"web"})->max_loop, 3U) << "nothing of it is taken";
  const Response plan = apply(other, {{"dryRun", "All"}});
  EXPECT_EQ(plan.status, 200) << plan.body;
  EXPECT_THAT(plan.body, HasSubstr(R"("after":"7","effect":"in place")"));
  EXPECT_THAT(plan.body, HasSubstr(R"("effect":"stop")"));
  EXPECT_THAT(plan.body, HasSubstr(R"x("runsOn":["node1 (ALONE)"])x"));
  EXPECT_EQ(apply(std::string{kModuleText} + "  maxLoop: 7\n").status, 200);
  EXPECT_EQ(apply(other, {{"force", "true"}}).status, 200);
}

TEST_F(RoutesTest, ANodeThatIsNotOfTheModuleDoesNotKnowWhetherItRuns) {
  apply_both();
  store::Store elsewhere{backend, clock, NodeName{"node3"}};
  Routes there{elsewhere, loop, clock, Callbacks{}};
  Response answer;
  const std::string other = std::string{kModuleText} + "  replication: {directories: [/srv/web]}\n";
  there.handle(Request{.method = Method::Post, .path = std::string{kRoot} + "/apply", .query = {{"file", "f.yaml"}},
                       .content_type = "application/yaml", .body = other, .user = "root"},
               [&answer](const Response& response) { answer = response; });
  EXPECT_EQ(answer.status, 409) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("apply it on a node of the module: node1, node2"));
  there.handle(Request{.method = Method::Post, .path = std::string{kRoot} + "/apply", .query = {{"file", "f.yaml"}, {"dryRun", "All"}},
                       .content_type = "application/yaml", .body = other, .user = "root"},
               [&answer](const Response& response) { answer = response; });
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.body, HasSubstr("apply it on a node of the module: node1, node2")) << "a plan says so too";
}

TEST_F(RoutesTest, TellsEveryMistakeWithItsPlaceAndAppliesNothing) {
  EXPECT_EQ(apply(kClusterText).status, 201);
  const Response response = apply(R"(apiVersion: safekit/v1
kind: Module
metadata:
  name: web
spec:
  mode: miror
  nodes: [node1, node3]
  bogus: 1
)");
  EXPECT_EQ(response.status, 422);
  const doc::Node answer = tree(response);
  const doc::Node* problems = answer.find("details")->find("problems");
  ASSERT_NE(problems, nullptr);
  EXPECT_GE(problems->children.size(), 2U) << response.body;
  EXPECT_THAT(response.body, HasSubstr(R"("file":"file.yaml","line":6)"));
  EXPECT_EQ(ask(Method::Get, "/modules/web").status, 404);
}

TEST_F(RoutesTest, AModuleIsNotAcceptedSilentlyWithoutACluster) {
  const std::string light =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: l}\nspec: {mode: light, id: 1, nodes: [NODES]}\n";
  const auto with = [&light](const std::string& nodes) { return std::string{light}.replace(light.find("NODES"), 5, nodes); };
  const Response other = apply(with("node7"));
  EXPECT_EQ(other.status, 422);
  EXPECT_THAT(other.body, HasSubstr("this node is 'node1' and belongs to no cluster"));
  const Response both = apply(with("node1, node7"));
  EXPECT_EQ(both.status, 201) << both.body;
  EXPECT_THAT(both.body, HasSubstr("the other nodes do not get this module"));
  EXPECT_THAT(apply(with("node1")).body, testing::Not(HasSubstr("no-cluster")));
}

TEST_F(RoutesTest, AClusterLosesNothingThatAModuleUses) {
  constexpr std::string_view kSecond = "    - name: second\n      nodes:\n        node1: 10.1.0.11\n        node2: 10.1.0.12\n";
  EXPECT_EQ(apply(std::string{kClusterText} + std::string{kSecond}).status, 201);
  std::string module{kModuleText};
  EXPECT_EQ(apply(module.replace(module.find("[default]"), 9, "[default, second]")).status, 201);
  const Response refused = apply(kClusterText, {{"dryRun", "All"}});
  EXPECT_EQ(refused.status, 422);
  EXPECT_THAT(refused.body, HasSubstr("module web needs it: network second is not defined in the cluster configuration"));
  std::string other_node{kClusterText};
  other_node.replace(other_node.find("node2"), 5, "node3");
  const Response both = apply(other_node);
  EXPECT_THAT(both.body, HasSubstr("module web needs it: node node2 is not defined"));
  EXPECT_THAT(both.body, HasSubstr("module web needs it: network second"));
  EXPECT_EQ(store.cluster()->lans.size(), 2U);
  // With the module changed in the same breath it is well.
  EXPECT_EQ(apply(std::string{kClusterText} + "---\n" + std::string{kModuleText}).status, 200);
  EXPECT_EQ(apply(std::string{kClusterText} + std::string{kSecond}).status, 200);
}

TEST_F(RoutesTest, RefusesAnEditOfAnOlderRevision) {
  apply_both();
  EXPECT_EQ(apply(std::string{kModuleText} + "  maxLoop: 7\n", {{"resourceVersion", "1"}}).status, 409);
  const std::string version =
      text_at(tree(ask(Method::Get, "/modules/web")), {"metadata", "resourceVersion"});
  EXPECT_EQ(apply(std::string{kModuleText} + "  maxLoop: 7\n", {{"resourceVersion", version}}).status, 200);
}

TEST_F(RoutesTest, PatchesOneField) {
  apply_both();
  const Response response = ask(Method::Patch, "/modules/web", R"({"spec":{"maxLoop":9}})");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(store.module(ModuleName{"web"})->max_loop, 9U);
  EXPECT_EQ(store.module(ModuleName{"web"})->nodes.size(), 2U);
}

TEST_F(RoutesTest, TakesScriptsThatComeWithTheFile) {
  EXPECT_EQ(apply(kClusterText).status, 201);
  const std::string with_scripts = std::string{kModuleText} + "  scripts:\n    directory: scripts\n";
  EXPECT_THAT(apply(with_scripts).body, HasSubstr("scripts-missing"));
  const Source source{
      .file = "web.yaml", .text = with_scripts, .scripts = {{"scripts", {{"start_prim", "#!/bin/sh\n"}}}}};
  const Response response = ask(Request{.method = Method::Post,
                                        .path = std::string{kRoot} + "/apply",
                                        .content_type = std::string{kSourceType},
                                        .body = to_body(source),
                                        .user = "root"});
  ASSERT_EQ(response.status, 201) << response.body;
  const auto module = store.module(ModuleName{"web"});
  ASSERT_TRUE(module && module->scripts);
  EXPECT_EQ(module->scripts->files.at("start_prim"), "#!/bin/sh\n");
  EXPECT_EQ(module->scripts->directory, "");
}

TEST_F(RoutesTest, AnOperationIsSubmittedAndItsOutcomeAwaited) {
  apply_both();
  const Response posted = ask(Method::Post, "/modules/web/operations", R"({"verb":"start"})");
  ASSERT_EQ(posted.status, 201) << posted.body;
  ASSERT_EQ(store.pending(ModuleName{"web"}).size(), 1U);
  EXPECT_EQ(store.pending(ModuleName{"web"})[0].caller, "root");
  const std::string id = text_at(tree(posted), {"id"});
  Response answer{.status = 0};
  routes.handle(
      Request{.path = std::string{kRoot} + "/operations/" + id, .query = {{"wait", "30s"}}, .user = "root"},
      [&answer](const Response& response) { answer = response; });
  EXPECT_EQ(answer.status, 0);
  ASSERT_TRUE(store.finish(1, "done"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr(R"("outcome":"done")"));
}

TEST_F(RoutesTest, AWaitForAnOutcomeEnds) {
  apply_both();
  ask(Method::Post, "/modules/web/operations", R"({"verb":"start"})");
  Response answer{.status = 0};
  routes.handle(
      Request{.path = std::string{kRoot} + "/operations/1", .query = {{"wait", "2s"}}, .user = "root"},
      [&answer](const Response& response) { answer = response; });
  loop.advance(seconds{3});
  EXPECT_THAT(answer.body, HasSubstr(R"("outcome":"")"));
}

TEST_F(RoutesTest, RefusesUnknownCommandsArgumentsAndModules) {
  apply_both();
  EXPECT_EQ(ask(Method::Post, "/modules/web/operations", R"({"verb":"explode"})").status, 422);
  EXPECT_EQ(ask(Method::Post, "/modules/web/operations", R"({"verb":"start","argument":"fullsync"})").status,
            422);
  EXPECT_EQ(ask(Method::Post, "/modules/nope/operations", R"({"verb":"start"})").status, 404);
  EXPECT_EQ(ask(Method::Post, "/modules/web/operations", "not json").status, 422);
}

TEST_F(RoutesTest, PassesRequestsForAnotherNodeOn) {
  apply_both();
  EXPECT_EQ(ask(Method::Post, "/modules/web/operations", R"({"verb":"start"})", {{"node", "node2"}}).body,
            "there");
  ASSERT_EQ(forwarded.size(), 1U);
  EXPECT_EQ(forwarded[0].first, NodeName{"node2"});
  EXPECT_EQ(forwarded[0].second.user, "root");
  EXPECT_FALSE(forwarded[0].second.query.contains("node"));
  const auto there = request_from(to_wire(forwarded[0].second));
  ASSERT_TRUE(there.has_value());
  EXPECT_EQ(there->door, Door::Peer);
  EXPECT_EQ(there->body, forwarded[0].second.body);
  EXPECT_THAT(ask(Method::Get, "/modules", {}, {{"node", "node9"}}).body,
              HasSubstr("its nodes are: node1, node2"));
  const std::string wire = to_wire(forwarded[0].second);
  for (std::size_t size = 0; size < wire.size(); ++size) {
    EXPECT_FALSE(request_from(std::string_view{wire}.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(request_from(wire + "x").has_value());
  EXPECT_EQ(response_from(to_wire(text(503, "away"))).value(), text(503, "away"));
  EXPECT_EQ(passed_on("root", NodeName{"node1"}), "root@node1");
  EXPECT_EQ(passed_on("admin@10.0.0.77", NodeName{"node1"}), "admin@10.0.0.77vianode1");
}

TEST_F(RoutesTest, WithoutALogInThereAreOnlyProbes) {
  apply_both();
  Request request{.path = std::string{kRoot} + "/modules", .door = Door::Https};
  EXPECT_EQ(ask(request).status, 403);
  request.path = "/var/modules/web/ready.txt";
  EXPECT_EQ(ask(request).status, 404);
  store.update_status(ModuleName{"web"}, [](status::Module& module) {
    module.role.role = status::Role::Prim;
    module.role.readiness = status::Readiness::Transient;
  });
  EXPECT_EQ(ask(request).status, 404);
  store.update_status(ModuleName{"web"},
                      [](status::Module& module) { module.role.readiness = status::Readiness::Ready; });
  EXPECT_EQ(ask(request).status, 200);
  request.path = "/healthz";
  EXPECT_EQ(ask(request).status, 200);
  request.path = "/metrics";
  EXPECT_EQ(ask(request).status, 404);
  request.path = std::string{kRoot} + "/modules";
  request.door = Door::Probe;
  EXPECT_EQ(ask(request).status, 404);
}

TEST_F(RoutesTest, SwitchesSurviveARestartAndEndWithANewApply) {
  apply_both();
  EXPECT_EQ(ask(Method::Post, "/modules/web/settings", R"({"failover":false})").status, 200);
  EXPECT_FALSE(store.status(ModuleName{"web"}).settings.failover);
  store::Store again{backend, clock, NodeName{"node1"}};
  Routes others{again, loop, clock, {}};
  EXPECT_FALSE(again.status(ModuleName{"web"}).settings.failover);
  EXPECT_EQ(apply(std::string{kModuleText} + "  maxLoop: 7\n").status, 200);
  EXPECT_TRUE(store.status(ModuleName{"web"}).settings.failover);
}

TEST_F(RoutesTest, CommandsSetOnlyCustomResources) {
  apply_both();
  EXPECT_EQ(ask(Method::Post, "/modules/web/resources/custom.x", R"({"value":"up"})").status, 200);
  EXPECT_EQ(store.status(ModuleName{"web"}).resources.at("custom.x").value, "up");
  EXPECT_EQ(ask(Method::Post, "/modules/web/resources/rfs.uptodate", R"({"value":"up"})").status, 403);
}

TEST_F(RoutesTest, ARunningModuleIsNotDeletedByMistake) {
  apply_both();
  store.update_status(ModuleName{"web"},
                      [](status::Module& module) { module.role.role = status::Role::Alone; });
  EXPECT_EQ(ask(Method::Delete, "/modules/web").status, 409);
  EXPECT_EQ(ask(Method::Delete, "/clusters/demo").status, 409);
  EXPECT_EQ(ask(Method::Delete, "/modules/web", {}, {{"force", "true"}}).status, 200);
  EXPECT_EQ(ask(Method::Get, "/modules/web").status, 404);
}

TEST_F(RoutesTest, ANodeOfTheModuleIsAskedBeforeItIsDeleted) {
  apply_both();
  std::string elsewhere{kModuleText};
  elsewhere.replace(elsewhere.find("[node1, node2]"), 14, "[node2]");
  elsewhere.replace(elsewhere.find("mirror"), 6, "light");
  elsewhere.resize(elsewhere.find("  heartbeats"));
  ASSERT_EQ(apply(elsewhere).status, 200) << apply(elsewhere).body;
  EXPECT_EQ(ask(Method::Delete, "/modules/web").status, 503);
  EXPECT_EQ(ask(Method::Get, "/modules/web").status, 200);
  links = {{.name = NodeName{"node2"}, .reachable = true}};
  EXPECT_EQ(ask(Method::Delete, "/modules/web").body, "there");
  ASSERT_EQ(forwarded.size(), 1U);
  EXPECT_EQ(forwarded[0].second.method, Method::Delete);
}

TEST_F(RoutesTest, AWatchSendsThePresentAndThenEachChangeOnce) {
  apply_both();
  auto stream = routes.watch(
      Request{.path = std::string{kRoot} + "/modules", .query = {{"watch", "true"}}, .user = "root"});
  ASSERT_TRUE(stream.has_value());
  EXPECT_THAT((*stream)->take(Duration{}).text, HasSubstr("event: ADDED"));
  for (const auto role : {status::Role::Wait, status::Role::Alone}) {
    store.update_status(ModuleName{"web"}, [role](status::Module& module) { module.role.role = role; });
  }
  loop.run_posted();
  const std::string text = (*stream)->take(Duration{}).text;
  EXPECT_THAT(text, HasSubstr("event: MODIFIED"));
  EXPECT_THAT(text, HasSubstr("ALONE"));
  EXPECT_THAT(text, Not(HasSubstr("WAIT")));
  EXPECT_TRUE(store.remove({store::Kind::Module, "web"}, {}).has_value());
  loop.run_posted();
  EXPECT_THAT((*stream)->take(Duration{}).text, HasSubstr("event: DELETED"));
}

TEST_F(RoutesTest, AWatchOfEventsBeginsWithTheLastOnes) {
  apply_both();
  const ModuleName web{"web"};
  store.record(web, "heart", 'E', "first");
  auto stream = routes.watch(Request{.path = std::string{kRoot} + "/modules/web/events",
                                     .query = {{"watch", "true"}, {"last", "1"}},
                                     .user = "root"});
  ASSERT_TRUE(stream.has_value());
  store.record(web, "heart", 'D', "debug");
  store.record(web, "heart", 'E', "second");
  loop.run_posted();
  const std::string text = (*stream)->take(Duration{}).text;
  EXPECT_THAT(text, HasSubstr("first"));
  EXPECT_THAT(text, HasSubstr("second"));
  EXPECT_THAT(text, Not(HasSubstr("debug")));
  const Response list = ask(Method::Get, "/modules/web/events", {}, {{"last", "10"}, {"verbose", "true"}});
  EXPECT_THAT(list.body, HasSubstr("debug"));
}

TEST_F(RoutesTest, ASlowReaderIsCutOff) {
  WatchStream stream;
  doc::Node data = doc::Node::map();
  data.add("x", doc::Node::string(std::string(WatchStream::kBytesMax / 2, 'x')));
  stream.push("ADDED", data);
  stream.push("ADDED", data);
  const auto taken = stream.take(Duration{});
  EXPECT_TRUE(taken.over);
  EXPECT_THAT(taken.text, HasSubstr("event: ERROR"));
}

TEST_F(RoutesTest, AConflictOfRevisionsIsShownAndEndedByTake) {
  apply_both();
  const store::ObjectKey key{store::Kind::Module, "web"};
  store::Object theirs = *store.get(key);
  theirs.digest = "theirs";
  theirs.spec =
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"web"},"spec":{"mode":"mirror","id":1,"maxLoop":5,"nodes":["node1","node2"]}})";
  store.set_conflict({.peer = NodeName{"node2"}, .theirs = theirs, .history = {"theirs"}});
  EXPECT_THAT(ask(Method::Get, "/modules/web").body, HasSubstr("ConfigConflict"));
  EXPECT_EQ(ask(Method::Post, "/modules/web/take", {}, {{"from", "node9"}}).status, 404);
  EXPECT_EQ(ask(Method::Post, "/modules/web/take", {}, {{"from", "node2"}}).status, 200);
  EXPECT_EQ(store.module(ModuleName{"web"})->max_loop, 5U);
}

TEST_F(RoutesTest, MetricsAndNodes) {
  apply_both();
  EXPECT_THAT(ask(Method::Get, "/metrics").body, HasSubstr("safekit_module_ready{module=\"web\"} 0"));
  EXPECT_THAT(ask(Method::Get, "/nodes").body, HasSubstr(R"("address":"10.0.0.12")"));
  EXPECT_EQ(ask(Method::Put, "/nodes").status, 405);
  EXPECT_EQ(ask(Method::Get, "/nothing").status, 404);
}

}  // namespace
}  // namespace safekit::api
