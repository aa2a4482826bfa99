#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <vector>

#include "e2e/sandbox/init.h"
#include "e2e/sandbox/sandbox.h"

namespace {

using namespace safekit::sandbox;
using safekit::Code;
using safekit::Error;
using safekit::Status;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kAbout =
    "A cluster on one machine, to try a module before production.\n"
    "Each node is a set of Linux namespaces (network, mounts, processes, host name, IPC) with its own files; "
    "a\n"
    "bridge in a namespace of its own is each network. Nothing is reachable from outside: `client` is a node "
    "on the\n"
    "first network from which to use the virtual addresses. Needs root.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  safekit sandbox up                                   two nodes, networks default and replication\n"
    "  safekit sandbox up --name farm --nodes 3 --networks default\n"
    "  safekit sandbox exec node1 -- safekit state\n"
    "  safekit sandbox exec client -- psql -h 10.99.0.100 -U postgres\n"
    "  safekit sandbox kill node1; safekit sandbox start node1\n"
    "  safekit sandbox cut replication; safekit sandbox heal\n"
    "  safekit sandbox down --purge";

constexpr const char* kKillHelp =
    "Power off a node: its cables are pulled first, then all its processes are killed at once, so that no "
    "peer hears\n"
    "a goodbye. One thing differs from a real power loss: all nodes share the kernel of this machine, so "
    "what the node\n"
    "wrote but did not sync survives in the page cache. To test lost caches use virtual machines.";

constexpr const char* kCutHelp =
    "Cut a network for one node, or for all. The node's interface loses its carrier, as when the cable is "
    "pulled;\n"
    "with --silent it keeps the carrier and its frames vanish, as when a switch further away fails. A cut "
    "outlives\n"
    "kill and start of the node.";

int say(const Status& done, const std::string& success) {
  if (done) {
    if (!success.empty()) std::printf("%s\n", success.c_str());
    return 0;
  }
  std::fprintf(stderr, "safekit sandbox: %s\n", done.error().what.c_str());
  return done.error().code == Code::Invalid || done.error().code == Code::NotFound ? kUsage : kFailed;
}

/// How many words of `exec NODE [--] COMMAND...` are ours: the command's own options are not.
int split_exec(int count, char** words) {
  if (count < 2 || std::string_view(words[1]) != "exec") return count;
  bool node_seen = false;
  for (int i = 2; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--") return i;
    if (word == "--name") ++i;
    if (word.substr(0, 1) == "-") continue;
    if (node_seen) return i;
    node_seen = true;
  }
  return count;
}

/// Everything a command line can say.
struct Arguments {
  UpOptions up{};
  CutOptions cut{};
  std::string node{};
  std::vector<std::string> command{};
  std::string directory{};
  bool purge{false};
  bool json{false};
};

/// The sub-commands; each leaves what is to be done in `action`.
class CommandLine {
 public:
  CommandLine() : app_(kAbout, "safekit sandbox") {
    app_.footer(kExamples);
    app_.require_subcommand(1);
    add_up();
    add_down_and_status();
    add_exec();
    add_power();
    add_cables();
    add_internal();
  }

  int run(int count, char** words) {
    try {
      const int own = split_exec(count, words);
      arguments_.command.assign(words + own, words + count);
      if (!arguments_.command.empty() && arguments_.command.front() == "--")
        arguments_.command.erase(arguments_.command.begin());
      app_.parse(own, words);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : kUsage;
    }
    return action_();
  }

 private:
  CLI::App* add(const std::string& name, const std::string& help, std::function<int()> action) {
    CLI::App* command = app_.add_subcommand(name, help);
    command->add_option("--name", arguments_.up.name, "Name of the sandbox; several can run side by side")
        ->capture_default_str();
    command->callback([this, action] { action_ = action; });
    return command;
  }

  void add_up() {
    UpOptions& up = arguments_.up;
    CLI::App* command = add("up", "Make a sandbox, or complete one that is there", [this] {
      const Status done = safekit::sandbox::up(arguments_.up, [](const std::string& line) {
        std::printf("  %s\n", line.c_str());
        std::fflush(stdout);
      });
      return say(done, "sandbox '" + arguments_.up.name + "' is up");
    });
    command->add_option("--nodes", up.node_count, "How many nodes: node1, node2, ... (default 2)");
    command
        ->add_option("--networks", up.networks,
                     "Networks, the first is the service network (default default,replication)")
        ->delimiter(',');
    command
        ->add_option("-f,--file", up.cluster_file,
                     "Cluster object (YAML): its nodes, lans and addresses are used")
        ->check(CLI::ExistingFile)
        ->excludes("--nodes")
        ->excludes("--networks");
    command->add_option("--dir", up.directory,
                        "Where its files are kept (default /var/lib/safekit-sandbox/NAME)");
    command->add_option(
        "--private", up.private_paths,
        "Path of which each node has its own copy, empty at first; may be repeated (default /srv)");
    command->add_option("--daemon", up.daemon,
                        "Program to run on each node instead of safekitd; no cluster is formed");
    command->add_flag("--bare", up.bare, "Nodes without any daemon");
  }

  void add_down_and_status() {
    CLI::App* command =
        add("down", "End a sandbox and remove all it has made; the nodes' files stay", [this] {
          return say(safekit::sandbox::down(arguments_.up.name, arguments_.purge),
                     "sandbox '" + arguments_.up.name + "' is down");
        });
    command->add_flag("--purge", arguments_.purge, "Remove the nodes' files too");
    command = add("status", "Show the nodes, their addresses and what is cut", [this] {
      const auto text = status_text(arguments_.up.name, arguments_.json);
      if (!text) return say(Status(text.error()), "");
      std::fputs(text->c_str(), stdout);
      return 0;
    });
    command->add_flag("--json", arguments_.json, "As JSON");
  }

  void add_exec() {
    CLI::App* command = add("exec", "Run a command on a node; its exit code is ours", [this] {
      if (arguments_.command.empty()) arguments_.command = {"bash"};
      const auto code = execute(arguments_.up.name, arguments_.node, arguments_.command);
      return code ? *code : say(Status(code.error()), "");
    });
    command->add_option("node", arguments_.node, "Node, or client")->required();
    command->footer("safekit sandbox exec NODE [--] COMMAND...   without a command: a shell");
  }

  void add_power() {
    add("kill", kKillHelp,
        [this] { return say(kill_node(arguments_.up.name, arguments_.node), arguments_.node + " is off"); })
        ->add_option("node", arguments_.node, "Node")
        ->required();
    add("start", "Power on a node that was killed, with the files it had",
        [this] { return say(start_node(arguments_.up.name, arguments_.node), arguments_.node + " is up"); })
        ->add_option("node", arguments_.node, "Node")
        ->required();
  }

  void add_cables() {
    CLI::App* command = add("cut", kCutHelp, [this] {
      return say(safekit::sandbox::cut(arguments_.up.name, arguments_.cut), "cut");
    });
    command->add_option("network", arguments_.cut.network, "Network")->required();
    command->add_option("node", arguments_.cut.node, "Node (default: all, and the client)");
    command->add_flag("--silent", arguments_.cut.silent, "The nodes keep their carrier");
    command = add("heal", "Undo cuts: all of them, those of a network, or those of one node on it", [this] {
      return say(safekit::sandbox::heal(arguments_.up.name, arguments_.cut), "healed");
    });
    command->add_option("network", arguments_.cut.network, "Network (default: all)");
    command->add_option("node", arguments_.cut.node, "Node (default: all)");
  }

  /// What this program starts of itself; not for users.
  void add_internal() {
    CLI::App* command = add("init", "", [this] { return run_init(arguments_.directory, arguments_.node); });
    command->add_option("--dir", arguments_.directory)->required();
    command->add_option("--node", arguments_.node)->required();
    command->group("");
    add("switch", "", [] { return run_switch(); })->group("");
  }

  Arguments arguments_{};
  CLI::App app_;
  std::function<int()> action_{};
};

}  // namespace

int main(int count, char** words) {
  return CommandLine().run(count, words);
}
