#include <algorithm>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/files.h"

/// Commands about the cluster and the program itself.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr std::string_view kCompletion =
    R"bash(# bash completion of safekit: source <(safekit completion bash)
_safekit() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}"
  local commands="@COMMANDS@"
  case "$before" in
    -m) COMPREPLY=($(compgen -W "$(safekit get modules -o name 2>/dev/null)" -- "$word")); return ;;
    -H|--node|--take) COMPREPLY=($(compgen -W "$(safekit get nodes -o name 2>/dev/null)" -- "$word")); return ;;
    -f|--file|--ca|--token-file|--socket|--into) COMPREPLY=($(compgen -f -- "$word")); return ;;
    -o) COMPREPLY=($(compgen -W "table wide yaml json name" -- "$word")); return ;;
    --to) COMPREPLY=($(compgen -W "yaml json xml" -- "$word")); return ;;
    --for) COMPREPLY=($(compgen -W "STOP WAIT ALONE PRIM SECOND UP delete" -- "$word")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "$commands" -- "$word")); return; fi
  case "$command" in
    get|describe|delete)
      case "$before" in
        module|modules) COMPREPLY=($(compgen -W "$(safekit get modules -o name 2>/dev/null)" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "modules clusters nodes module -o -w" -- "$word")) ;;
      esac ;;
    cluster) COMPREPLY=($(compgen -W "init join token status state config" -- "$word")) ;;
    sandbox) COMPREPLY=($(compgen -W "up down status exec kill start cut heal" -- "$word")) ;;
    witness) COMPREPLY=($(compgen -W "--listen --port --state-dir --plain --show" -- "$word")) ;;
    errd|checker|failover|boot) COMPREPLY=($(compgen -W "on off status -m" -- "$word")) ;;
    prim|second) COMPREPLY=($(compgen -W "fullsync -m" -- "$word")) ;;
    rfssync) COMPREPLY=($(compgen -W "full external prim second default -d -m" -- "$word")) ;;
    swap) COMPREPLY=($(compgen -W "nosync -m" -- "$word")) ;;
    lost-writes)
      case "$before" in
        show|restore|purge) COMPREPLY=($(compgen -W "$(safekit lost-writes list -o name 2>/dev/null)" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "list show restore purge -m --into" -- "$word")) ;;
      esac ;;
    completion) COMPREPLY=($(compgen -W "bash" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "-m -H --help $(safekit get modules -o name 2>/dev/null)" -- "$word")) ;;
  esac
}
complete -o default -F _safekit safekit
)bash";

int init(Session& session) {
  const Arguments& args = session.args;
  // A cluster is made only once: a mistake in the file is found before.
  for (const std::string& path : args.files) {
    const auto read = read_source(path, session);
    if (!read) return fail(session, read.error());
    for (const doc::Problem& problem : read->problems) session.output.err(doc::to_string(problem) + "\n");
    const auto is_error = [](const doc::Problem& problem) {
      return problem.severity == doc::Severity::Error;
    };
    if (std::any_of(read->problems.begin(), read->problems.end(), is_error)) return kFailed;
  }
  Node body = Node::map();
  body.add("node", Node::string(args.node));
  const auto made = ask(session, request(Method::Post, "cluster/init", {}, &body));
  if (!made) return fail(session, made.error());
  session.output.out(
      fmt::format("This node is now '{}', the first of a new cluster.\n", text_at(*made, {"node"})));
  if (!args.files.empty()) {
    if (const int code = apply(session); code != kFine) return code;
  }
  session.output.out(
      "Let the others in: safekit cluster token here, then safekit cluster join TOKEN --node NAME there.\n");
  return kFine;
}

int join(Session& session) {
  const Arguments& args = session.args;
  if (args.words.size() != 2)
    return usage(session,
                 "join with what? safekit cluster join TOKEN --node NAME (safekit cluster token makes one)");
  Node body = Node::map();
  body.add("token", Node::string(args.words[1]));
  body.add("node", Node::string(args.node));
  const auto joined = ask(session, request(Method::Post, "cluster/join", {}, &body));
  if (!joined) return fail(session, joined.error());
  session.output.out(fmt::format("This node is now '{}' of the cluster.\n", text_at(*joined, {"node"})));
  return kFine;
}

int token(Session& session) {
  const auto made = ask(session, request(Method::Post, "cluster/token"));
  if (!made) return fail(session, made.error());
  session.output.out(text_at(*made, {"token"}) + "\n");
  std::string expires = text_at(*made, {"expires"}).substr(0, 16);  // to the minute
  std::replace(expires.begin(), expires.end(), 'T', ' ');
  session.output.err(fmt::format("Good for one node{}. There: safekit cluster join TOKEN --node NAME\n",
                                 expires.empty() ? "" : ", until " + expires + " UTC"));
  return kFine;
}

int nodes_status(Session& session) {
  const auto nodes = ask(session, request(Method::Get, "nodes"));
  if (!nodes) return fail(session, nodes.error());
  session.output.out(nodes_table(*nodes, session.colours()));
  const auto modules = ask(session, request(Method::Get, "modules"));
  if (!modules) return fail(session, modules.error());
  if (const auto items = items_of(*modules); !items.empty())
    session.output.out("\n" + modules_table(items, true, session.colours()));
  return kFine;
}

/// SafeKit's own: every module on every node.
int modules_state(Session& session) {
  const auto modules = ask(session, request(Method::Get, "modules"));
  if (!modules) return fail(session, modules.error());
  Table table{{"Node", "Module", "Mode", "Id", "Date", "Generation"}};
  for (const Node& module : items_of(*modules)) {
    const Node* nodes = module.find("spec") == nullptr ? nullptr : module.find("spec")->find("nodes");
    if (nodes == nullptr) continue;
    for (const Node& node : nodes->children) {
      const std::string mode = text_at(module, {"spec", "mode"});
      table.add({node.text, text_at(module, {"metadata", "name"}), mode.empty() ? "mirror" : mode,
                 text_at(module, {"spec", "id"}), text_at(module, {"status", "applied", "at"}).substr(0, 19),
                 text_at(module, {"metadata", "generation"})});
    }
  }
  session.output.out(table.text());
  return kFine;
}

}  // namespace

int cluster(Session& session) {
  const std::string verb = session.args.words.empty() ? "" : session.args.words[0];
  if (verb == "init") return init(session);
  if (verb == "join") return join(session);
  if (verb == "token") return token(session);
  if (verb == "status") return nodes_status(session);
  if (verb == "state") return modules_state(session);
  if (verb == "config" || verb == "confcheck") {
    Arguments args = session.args;
    if (args.files.empty() && args.words.size() > 1) args.files.push_back(args.words[1]);
    Session with_file{session.client, session.output, args, session.environment};
    if (args.files.empty())
      return usage(session, fmt::format("say which file: safekit cluster {} -f cluster.xml", verb));
    return verb == "config" ? apply(with_file) : validate(with_file);
  }
  return usage(session, "say what: init, join, token, status, state, config, confcheck");
}

int version(Session& session) {
  session.output.out(fmt::format("safekit {}\n", api::kVersion));
  return kFine;
}

int completion(Session& session) {
  if (session.args.words != std::vector<std::string>{"bash"})
    return usage(session, "completion is there for bash: source <(safekit completion bash)");
  std::string script{kCompletion};
  constexpr std::string_view kPlace = "@COMMANDS@";
  script.replace(script.find(kPlace), kPlace.size(), session.args.value);
  session.output.out(script);
  return kFine;
}

}  // namespace safekit::cli
