#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/api/routes.h"
#include "reconciler/cli/files.h"
#include "reconciler/cli/program.h"
#include "reconciler/store/memory_backend.h"
#include "schema/doc/json.h"
#include "schema/fake/manual_loop.h"

namespace safekit::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class KeptOutput final : public Output {
 public:
  void out(std::string_view text) override { out_text += text; }
  void err(std::string_view text) override { err_text += text; }
  [[nodiscard]] bool is_terminal() const override { return false; }
  [[nodiscard]] bool is_broken() const override { return false; }
  std::string out_text{};
  std::string err_text{};
};

/// Asks the routes directly. A node that plays along finishes each operation at once.
class DirectClient final : public api::Client {
 public:
  DirectClient(api::Routes& routes, fake::ManualLoop& loop, std::function<void()> play)
      : routes_(routes), loop_(loop), play_(std::move(play)) {}
  Result<api::Response> call(const api::Request& request) override {
    api::Request asked = request;
    asked.user = "root";
    api::Response answer{.status = 0};
    routes_.handle(asked, [&answer](const api::Response& response) { answer = response; });
    play_();
    if (answer.status == 0) loop_.advance(seconds{6});
    return answer;
  }
  Status watch(const api::Request& request, Duration limit, const OnEvent& on_event) override {
    api::Request asked = request;
    asked.user = "root";
    asked.query["watch"] = "true";
    SK_TRY(const auto stream, routes_.watch(asked));
    for (int rounds = 0; rounds < 5; ++rounds) {
      const auto taken = stream->take(Duration{});
      for (std::size_t at = 0; at < taken.text.size();) {
        const std::size_t end = taken.text.find("\n\n", at);
        const std::string block = taken.text.substr(at, end - at);
        const std::size_t data = block.find("\ndata: ");
        doc::Problems problems;
        const auto nodes = doc::parse_json(block.substr(data + 7), problems);
        if (!on_event(block.substr(7, data - 7), nodes.at(0))) return {};
        at = end + 2;
      }
      play_();
      loop_.run_posted();
    }
    if (limit == Duration::max()) return {};
    return Error{Code::Timeout, "nothing came"};
  }
  [[nodiscard]] std::string name() const override { return "test"; }

 private:
  api::Routes& routes_;
  fake::ManualLoop& loop_;
  std::function<void()> play_;
};

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "safekit-cli-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~CliTest() override { std::filesystem::remove_all(folder); }
  int run(const std::vector<std::string>& words, std::map<std::string, std::string> environment = {}) {
    output = {};
    World world{.output = output,
                .environment = std::move(environment),
                .connect = [this](const Arguments&) -> Result<std::unique_ptr<api::Client>> {
                  return std::unique_ptr<api::Client>{
                      std::make_unique<DirectClient>(routes, loop, [this] { play(); })};
                }};
    return cli::run(words, world);
  }
  void play() {
    if (plays) plays();
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder + "/" + name;
    std::filesystem::create_directories(std::filesystem::path{path}.parent_path());
    EXPECT_TRUE(write_file(path, text));
    return path;
  }
  void apply_web() {
    ASSERT_EQ(run({"apply", "-f", write("cluster.yaml", kCluster), "-f", write("module.yaml", kModule)}), 0)
        << output.err_text;
  }
  void set_role(status::Role role, status::Readiness readiness) {
    store.update_status(web, [&](status::Module& module) {
      module.role.role = role;
      module.role.readiness = readiness;
      module.role.since = clock.wall_now();
      module.peer = {.name = NodeName{"node2"},
                     .heard = true,
                     .module_known = true,
                     .role = status::Role::Second,
                     .readiness = status::Readiness::Ready};
    });
  }
  void finish_all(const std::string& outcome) {
    for (const auto& pending : store.pending(web)) {
      calls.push_back(pending);
      EXPECT_TRUE(store.finish(pending.id, outcome));
    }
  }

  static constexpr const char* kCluster =
      "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: demo}\nspec:\n  lans:\n    - name: default\n"
      "      nodes: {node1: 10.0.0.11, node2: 10.0.0.12}\n";
  static constexpr const char* kModule =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: web}\nspec:\n  mode: mirror\n  id: 1\n  nodes: "
      "[node1, node2]\n"
      "  heartbeats: {lans: [default]}\n";
  const ModuleName web{"web"};
  std::string folder{};
  fake::ManualClock clock{};
  fake::ManualLoop loop{clock};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"node1"}};
  std::vector<std::string> forwarded{};
  api::Routes routes{store, loop, clock,
                     api::Callbacks{.forward = [this](const NodeName& node, const api::Request& request,
                                                      const api::Respond& respond) {
                       forwarded.push_back(node.str() + " " + request.path);
                       if (node == NodeName{"node2"})
                         return respond(api::failure(Error{Code::Unavailable, "'node2' is not linked"}));
                       respond(api::json(200, doc::Node::map()));
                     }}};
  std::function<void()> plays{};
  std::vector<store::Operation> calls{};
  KeptOutput output{};
};

TEST_F(CliTest, AppliesAFileAndSaysWhatBecameOfIt) {
  EXPECT_EQ(run({"apply", "-f", write("cluster.yaml", kCluster)}), 0) << output.err_text;
  EXPECT_EQ(output.out_text, "cluster/demo created\n");
  const std::string file = write("module.yaml", kModule);
  EXPECT_EQ(run({"apply", "-f", file, "--dry-run"}), 0);
  EXPECT_EQ(output.out_text, "module/web created (dry run)\n");
  EXPECT_EQ(run({"diff", "-f", file}), 1);
  EXPECT_EQ(output.out_text, "module/web is new\n");
  EXPECT_EQ(run({"apply", "-f", file}), 0);
  EXPECT_EQ(output.out_text, "module/web created\n");
  EXPECT_EQ(run({"apply", "-f", file}), 0);
  EXPECT_EQ(output.out_text, "module/web unchanged\n");
  EXPECT_EQ(run({"diff", "-f", file}), 0);
  EXPECT_EQ(output.out_text, "");
  write("module.yaml", std::string{kModule} + "  maxLoop: 9\n");
  EXPECT_EQ(run({"diff", "-f", file}), 1);
  EXPECT_EQ(output.out_text, "module/web\n  ~ spec.maxLoop: 3 -> 9\n");
}

TEST_F(CliTest, AVerificationIsAskedOfTheNodeThatServes) {
  apply_web();
  std::string differences = "[]";
  std::string state = "running";
  std::vector<std::string> asked;
  const auto answer = [&](const api::Request& request, const api::Routes::Parameters&, const api::Respond& respond) {
    asked.push_back(std::string{to_string(request.method)} + " " + request.body);
    respond({.status = 200, .body = R"({"kind":"Verification","number":"7","state":")" + state +
                                    R"(","reason":"no secondary","files":3,"directories":1,"bytes":9,"differences":)" + differences + "}"});
    if (state == "running") state = "done";
  };
  for (const auto method : {api::Method::Post, api::Method::Get, api::Method::Delete}) routes.add(method, "modules/*/inspections", answer);
  EXPECT_EQ(run({"rfsverify", "-m", "web"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("no node of module 'web' is PRIM or ALONE"));
  set_role(status::Role::Prim, status::Readiness::Ready);
  EXPECT_EQ(run({"rfsverify", "-m", "web"}), 0) << output.err_text;
  EXPECT_EQ(output.out_text, "3 files, 1 directories, 9 bytes compared: no difference\n");
  EXPECT_THAT(asked, testing::ElementsAre(R"(POST {"kind":"verify"})", "GET "));
  differences = R"([{"path":"/data/x","what":"mode, content"}])";
  state = "running";
  EXPECT_EQ(run({"rfsverify", "-m", "web"}), 3);
  EXPECT_THAT(output.out_text, StartsWith("/data/x: mode, content\n3 files, 1 directories, 9 bytes compared: 1 difference\n"));
  EXPECT_THAT(output.out_text, HasSubstr("safekit second fullsync -m web"));
  EXPECT_EQ(run({"rfsverify", "-m", "web", "-o", "json"}), 3);
  EXPECT_THAT(output.out_text, StartsWith("{"));
  EXPECT_EQ(run({"rfsverify", "stop", "-m", "web"}), 0);
  EXPECT_EQ(asked.back(), "DELETE ");
  state = "failed";
  EXPECT_EQ(run({"rfsverify", "-m", "web"}), 1);
  EXPECT_EQ(output.err_text, "Error: no secondary\n");
  // The other node serves: it is asked.
  store.update_status(web, [](status::Module& module) {
    module.role.role = status::Role::Second;
    module.peer.role = status::Role::Prim;
  });
  EXPECT_EQ(run({"rfsverify", "-m", "web"}), 1);
  EXPECT_THAT(forwarded, testing::Contains("node2 /apis/safekit/v1/modules/web/inspections"));
}

TEST_F(CliTest, SaysWhatASynchronisationWouldCopy) {
  apply_web();
  set_role(status::Role::Alone, status::Readiness::Ready);
  std::string rest;
  routes.add(api::Method::Post, "modules/*/inspections",
             [&](const api::Request&, const api::Routes::Parameters&, const api::Respond& respond) {
               respond({.status = 201, .body = R"({"number":"7","state":"done","files":2,"directories":1,"bytes":1000)" + rest + "}"});
             });
  EXPECT_EQ(run({"rfsdiff", "-m", "web"}), 0) << output.err_text;
  EXPECT_THAT(output.out_text, StartsWith("The next synchronisation copies 1000 bytes of 2 files, and lists 1 directories\nEstimated duration: unknown"));
  rest = R"(,"bytesPerSecond":300)";
  EXPECT_EQ(run({"rfsdiff", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("Estimated duration: 4 s at the 300 bytes/s of the last one\n"));
  rest = R"(,"everything":true)";
  EXPECT_EQ(run({"rfsdiff", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("compares everything"));
}

TEST_F(CliTest, ASimulationIsToldInItsOrder) {
  run({"apply", "-f", write("cluster.yaml", kCluster)});
  run({"apply", "-f", write("web.yaml", kModule)});
  std::map<std::string, std::string> asked;
  routes.add(api::Method::Post, "modules/*/simulate", [&](const api::Request& request, const api::Routes::Parameters&, const api::Respond& respond) {
    asked = request.query;
    respond({.body = R"({"begin":[{"node":"node1","state":"PRIM Ready"},{"node":"node2","state":"SECOND Ready"}],"steps":[)"
                     R"({"milliseconds":1000,"node":"node2","kind":"state","text":"Local state ALONE Ready"}],)"
                     R"("end":[{"node":"node1","state":"off"},{"node":"node2","state":"ALONE Ready"}],"outageMilliseconds":1020,)"
                     R"("serves":true,"notes":["said"]})"});
  });
  EXPECT_EQ(run({"simulate", "node", "node1", "-m", "web"}), 0) << output.err_text;
  EXPECT_EQ(asked, (std::map<std::string, std::string>{{"what", "node"}, {"name", "node1"}}));
  EXPECT_EQ(output.out_text,
            "now: node1 PRIM Ready, node2 SECOND Ready\n    1000 ms  node2  Local state ALONE Ready\n"
            "then: node1 off, node2 ALONE Ready\n"
            "without service for 1020 ms, where each script takes a second\nnote: said\n");
  EXPECT_EQ(run({"simulate", "process", "httpd", "--on", "node2", "-m", "web"}), 0);
  EXPECT_EQ(asked.at("on"), "node2");
  EXPECT_EQ(run({"simulate", "-m", "web"}), 2) << "of what?";
  EXPECT_EQ(run({"simulate", "apply", "-m", "web"}), 2) << "of which file?";
}

TEST_F(CliTest, AFolderBringsItsScripts) {
  run({"apply", "-f", write("cluster.yaml", kCluster)});
  write("web/module.yaml", std::string{kModule} + "  scripts: {directory: scripts}\n");
  write("web/scripts/start_prim", "#!/bin/sh\nexit 0\n");
  EXPECT_EQ(run({"apply", "-f", folder + "/web"}), 0) << output.err_text;
  EXPECT_EQ(store.module(web)->scripts->files.at("start_prim"), "#!/bin/sh\nexit 0\n");
}

TEST_F(CliTest, AnXmlFolderHasItsNameAndScripts) {
  run({"apply", "-f", write("cluster.yaml", kCluster)});
  write(
      "web/conf/userconfig.xml",
      "<safe><service mode=\"mirror\"><heart><heartbeat name=\"default\"/></heart><user/></service></safe>");
  write("web/bin/start_prim", "#!/bin/sh\n");
  EXPECT_EQ(run({"apply", "-f", folder + "/web"}), 0) << output.err_text;
  ASSERT_NE(store.module(web), nullptr) << output.out_text;
  EXPECT_EQ(store.module(web)->scripts->files.at("start_prim"), "#!/bin/sh\n");
  EXPECT_EQ(store.module(web)->nodes.size(), 2U);
}

TEST_F(CliTest, TellsEveryMistakeWithItsPlace) {
  const std::string file = write(
      "bad.yaml",
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: web}\nspec:\n  mode: miror\n  bogus: 1\n");
  for (const std::string command : {"apply", "validate"}) {
    EXPECT_EQ(run({command, "-f", file}), 1);
    EXPECT_THAT(output.err_text, HasSubstr(file + ":5:9: error:"));
    EXPECT_THAT(output.err_text, HasSubstr(file + ":6:3: error:"));
  }
  EXPECT_EQ(run({"validate", "-f", write("good.yaml", kCluster)}), 0);
  EXPECT_EQ(run({"validate", "-f", folder + "/none.yaml"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("No such file"));
}

TEST_F(CliTest, MistakesThatOnlyTheClusterKnowsHavePlacesToo) {
  run({"apply", "-f", write("cluster.yaml", kCluster)});
  std::string text{kModule};
  text.replace(text.find("node2]"), 6, "node7]");
  const std::string file = write("module.yaml", text);
  EXPECT_EQ(run({"apply", "-f", file}), 1);
  EXPECT_THAT(output.err_text, HasSubstr(file + ":7:"));
  EXPECT_THAT(output.err_text, HasSubstr("node7"));
}

TEST_F(CliTest, ConvertsBothWays) {
  EXPECT_EQ(run({"convert", "-f", write("cluster.yaml", kCluster), "--to", "xml"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("<lan name=\"default\">"));
  EXPECT_EQ(run({"convert", "-f", write("cluster.xml", output.out_text), "--to", "yaml"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("name: demo"));
  EXPECT_EQ(run({"convert", "-f", write("cluster.yaml", kCluster), "--to", "toml"}), 2);
}

TEST_F(CliTest, WordsOfACommandMayStandInAnyOrder) {
  apply_web();
  plays = [this] { finish_all("done"); };
  const std::vector<std::vector<std::string>> forms{{"second", "-m", "web", "fullsync"},
                                                    {"second", "fullsync", "-m", "web"},
                                                    {"second", "web", "fullsync"},
                                                    {"second", "fullsync", "web"}};
  for (const auto& form : forms) {
    calls.clear();
    EXPECT_EQ(run(form), 0) << output.err_text;
    ASSERT_EQ(calls.size(), 1U);
    EXPECT_EQ(calls[0].verb, "second");
    EXPECT_EQ(calls[0].argument, "fullsync");
    EXPECT_EQ(output.out_text, "module/web second: accepted\n");
  }
  EXPECT_EQ(run({"start"}, {{"SAFEMODULE", "web"}}), 0);
  EXPECT_EQ(run({"start"}), 2);
  EXPECT_EQ(run({"start", "-m", "web", "surplus"}), 2);
}

TEST_F(CliTest, AScriptsCommandIsAutomaticAndDoesNotWait) {
  apply_web();
  EXPECT_EQ(run({"restart", "-i", "errd"}, {{"SAFEMODULE", "web"}}), 0);
  const auto pending = store.pending(web);
  ASSERT_EQ(pending.size(), 1U);
  EXPECT_TRUE(pending[0].automatic);
  EXPECT_EQ(pending[0].caller, "errd");
}

TEST_F(CliTest, ARefusedCommandSaysWhyAndFails) {
  apply_web();
  plays = [this] { finish_all("swap is not possible in state STOP NotReady"); };
  EXPECT_EQ(run({"swap", "-m", "web"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("Error: swap is not possible"));
}

TEST_F(CliTest, StateHasSafekitsFormAndExitCodes) {
  apply_web();
  set_role(status::Role::Prim, status::Readiness::Ready);
  EXPECT_EQ(run({"state", "-m", "web"}), 0);
  EXPECT_EQ(output.out_text,
            "------------------- web State -------------------\n"
            "  Local  (node1)       : PRIM (Ready)\n"
            "  Remote (node2)       : SECOND (Ready)\n");
  const std::map<status::Role, int> codes{{status::Role::Stop, 0},  {status::Role::Wait, 1},
                                          {status::Role::Alone, 2}, {status::Role::Up, 2},
                                          {status::Role::Prim, 3},  {status::Role::Second, 4}};
  for (const auto& [role, code] : codes) {
    set_role(role, status::Readiness::Ready);
    EXPECT_EQ(run({"state", "-m", "web", "-lq"}), code);
    EXPECT_EQ(output.out_text, std::string{to_string(role)} + "\n");
  }
  set_role(status::Role::Wait, status::Readiness::Transient);
  store.update_status(web, [](status::Module& module) {
    module.replication.configured = true;
    module.replication.problem = "the disk is full";
  });
  EXPECT_EQ(run({"state", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("WAIT (Transient)\n    the disk is full\n"));
  EXPECT_EQ(run({"state", "-v", "web"}), 0);
  EXPECT_EQ(run({"state", "-m", "nope", "-lq"}), 255);
  EXPECT_EQ(run({"state", "-lq"}), 255);
}

TEST_F(CliTest, WaitsForAStableState) {
  apply_web();
  set_role(status::Role::Wait, status::Readiness::Transient);
  int round = 0;
  plays = [this, &round] {
    if (++round == 2) set_role(status::Role::Prim, status::Readiness::Transient);
    if (round == 3) set_role(status::Role::Prim, status::Readiness::Ready);
  };
  EXPECT_EQ(run({"wait", "-m", "web", "--for", "PRIM", "--timeout", "5s"}), 0) << output.err_text;
  EXPECT_EQ(round, 3);
  plays = {};
  EXPECT_EQ(run({"wait", "-m", "web", "--for", "SECOND", "--node", "node2"}), 0);
  EXPECT_EQ(run({"wait", "-m", "web", "--for", "ALONE", "--timeout", "5s"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("module 'web' is now: node1=PRIM(Ready) node2=SECOND(Ready)"));
  EXPECT_EQ(run({"waitstate", "-m", "web", "PRIM"}), 0);
  EXPECT_EQ(run({"waitstart", "-m", "web"}), 0);
  EXPECT_EQ(run({"wait", "-m", "web", "--for", "PRIM", "--timeout", "5"}), 2);
  EXPECT_EQ(run({"wait", "-m", "nope", "--for", "PRIM"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("'nope' is now: not known on this node"));
  EXPECT_EQ(run({"waitstate", "-m", "nope", "PRIM"}), 1);
  EXPECT_EQ(run({"wait", "-m", "nope", "--for", "delete"}), 0);
}

TEST_F(CliTest, TablesOfModules) {
  apply_web();
  set_role(status::Role::Prim, status::Readiness::Ready);
  EXPECT_EQ(run({"get", "modules"}), 0);
  EXPECT_EQ(output.out_text,
            "NAME  MODE    GENERATION  NODES\n"
            "web   mirror  1           node1=PRIM(Ready) node2=SECOND(Ready)\n");
  EXPECT_EQ(run({"get", "modules", "-o", "name"}), 0);
  EXPECT_EQ(output.out_text, "web\n");
  EXPECT_EQ(run({"get", "module/web", "-o", "yaml"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("role: PRIM"));
  EXPECT_EQ(run({"get", "module", "web", "-o", "json"}), 0);
  EXPECT_THAT(output.out_text, StartsWith("{"));
  EXPECT_EQ(run({"get", "nodes"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("default=10.0.0.12"));
  EXPECT_EQ(run({"get", "clusters"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("demo"));
  EXPECT_EQ(run({"get", "things"}), 2);
  EXPECT_EQ(run({"describe", "module", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("Nodes:\n  node1=PRIM(Ready)"));
}

TEST_F(CliTest, WhatGetPrintsCanBeAppliedAgain) {
  apply_web();
  set_role(status::Role::Prim, status::Readiness::Ready);
  for (const std::string form : {"yaml", "json"}) {
    EXPECT_EQ(run({"get", "module", "web", "-o", form}), 0);
    std::string text = output.out_text;
    const std::string file = write("again." + form, text);
    EXPECT_EQ(run({"apply", "-f", file}), 0) << output.err_text << text;
    EXPECT_EQ(output.out_text, "module/web unchanged\n");
  }
  EXPECT_EQ(run({"get", "cluster", "demo", "-o", "yaml"}), 0);
  EXPECT_EQ(run({"apply", "-f", write("again.yaml", output.out_text)}), 0) << output.err_text;
}

TEST_F(CliTest, TheLogHasSafekitsColumns) {
  apply_web();
  store.record(web, "heart", 'E', "Local state PRIM Ready");
  EXPECT_EQ(run({"log", "-m", "web", "-s", "1"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr(" |      heart | E | Local state PRIM Ready\n"));
  EXPECT_THAT(output.out_text, StartsWith("| 20"));
  store.record(web, "heart", 'D', "details");
  EXPECT_EQ(run({"log", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, Not(HasSubstr("details")));
  EXPECT_EQ(run({"logview", "-A", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("details"));
}

TEST_F(CliTest, SwitchesAndResources) {
  apply_web();
  EXPECT_EQ(run({"failover", "-m", "web", "off"}), 0) << output.err_text;
  EXPECT_FALSE(store.status(web).settings.failover);
  EXPECT_EQ(run({"failover", "status"}), 0);
  EXPECT_EQ(output.out_text, "web off\n");
  EXPECT_EQ(run({"boot", "on", "-m", "web"}), 0);
  EXPECT_EQ(store.status(web).settings.boot, true);
  EXPECT_EQ(run({"set", "-m", "web", "-r", "custom.x", "-v", "down", "-i", "mine"}), 0);
  EXPECT_EQ(store.status(web).resources.at("custom.x").source, "mine");
  EXPECT_EQ(run({"get", "-m", "web", "-r", "custom.x"}), 0);
  EXPECT_EQ(output.out_text, "down\n");
}

TEST_F(CliTest, OtherNodesHaveABannerEach) {
  apply_web();
  set_role(status::Role::Prim, status::Readiness::Ready);
  EXPECT_EQ(run({"-H", "*", "state", "-m", "web"}), 1);
  EXPECT_THAT(output.out_text, HasSubstr("---------------- Server=node1 ----------------\n"));
  EXPECT_THAT(output.out_text, HasSubstr("Success\n---------------- Server=node2"));
  EXPECT_THAT(output.err_text, HasSubstr("'node2' is not linked"));
  EXPECT_EQ(forwarded.size(), 1U);
  EXPECT_EQ(run({"state", "-m", "web", "-H", "node1"}), 0);
  EXPECT_EQ(run({"state", "-H", "[http],a"}), 1);
}

TEST_F(CliTest, HelpUsageAndCompletion) {
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("Desired state"));
  EXPECT_EQ(run({"swap", "--help"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("safekit swap nosync -m web"));
  EXPECT_EQ(run({}), 2);
  EXPECT_EQ(run({"bogus"}), 2);
  EXPECT_EQ(run({"state", "--bogus"}), 2);
  EXPECT_EQ(run({"completion", "bash"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("apply diff get"));
  EXPECT_EQ(run({"version"}), 0);
}

TEST_F(CliTest, ACommandOfSafekitThatIsNotThereYetIsNamed) {
  EXPECT_EQ(run({"deconfig", "-m", "web"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("'safekit deconfig' is not there yet: `safekit delete module NAME`"));
  EXPECT_EQ(run({"-H", "*", "-E", "web"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("'safekit -E' is not there yet"));
  EXPECT_EQ(run({"cluster", "genkey"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("always encrypted"));
  EXPECT_EQ(run({"snapshot", "x"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("'safekit snapshot' is not there yet\n"));
}

TEST_F(CliTest, MistakesAreNotTakenForSomethingElse) {
  apply_web();
  EXPECT_EQ(run({"boot", "maybe", "-m", "web"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("'maybe' is none of on, off, status"));
  EXPECT_EQ(run({"errd", "maybe", "-m", "web"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("'maybe' is none of on, off, status"));
  EXPECT_EQ(run({"errd", "suspend", "-m", "web"}), 0);
  EXPECT_EQ(run({"errd", "enable"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("say which class"));
  EXPECT_EQ(run({"kill", "-name=web"}), 2);
  EXPECT_THAT(output.err_text, HasSubstr("say which and how"));
  EXPECT_EQ(run({"boot", "status"}), 0);
  EXPECT_EQ(run({"logview", "-m", "nomod"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("no module 'nomod'"));
}

TEST_F(CliTest, WaitingForAModuleOfOtherNodesSaysSoAtOnce) {
  apply_web();
  std::string elsewhere{kModule};
  elsewhere.resize(elsewhere.find("  heartbeats"));
  elsewhere.replace(elsewhere.find("[node1, node2]"), 14, "[node2]");
  elsewhere.replace(elsewhere.find("mirror"), 6, "light");
  ASSERT_EQ(run({"apply", "-f", write("elsewhere.yaml", elsewhere)}), 0) << output.err_text;
  EXPECT_EQ(run({"wait", "-m", "web", "--for", "UP"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("module 'web' does not run on this node"));
}

TEST_F(CliTest, ScriptsWriteIntoTheLog) {
  apply_web();
  EXPECT_EQ(run({"printe", "-m", "web", "disk is full"}), 0) << output.err_text;
  EXPECT_EQ(run({"printi", "all is well"}, {{"SAFEMODULE", "web"}}), 0);
  EXPECT_EQ(run({"printi", "-m", "web"}), 2);
  EXPECT_EQ(run({"log", "-m", "web"}), 0);
  EXPECT_THAT(output.out_text, HasSubstr("| E | disk is full\n"));
  EXPECT_THAT(output.out_text, Not(HasSubstr("all is well")));
}

TEST_F(CliTest, DeletesOnlyWhatIsStopped) {
  apply_web();
  set_role(status::Role::Prim, status::Readiness::Ready);
  EXPECT_EQ(run({"delete", "module", "web"}), 1);
  EXPECT_THAT(output.err_text, HasSubstr("safekit stop -m web"));
  EXPECT_EQ(run({"delete", "-f", folder + "/module.yaml", "--force"}), 0);
  EXPECT_EQ(output.out_text, "module/web deleted\n");
}

}  // namespace
}  // namespace safekit::cli
