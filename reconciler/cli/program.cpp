#include "reconciler/cli/program.h"

#include <algorithm>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "reconciler/api/http_client.h"
#include "reconciler/cli/commands.h"
#include "reconciler/cli/files.h"
#include "reconciler/cli/helpers.h"
#include "reconciler/cli/not_yet.h"
#include "schema/codec/suggest.h"

namespace safekit::cli {
namespace {

using Options = void (*)(CLI::App&, Arguments&);

struct Command {
  const char* name{};
  const char* group{};
  const char* summary{};
  const char* examples{};
  Options options{};
  int (*run)(Session&){};
  bool needs_daemon{true};
};

void add_words(CLI::App& app, Arguments& args, const char* what) {
  app.add_option("words", args.words, what)->type_name("");
}
void add_module(CLI::App& app, Arguments& args) {
  app.add_option("-m", args.module, "the module; without it $SAFEMODULE")->type_name("MODULE");
}
void add_files(CLI::App& app, Arguments& args) {
  app.add_option(
         "-f,--file", args.files,
         "YAML, JSON, userconfig.xml, cluster.xml, .safe, a folder of a module, or - for standard input")
      ->type_name("FILE")
      ->allow_extra_args(false);
}
void add_form(CLI::App& app, Arguments& args) {
  app.add_option("-o,--output", args.form, "table (default), wide, yaml, json, name")->type_name("FORM");
}
void add_name(CLI::App& app, Arguments& args) {
  app.add_option("--name", args.name, "name of a module whose XML has none; default: its folder's")
      ->type_name("NAME");
}

void operation_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module, and fullsync (prim, second) or nosync (swap)");
  app.add_option("-i", args.identity, "called by this detector, not by a person: counts for maxloop")
      ->type_name("IDENTITY");
  app.add_option("-u", args.user, "name of the caller in logs")->type_name("USER")->group("");
  app.add_option("--node", args.node, "on this node instead of here")->type_name("NODE");
  app.add_flag("--no-wait", args.no_wait, "do not wait until the node has taken the command");
}
void loop_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  app.add_option("-i", args.identity, "who counts, for the log")->type_name("IDENTITY");
}
void module_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
}
void words_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "start or stop, and the module");
}
void drill_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  add_form(app, args);
  app.add_option("--timeout", args.timeout, "the pair is to be complete again by then; default 5m")->type_name("TIME");
}
void preflight_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  add_form(app, args);
}
void no_options(CLI::App&, Arguments&) {}
void program_options(CLI::App& app, Arguments&) {
  app.prefix_command();
}
void state_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  app.add_flag("-v", args.verbose, "also resources and conditions");
  app.add_flag("-q", args.quiet,
               "-lq: print the state and exit with STOP 0, WAIT 1, ALONE 2, UP 2, PRIM 3, SECOND 4");
  app.add_flag("-l", args.force_log, "see -q")->group("");
}
void wait_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  app.add_option("--for", args.wanted,
                 "STOP, WAIT, ALONE, PRIM, SECOND, UP (stable), delete, or a condition's type")
      ->type_name("GOAL");
  app.add_option("--timeout", args.timeout, "give up after this time; default 60s")->type_name("TIME");
  app.add_option("--node", args.node, "look at this node's row instead of the local one")->type_name("NODE");
}
void why_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "module NAME");
}
void wait_state_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the state (waitstate) and the module");
  app.add_option("--timeout", args.timeout, "give up after this time; default never")->type_name("TIME");
}
void log_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  add_form(app, args);
  app.add_option("-l", args.to, "language; there is one")->group("");
  app.add_option("-s,--last", args.last, "so many lines; default 300")->type_name("COUNT");
  app.add_flag("-A,--all", args.all_levels, "all levels, not only U E C S");
  app.add_flag("-w,--watch", args.follow, "go on with new ones");
}
void lost_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "list; show, restore or purge, and the set");
  add_form(app, args);
  app.add_flag("-v", args.verbose, "show: also the pieces of each file");
  app.add_option("--into", args.into, "restore: a new directory, outside of what is replicated")->type_name("DIRECTORY");
}
void simulate_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "node NODE; network NAME or all; process NAME, replica or safekitd; checker RESOURCE; witness; command VERB; apply");
  add_form(app, args);
  app.add_option("--on", args.node, "process, checker, command: on this node instead of here")->type_name("NODE");
  app.add_option("-f,--file", args.files, "apply: the module's file or folder")->type_name("FILE");
}
void inspect_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module; rfsverify: also stop, which ends the one under way");
  add_form(app, args);
  app.add_flag("-v", args.verbose, "say how far it is");
}
void sync_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "full; external prim UID; external second UID; default; nothing shows what is chosen");
  app.add_flag("-d", args.blind, "external: what is changed between the backup and the start is not looked for (then nothing may be)");
}
void second_force_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  app.add_option("-d", args.date, "2026-11-28, \"2026-11-28 12:00:00\"; with Z behind it UTC, else local time")
      ->type_name("DATE")
      ->required();
}
void switch_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "on, off or status; the module");
}
void errd_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "on, off, status or list; enable or disable, and the class; the module");
}
void kill_options(CLI::App& app, Arguments& args) {
  app.add_option("--name", args.name, "exact command name")->type_name("COMMAND");
  app.add_option("--argregex", args.argument_regex, "POSIX extended expression that the command line must match")->type_name("REGEX");
  app.add_option("--level", args.level, "test, terminate, 15 or 9")->type_name("LEVEL");
}
void set_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the module");
  app.add_option("-r", args.resource, "custom.NAME")->type_name("RESOURCE");
  app.add_option("-v", args.value, "up, down, ...")->type_name("VALUE");
  app.add_option("-i", args.identity, "who sets it, in the log")->type_name("IDENTITY");
  app.add_flag("-n", args.no_log, "no line in the log");
  app.add_flag("-l", args.force_log, "a line also when nothing changes");
}
void print_options(CLI::App& app, Arguments& args) {
  add_module(app, args);
  add_words(app, args, "the text");
}
void get_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "modules, clusters, nodes, or KIND NAME");
  add_module(app, args);
  add_form(app, args);
  app.add_flag("-w,--watch", args.follow, "go on with each change");
  app.add_option("-r", args.resource, "value of one resource of the module")->type_name("RESOURCE");
}
void describe_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "module NAME");
  add_module(app, args);
}
void apply_options(CLI::App& app, Arguments& args) {
  add_files(app, args);
  add_name(app, args);
  add_module(app, args);
  add_words(app, args, "with --take: module NAME");
  app.add_flag("--dry-run", args.dry_run, "let the node check it and show what would change, and when it is in force");
  app.add_flag("--force", args.force, "also what a running module cannot take: in force when it is next started");
  app.add_option("--take", args.take, "end a conflict: the revision of this node goes for all")
      ->type_name("NODE");
}
void file_options(CLI::App& app, Arguments& args) {
  add_files(app, args);
  add_name(app, args);
  add_module(app, args);
}
void delete_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "module NAME");
  add_files(app, args);
  add_module(app, args);
  app.add_flag("--force", args.force, "stop it first if it runs");
  app.add_flag("--dry-run", args.dry_run, "only check");
}
void convert_options(CLI::App& app, Arguments& args) {
  file_options(app, args);
  app.add_option("--to", args.to, "yaml (default), json, xml")->type_name("FORM");
}
void cluster_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "init, join TOKEN, token, status, state, config, confcheck");
  add_files(app, args);
  app.add_option("--node", args.node, "this node's name in the cluster; default its host name")
      ->type_name("NAME");
  app.add_flag("--dry-run", args.dry_run, "config: only show what would change");
}
void completion_options(CLI::App& app, Arguments& args) {
  add_words(app, args, "bash");
}

constexpr const char* kObjects = "Desired state";
constexpr const char* kRunning = "A running module";
constexpr const char* kWatching = "Looking";
constexpr const char* kCluster = "Cluster and program";

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands{
      {"apply", kObjects, "create or change modules and the cluster",
       "  safekit apply -f module.yaml\n  safekit apply -f mymodule/ --dry-run      a folder: module.yaml "
       "and its scripts\n"
       "  safekit apply -f web.safe\n  safekit apply --take node2 module/web     end a conflict of two edits",
       apply_options, apply},
      {"diff", kObjects, "what an apply would change; exit 0 nothing, 1 something, 2 trouble",
       "  safekit diff -f module.yaml", file_options, diff},
      {"get", kObjects, "list or show modules, clusters, nodes",
       "  safekit get modules\n  safekit get modules -w\n  safekit get module web -o yaml\n  safekit get -m "
       "web -r tcp.listener",
       get_options, get},
      {"describe", kObjects, "everything about one module, with its last events",
       "  safekit describe module web", describe_options, describe},
      {"delete", kObjects, "delete a module", "  safekit delete module web\n  safekit delete -f module.yaml",
       delete_options, remove},
      {"validate", kObjects, "check files without a daemon",
       "  safekit validate -f module.yaml\n  safekit validate -f userconfig.xml -f cluster.xml", file_options,
       validate, false},
      {"convert", kObjects, "turn YAML, JSON, XML into each other without a daemon",
       "  safekit convert -f userconfig.xml --to yaml > module.yaml\n  safekit convert -f module.yaml --to "
       "xml",
       convert_options, convert, false},
      {"start", kRunning, "start here; a mirror takes the role that its data allows",
       "  safekit start -m web\n  safekit -H \"*\" start -m web", operation_options, operation},
      {"stop", kRunning, "stop here; a primary hands over to its secondary", "  safekit stop -m web",
       operation_options, operation},
      {"stopstart", kRunning, "stop, then start again", "  safekit stopstart -m web", operation_options,
       operation},
      {"restart", kRunning, "stop and start only the application, in the same role",
       "  safekit restart -m web", operation_options, operation},
      {"prim", kRunning, "start as primary: this node's data is the right one",
       "  safekit prim -m web\n  safekit prim fullsync -m web", operation_options, operation},
      {"primforce", kRunning, "start as primary with data that a synchronisation left half done; the other node is copied in full",
       "  safekit primforce -m web", operation_options, operation},
      {"second", kRunning, "start as secondary", "  safekit second -m web\n  safekit second fullsync -m web",
       operation_options, operation},
      {"secondforce", kRunning,
       "start as secondary; only files that were changed since a date are looked into: that older ones are equal is for you to know",
       "  safekit secondforce -d \"2026-11-28 02:00:00\" -m web", second_force_options, second_force},
      {"rfssync", kRunning, "how the next synchronisation is made: of all, or of what changed since a backup that was restored",
       "  safekit rfssync -m web\n  safekit rfssync full -m web\n"
       "  safekit rfssync external prim nov28 -m web      on the primary, then make the backup\n"
       "  safekit rfssync external second nov28 -m web    on the stopped other node, when it is restored",
       sync_options, rfs_sync},
      {"swap", kRunning, "exchange primary and secondary",
       "  safekit swap -m web\n  safekit swap nosync -m web", operation_options, operation},
      {"drill", kRunning, "a rehearsed swap of a healthy pair, with its time line; refused where it would be unsafe",
       "  safekit drill -m web\n  safekit drill -m web -o json", drill_options, drill},
      {"update", kRunning, "run the script `update` of a module that is ALONE, UP or in WAIT", "  safekit update -m web",
       operation_options, operation},
      {"forcestop", kRunning, "stop at once, when stop has no effect", "  safekit forcestop -m web",
       operation_options, operation},
      {"upgrade-datapath", kRunning, "replace the replication process by the program installed now; the application goes on",
       "  safekit upgrade-datapath -m web", operation_options, operation},
      {"incloop", kRunning, "count a corrective action of your own; exit 1 when it is one too many",
       "  safekit incloop -m web -i mychecker || safekit stop -m web -i mychecker", loop_options, loop},
      {"resetloop", kRunning, "set the counter of corrective actions to 0", "  safekit resetloop -m web", loop_options, loop},
      {"checkloop", kRunning, "exit 1 while the limit of corrective actions is passed", "  safekit checkloop -m web",
       loop_options, loop},
      {"shutdown", kRunning, "stop every module of this node, and wait until they are", "  safekit shutdown", operation_options,
       shutdown},
      {"config", kRunning, "run the scripts config and postconfig of a module again on this node", "  safekit config -m web", module_options,
       module_script},
      {"confcheck", kRunning, "run the script confcheck of a module", "  safekit confcheck -m web", module_options, module_script},
      {"wrapper", "", "the application by hand, while its module is stopped", "  safekit -r wrapper start web", words_options, wrapper},
      {"errd", kRunning, "watching of processes and services on or off; what is watched; classes of your own",
       "  safekit errd off -m web\n  safekit errd status\n  safekit errd list -m web\n  safekit errd enable batch -m web", errd_options, errd},
      {"kill", kRunning, "end processes by command name and arguments; -level=test only lists them",
       "  safekit kill -name=java -argregex=myapp -level=test\n  safekit kill -name=java -argregex=myapp -level=terminate", kill_options, kill},
      {"checker", kRunning, "checkers on or off", "  safekit checker off -m web", switch_options, switches},
      {"failover", kRunning, "automatic failover on or off; do it on all nodes",
       "  safekit -H \"*\" failover off -m web", switch_options, switches},
      {"boot", kRunning, "start at boot on or off", "  safekit boot on -m web\n  safekit boot status",
       switch_options, switches},
      {"set", kRunning, "set a resource of a custom checker; or synchronise a secondary that waits for its date",
       "  safekit set -m web -r custom.disk -v down -i mychecker\n  safekit set -m web -r rfs.syncat -v up", set_options, set_resource},
      {"printe", kRunning, "a script's message for the log", "  safekit printe -m web \"cannot start\"",
       print_options, print},
      {"printw", kRunning, "the same as a warning, for the verbose log", "", print_options, print},
      {"printi", kRunning, "the same as information, for the verbose log", "", print_options, print},
      {"state", kWatching, "state of modules on this node and its peer",
       "  safekit state\n  safekit state -m web -v\n  safekit state -m web -lq; echo $?", state_options,
       state},
      {"why", kWatching, "which failover rules hold on this node, since when and because of what", "  safekit why -m web",
       why_options, why},
      {"wait", kWatching, "wait for a state or a condition",
       "  safekit wait -m web --for PRIM --timeout 60s\n  safekit wait -m web --for SECOND --node node2\n  "
       "safekit wait -m web --for delete",
       wait_options, wait},
      {"waitstate", kWatching, "wait until a state is stable", "  safekit waitstate -m web ALONE",
       wait_state_options, wait_state},
      {"waitstart", kWatching, "wait until a start is over", "  safekit waitstart -m web", wait_state_options,
       wait_state},
      {"waitstop", kWatching, "wait until the module is stopped", "  safekit waitstop -m web",
       wait_state_options, wait_state},
      {"events", kWatching, "what happened, of one module or of the node",
       "  safekit events -m web\n  safekit events -w", log_options, log},
      {"log", kWatching, "the last lines of a module's log",
       "  safekit log -m web -s 50\n  safekit log -m web -A", log_options, log},
      {"logview", kWatching, "follow a module's log",
       "  safekit logview -m web\n  safekit logview -m web -A -s 20", log_options, log},
      {"lost-writes", kWatching, "what this node wrote alone, set aside before the other node's copy replaced it",
       "  safekit lost-writes list -m web\n  safekit lost-writes show 20261128T034500Z -m web -v\n"
       "  safekit lost-writes restore 20261128T034500Z -m web --into /root/lost\n"
       "  safekit -H node2 lost-writes purge 20261128T034500Z -m web",
       lost_options, lost_writes},
      {"rfsverify", kWatching, "compare both copies exactly, while the application works; exit 0 equal, 3 different, 1 trouble",
       "  safekit rfsverify -m web\n  safekit rfsverify -m web -o json\n  safekit rfsverify stop -m web", inspect_options, rfs_verify},
      {"rfsdiff", kWatching, "what the next synchronisation would copy, and how long that would take",
       "  safekit rfsdiff -m web", inspect_options, rfs_diff},
      {"preflight", kWatching, "measure networks, disks, clocks and kernels of the nodes, and say what is in the way; exit 1 when something is",
       "  safekit preflight\n  safekit preflight -m web -o json", preflight_options, preflight},
      {"simulate", kWatching, "what would happen now if something failed or was done; nothing is touched",
       "  safekit simulate node node1 -m web\n  safekit simulate network all -m web\n"
       "  safekit simulate process httpd --on node1 -m web\n  safekit simulate checker tcp.port -m web\n"
       "  safekit simulate witness -m web\n  safekit simulate command swap -m web\n"
       "  safekit simulate apply -f module.yaml -m web -o json",
       simulate_options, simulate},
      {"cluster", kCluster, "make a cluster, let nodes in, see all nodes",
       "  safekit cluster init --node node1 -f cluster.yaml\n  safekit cluster token\n  safekit cluster join "
       "TOKEN --node node2\n"
       "  safekit cluster status\n  safekit cluster config -f cluster.xml",
       cluster_options, cluster},
      {"sandbox", kCluster, "a cluster of several nodes on this machine, to try things",
       "  safekit sandbox up\n  safekit sandbox --help", program_options, nullptr, false},
      {"witness", kCluster, "on a third machine: lets one of two nodes go on that cannot hear each other",
       "  safekit witness\n  safekit witness --show\n  safekit witness --help", program_options, nullptr, false},
      {"completion", kCluster, "completion for the shell", "  source <(safekit completion bash)",
       completion_options, completion, false},
      {"level", kCluster, "host, system and version; with a module also the output of its script level", "  safekit level -m web",
       module_options, level},
      {"version", kCluster, "the version", "", no_options, version, false},
  };
  return kCommands;
}

void add_common(CLI::App& app, Arguments& args) {
  app.add_option("-H", args.hosts, "on these nodes: \"*\" for all, or node1,node2")
      ->type_name("NODES")
      ->group("Where");
  app.add_option("--server", args.server, "a remote daemon, https://host:9453 ($SAFEKIT_SERVER)")
      ->type_name("URL")
      ->group("Where");
  app.add_option("--token-file", args.token_file, "file with the token for --server ($SAFEKIT_TOKEN_FILE)")
      ->type_name("FILE")
      ->group("Where");
  app.add_option("--ca", args.authority_file, "ca.pem of the cluster, for --server ($SAFEKIT_CA)")
      ->type_name("FILE")
      ->group("Where");
  app.add_option("--socket", args.socket, "socket of the local daemon ($SAFEKIT_SOCKET)")
      ->type_name("PATH")
      ->group("Where");
}

/// Sends every request on to one node.
class NodeClient final : public api::Client {
 public:
  NodeClient(api::Client& through, std::string node) : through_(through), node_(std::move(node)) {}
  Result<api::Response> call(const api::Request& request) override {
    api::Request there = request;
    there.query["node"] = node_;
    return through_.call(there);
  }
  Status watch(const api::Request& request, Duration limit, const OnEvent& on_event) override {
    api::Request there = request;
    there.query["node"] = node_;
    return through_.watch(there, limit, on_event);
  }
  [[nodiscard]] std::string name() const override { return node_; }

 private:
  api::Client& through_;
  std::string node_;
};

Result<std::vector<std::string>> nodes_of(Session& session, const std::string& hosts) {
  if (hosts.find_first_of("[:/") != std::string::npos) {
    return Error{
        Code::Unsupported,
        fmt::format("-H '{}': name nodes of the cluster (\"*\" or node1,node2), or use --server URL", hosts)};
  }
  std::vector<std::string> names;
  if (hosts == "*") {
    SK_TRY(const doc::Node list, ask(session, request(api::Method::Get, "nodes")));
    for (const doc::Node& node : items_of(list)) names.push_back(api::text_at(node, {"name"}));
    return names;
  }
  for (std::size_t at = 0; at <= hosts.size();) {
    const std::size_t end = std::min(hosts.find(',', at), hosts.size());
    if (end > at) names.push_back(hosts.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

/// One banner a node, as spec/operations.md 1.3 has it.
int run_on_nodes(const Command& command, Session& here, const std::string& hosts) {
  if (command.run == log && (here.args.follow || here.args.command == "logview")) {
    return usage(here, "following a log works only on the node itself: --server https://NODE:9453");
  }
  const auto nodes = nodes_of(here, hosts);
  if (!nodes) return fail(here, nodes.error());
  int worst = kFine;
  for (const std::string& node : *nodes) {
    here.output.out(fmt::format("---------------- Server={} ----------------\n", node));
    NodeClient client{here.client, node};
    Session there{client, here.output, here.args, here.environment};
    const int code = command.run(there);
    if (code == kFine) here.output.out("Success\n");
    worst = std::max(worst, code);
  }
  return worst;
}

int dispatch(const Command& command, Arguments& args, World& world) {
  if (command.run == completion) {
    for (const Command& each : commands())
      args.value += (args.value.empty() ? "" : " ") + std::string{each.name};
  }
  struct Nobody final : api::Client {
    Result<api::Response> call(const api::Request&) override {
      return Error{Code::Unavailable, "no daemon is asked"};
    }
    Status watch(const api::Request&, Duration, const OnEvent&) override {
      return Error{Code::Unavailable, "no daemon is asked"};
    }
    [[nodiscard]] std::string name() const override { return "nobody"; }
  } nobody;
  if (!command.needs_daemon) {
    Session session{nobody, world.output, args, world.environment};
    return command.run(session);
  }
  auto client = world.connect(args);
  if (!client) {
    Session session{nobody, world.output, args, world.environment};
    return fail(session, client.error());
  }
  Session session{**client, world.output, args, world.environment};
  std::string hosts = args.hosts;
  if (hosts.empty() && command.run == operation && !args.node.empty()) {
    NodeClient there{**client, args.node};
    Session remote{there, world.output, args, world.environment};
    return operation(remote);
  }
  return hosts.empty() ? command.run(session) : run_on_nodes(command, session, hosts);
}

}  // namespace

int run(const std::vector<std::string>& given, World& world) {
  std::vector<std::string> words = given;
  // The only special that speaks to the daemon.
  if (words.size() > 1 && words[0] == "-r" && words[1] == "wrapper") words.erase(words.begin());
  if (const auto code = run_helper(words, world.output)) return *code;
  if (const auto later = not_yet(words)) {
    world.output.err(fmt::format("Error: {}\nSee: safekit --help\n", *later));
    return kUsage;
  }
  Arguments args;
  CLI::App app{
      "safekit: high availability for an application on two or more nodes.\nEvery command has --help with "
      "examples."};
  app.name("safekit");
  app.footer(
      "Start here:\n  safekit sandbox up                      a cluster on this machine\n"
      "  safekit apply -f module.yaml            say what should run\n  safekit state                        "
      "   see what does\n");
  app.set_help_flag("-h,--help", "this help");
  app.require_subcommand(0, 1);
  bool wants_version = false;
  app.add_flag("--version", wants_version, "the version");
  add_common(app, args);
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary)->group(command.group);
    command.options(*sub, args);
    if (command.needs_daemon) add_common(*sub, args);
    if (*command.examples != '\0') sub->footer(std::string{"Examples:\n"} + command.examples + "\n");
  }
  std::vector<std::string> reversed{words.rbegin(), words.rend()};  // as the library wants them
  // SafeKit writes these long names with one dash.
  for (std::string& word : reversed) {
    if (word.starts_with("-name=") || word.starts_with("-argregex=") || word.starts_with("-level=")) word.insert(0, 1, '-');
  }
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    world.output.out(chosen.empty() ? app.help() : chosen[0]->help("safekit"));
    return kFine;
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    if (chosen.empty() && !words.empty() && !words[0].starts_with("-")) {
      std::vector<std::string_view> names;
      for (const Command& each : commands()) names.emplace_back(each.name);
      const std::string near = codec::nearest(words[0], names);
      world.output.err(fmt::format("Error: there is no command '{}'{}\nSee: safekit --help\n", words[0],
                                   near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)));
      return kUsage;
    }
    world.output.err(fmt::format("Error: {}\nSee: safekit {}--help\n", error.what(),
                                 chosen.empty() ? "" : chosen[0]->get_name() + " "));
    return kUsage;
  }
  const auto chosen = app.get_subcommands();
  if (wants_version) {
    world.output.out(fmt::format("safekit {}\n", api::kVersion));
    return kFine;
  }
  if (chosen.empty()) {
    world.output.err(app.help());
    return kUsage;
  }
  args.command = chosen[0]->get_name();
  const auto command = std::find_if(commands().begin(), commands().end(),
                                    [&args](const Command& each) { return args.command == each.name; });
  SK_ASSERT(command != commands().end());
  if (command->run == nullptr) {
    world.output.err(fmt::format(
        "Error: safekit {0} is a program of its own, safekit-{0}, which is not installed beside safekit\n", args.command));
    return kFailed;
  }
  return dispatch(*command, args, world);
}

Result<std::unique_ptr<api::Client>> connect(const Arguments& args,
                                             const std::map<std::string, std::string>& environment) {
  const auto from = [&environment](const std::string& given, const char* variable) {
    const auto found = environment.find(variable);
    return given.empty() && found != environment.end() ? found->second : given;
  };
  const std::string server = from(args.server, "SAFEKIT_SERVER");
  if (server.empty()) {
    const std::string socket = from(args.socket, "SAFEKIT_SOCKET");
    return api::local_client(socket.empty() ? std::string{api::kSocketFile} : socket);
  }
  SK_TRY(api::HttpsTarget target, api::parse_target(server));
  if (const std::string file = from(args.token_file, "SAFEKIT_TOKEN_FILE"); !file.empty()) {
    SK_TRY(target.token, read_file(file));
    while (!target.token.empty() && std::isspace(static_cast<unsigned char>(target.token.back())) != 0)
      target.token.pop_back();
  }
  if (const std::string file = from(args.authority_file, "SAFEKIT_CA"); !file.empty()) {
    SK_TRY(target.authority_pem, read_file(file));
  }
  return api::https_client(std::move(target));
}

}  // namespace safekit::cli
