#include <algorithm>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/store/object.h"
#include "schema/codec/status_tree.h"
#include "schema/doc/json.h"
#include "schema/status/role.h"

/// Commands about a module as it runs.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr int kOutcomeRounds =
    12;  ///< of 5 s each: a node that does not take a command within a minute is ill
constexpr std::string_view kDone = "done";
/// The graceful and the forced stop of the longest scripts that there are by default.
constexpr Duration kShutdownMax = minutes{20};
constexpr int kNoState = 255;  ///< of state -lq

/// Waits until the node's role controller has taken the command. Errors: Conflict with why it was refused.
Status await_outcome(Session& session, const std::string& id) {
  for (int round = 0; round < kOutcomeRounds; ++round) {
    SK_TRY(const Node now, ask(session, request(Method::Get, "operations/" + id, {{"wait", "5s"}})));
    const std::string outcome = text_at(now, {"outcome"});
    if (outcome == kDone) return {};
    if (!outcome.empty()) return Error{Code::Conflict, outcome};
  }
  return Error{Code::Timeout,
               "the command was accepted, but is not carried out yet; look at it with safekit state"};
}

/// What `--for` waits for.
struct Goal {
  std::optional<status::Role> role{};
  std::string condition{};
  bool deleted{false};
  bool start_over{false};  ///< waitstart: no longer Transient
};

Result<Goal> parse_goal(const std::string& word) {
  Goal goal;
  std::string upper = word;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  goal.role = status::parse_role(upper);
  if (goal.role) return goal;
  constexpr std::string_view kCondition = "condition=";
  if (word == "delete") {
    goal.deleted = true;
  } else if (word.starts_with(kCondition)) {
    goal.condition = word.substr(kCondition.size());
  } else {
    goal.condition = word;
  }
  if (word.empty())
    return Error{Code::Invalid, "wait for what? --for STOP|WAIT|ALONE|PRIM|SECOND|UP|delete|CONDITION"};
  return goal;
}

/// Stable: NotReady for STOP and WAIT, Ready for the others.
bool is_reached(const Goal& goal, const Node& view, const std::string& node_name) {
  const Node* status = view.find("status");
  if (status == nullptr) return false;
  if (!goal.condition.empty()) {
    const Node* conditions = status->find("conditions");
    if (conditions == nullptr) return false;
    return std::any_of(
        conditions->children.begin(), conditions->children.end(), [&goal](const Node& condition) {
          return text_at(condition, {"type"}) == goal.condition && text_at(condition, {"status"}) == "True";
        });
  }
  const Node* nodes = status->find("nodes");
  if (nodes == nullptr) return false;
  for (const Node& node : nodes->children) {
    const bool is_meant =
        node_name.empty() ? text_at(node, {"local"}) == "true" : text_at(node, {"name"}) == node_name;
    if (!is_meant) continue;
    const std::string readiness = text_at(node, {"readiness"});
    if (goal.start_over) return readiness != "Transient" && !readiness.empty();
    if (text_at(node, {"role"}) != to_string(*goal.role)) return false;
    const bool rests = *goal.role == status::Role::Stop || *goal.role == status::Role::Wait;
    return readiness == (rests ? "NotReady" : "Ready");
  }
  return false;
}

/// The view in which the goal was reached. Errors: Timeout, with the last state seen.
Result<Node> wait_for(Session& session, const std::string& module, const Goal& goal, Duration limit) {
  Node last = Node::map();
  if (const auto now = ask(session, request(Method::Get, "modules/" + module)); now) {
    last = *now;
    const Node* status = last.find("status");
    const bool runs_here = status != nullptr && status->find("nodes") != nullptr;
    if (!runs_here && !goal.deleted) {
      return Error{Code::NotFound, fmt::format("module '{}' does not run on this node: wait on one of its own "
                                               "(safekit get module {} -o yaml names them)", module, module)};
    }
  } else {
    const bool is_absent = now.error().code == Code::NotFound;
    if (is_absent && goal.deleted) return last;
    // Applied on another node a moment ago, it is on its way here; SafeKit's own commands know no such thing.
    if (!is_absent || session.args.command != "wait") return now.error();
    session.output.err(fmt::format("module '{}' is not known on this node yet\n", module));
  }
  const auto watched = session.client.watch(
      request(Method::Get, "modules/" + module), limit, [&](std::string_view type, const Node& view) {
        if (type == "DELETED") return !goal.deleted;
        if (type != "ADDED" && type != "MODIFIED") return true;
        last = view;
        return goal.deleted || !is_reached(goal, view, session.args.node);
      });
  if (watched) return last;
  if (watched.error().code != Code::Timeout) return watched.error();
  std::string states;
  if (const Node* status = last.find("status"); status != nullptr && status->find("nodes") != nullptr) {
    for (const Node& node : status->find("nodes")->children) states += " " + node_state(node, false);
  }
  return Error{Code::Timeout,
               fmt::format("not reached within {}; module '{}' is now:{}", safekit::to_string(limit), module,
                           states.empty() ? " not known on this node" : states)};
}

Result<Duration> limit_of(const Session& session, Duration fallback) {
  if (session.args.timeout.empty()) return fallback;
  return parse_duration(session.args.timeout);
}

/// Its number.
Result<std::string> post_operation(Session& session, const std::string& module, const std::string& verb,
                                   const std::string& argument) {
  const Arguments& args = session.args;
  Node body = Node::map();
  body.add("verb", Node::string(verb));
  if (!argument.empty()) body.add("argument", Node::string(argument));
  if (!args.identity.empty()) {
    body.add("automatic", Node::boolean(true));
    body.add("caller", Node::string(args.identity));
  } else if (!args.user.empty()) {
    body.add("caller", Node::string(args.user));
  }
  SK_TRY(const Node posted,
         ask(session, request(Method::Post, fmt::format("modules/{}/operations", module), {}, &body)));
  return text_at(posted, {"id"});
}

}  // namespace

Status operate(Session& session, const std::string& module, const std::string& verb,
               const std::string& argument) {
  SK_TRY(const std::string id, post_operation(session, module, verb, argument));
  // A script of the module that waited for its own command would wait for itself.
  if (session.args.no_wait || !session.args.identity.empty()) return {};
  return await_outcome(session, id);
}

int operation(Session& session) {
  const Arguments& args = session.args;
  std::vector<std::string> words = args.words;
  std::string argument;
  for (const char* known : {"fullsync", "nosync"}) {
    if (std::erase(words, known) > 0) argument = known;
  }
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  const Status status = operate(session, *module, args.command, argument);
  if (!status) return fail(session, status.error());
  if (args.identity.empty())
    session.output.out(fmt::format("module/{} {}: accepted\n", *module, args.command));
  return kFine;
}

/// Exit 1 when the limit is passed. Who counts waits for the answer also where it is a script of the module: all states take it.
int loop(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto posted = post_operation(session, *module, session.args.command, "");
  if (!posted) return fail(session, posted.error());
  const Status status = await_outcome(session, *posted);
  return status ? kFine : fail(session, status.error());
}

/// All at once, for each hands over by itself; then until all have stopped: the system goes down after this.
int shutdown(Session& session) {
  const auto list = ask(session, request(Method::Get, "modules"));
  if (!list) return fail(session, list.error());
  const auto limit = limit_of(session, kShutdownMax);
  if (!limit) return usage(session, limit.error().what);
  int worst = kFine;
  const auto failed = [&](const std::string& name, const Error& error) {
    worst = fail(session, Error{error.code, fmt::format("module '{}': {}", name, error.what)});
  };
  std::vector<std::string> stopping;
  for (const Node& module : items_of(*list)) {
    if (module.find("status") == nullptr || module.find("status")->find("nodes") == nullptr) continue;
    const std::string name = text_at(module, {"metadata", "name"});
    const Status status = operate(session, name, "shutdown", "");
    if (status) {
      stopping.push_back(name);
    } else {
      failed(name, status.error());
    }
  }
  for (const std::string& name : stopping) {
    const auto stopped = wait_for(session, name, Goal{.role = status::Role::Stop}, *limit);
    if (!stopped) {
      failed(name, stopped.error());
    } else {
      session.output.out(fmt::format("module/{} shutdown: stopped\n", name));
    }
  }
  return worst;
}

namespace {

/// The module's own word on its state.
int state_script(Session& session, const std::string& module) {
  const auto run = run_script(session, {.module = module, .what = "state"});
  if (!run) return run.error().code == Code::NotFound ? kFine : fail(session, run.error());  // a safekitd that knows none
  if (!text_at(*run, {"script"}).empty()) session.output.out("\n" + text_at(*run, {"output"}));
  return kFine;
}

}  // namespace

int state(Session& session) {
  const Arguments& args = session.args;
  const auto module = module_of(session, args.words);
  const bool one = module.has_value();
  // 0 to 4 are states: no failure may look like one.
  if (!one && args.quiet) return usage(session, module.error().what), kNoState;
  std::vector<std::string> names;
  if (one) {
    names.push_back(*module);
  } else {
    const auto list = ask(session, request(Method::Get, "modules"));
    if (!list) return fail(session, list.error());
    for (const Node& item : items_of(*list)) {
      if (const Node* status = item.find("status"); status != nullptr && status->find("nodes") != nullptr) {
        names.push_back(text_at(item, {"metadata", "name"}));
      }
    }
    if (names.empty()) session.output.out("No module on this node. Make one: safekit apply -f module.yaml\n");
  }
  int code = kFine;
  for (const std::string& name : names) {
    const auto status = ask(session, request(Method::Get, fmt::format("modules/{}/status", name)));
    if (!status) {
      code = fail(session, status.error());
      if (args.quiet) return kNoState;
      continue;
    }
    if (args.quiet) {
      const std::string role = text_at(status->find("nodes")->children.at(0), {"role"});
      session.output.out(role + "\n");
      const auto parsed = status::parse_role(role);
      return parsed ? status::exit_code(*parsed) : kNoState;
    }
    session.output.out(state_text(name, *status, args.verbose, session.colours()));
    if (args.verbose && one) code = std::max(code, state_script(session, name));
  }
  return code;
}

int why(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto status = ask(session, request(Method::Get, fmt::format("modules/{}/status", *module)));
  if (!status) return fail(session, status.error());
  session.output.out(rules_text(*module, *status));
  return kFine;
}

int wait(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto goal = parse_goal(session.args.wanted);
  if (!goal) return usage(session, goal.error().what);
  const auto limit = limit_of(session, seconds{60});
  if (!limit) return usage(session, limit.error().what);
  const auto reached = wait_for(session, *module, *goal, *limit);
  if (!reached) return fail(session, reached.error());
  session.output.out(fmt::format("module/{} {}: reached\n", *module, session.args.wanted));
  return kFine;
}

int wait_state(Session& session) {
  const Arguments& args = session.args;
  Goal goal;
  std::vector<std::string> words = args.words;
  if (args.command == "waitstate") {
    for (const auto state : {status::Role::Stop, status::Role::Alone, status::Role::Up, status::Role::Prim,
                             status::Role::Second}) {
      if (std::erase(words, to_string(state)) > 0) goal.role = state;
    }
    if (!goal.role) return usage(session, "wait for which state? STOP, ALONE, UP, PRIM or SECOND");
  } else if (args.command == "waitstop") {
    goal.role = status::Role::Stop;
  } else {
    goal.start_over = true;
  }
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  const auto limit = limit_of(session, Duration::max());
  if (!limit) return usage(session, limit.error().what);
  const auto reached = wait_for(session, *module, goal, *limit);
  if (!reached) return fail(session, reached.error());
  if (!goal.start_over) return kFine;
  const std::string role = text_at(reached->find("status")->find("nodes")->children.at(0), {"role"});
  return role == "STOP"
             ? fail(session, Error{Code::Conflict,
                                   fmt::format("module '{}' is stopped: it did not start (safekit log -m {})",
                                               *module, *module)})
             : kFine;
}

int log(Session& session) {
  const Arguments& args = session.args;
  const bool is_events = args.command == "events";
  const auto module = module_of(session, args.words);
  if (!module && !is_events) return usage(session, module.error().what);
  const std::string path = module ? fmt::format("modules/{}/events", *module) : "events";
  std::map<std::string, std::string> query{{"last", std::to_string(args.last)}};
  if (args.all_levels || args.verbose) query["verbose"] = "true";
  const auto form = parse_form(args.form);
  if (!form) return usage(session, form.error().what);
  const auto show = [&](const Node& tree) {
    if (*form == Form::Json || *form == Form::Yaml) {
      session.output.out(*form == Form::Json ? doc::print_json(tree, doc::JsonForm::Compact) + "\n"
                                             : "---\n" + printed(tree, *form));
      return;
    }
    const auto event = codec::event_from(tree);
    if (!event) return;
    const std::string where = is_events && !module && !event->module.empty() ? event->module.str() + " " : "";
    session.output.out(where + log_line(*event));
  };
  if (!args.follow && args.command != "logview") {
    const auto list = ask(session, request(Method::Get, path, query));
    if (!list) return fail(session, list.error());
    for (const Node& item : items_of(*list)) show(item);
    return kFine;
  }
  // A watch waits also for a module that is yet to come; a wrong name is more likely.
  if (const auto known = ask(session, request(Method::Get, path, {{"last", "1"}})); !known)
    return fail(session, known.error());
  const Status status = session.client.watch(request(Method::Get, path, query), Duration::max(),
                                             [&](std::string_view, const Node& tree) {
                                               show(tree);
                                               return !session.output.is_broken();
                                             });
  return status ? kFine : fail(session, status.error());
}

int switches(Session& session) {
  const Arguments& args = session.args;
  std::string word;
  std::vector<std::string> words = args.words;
  for (const char* known : {"on", "off", "status"}) {
    if (std::erase(words, known) > 0) word = known;
  }
  const auto module = module_of(session, words);
  if (!module && !words.empty()) return usage(session, fmt::format("'{}' is none of on, off, status", words.front()));
  if (word == "status" || (word.empty() && args.command == "boot")) {
    const auto list = ask(session, request(Method::Get, "modules"));
    if (!list) return fail(session, list.error());
    for (const Node& item : items_of(*list)) {
      const std::string name = text_at(item, {"metadata", "name"});
      const Node* status = item.find("status");
      if ((module && *module != name) || status == nullptr || status->find("nodes") == nullptr) continue;
      const std::string now = text_at(status->find("nodes")->children.at(0), {"settings", args.command});
      session.output.out(fmt::format("{} {}\n", name,
                                     now.empty()     ? "as configured"
                                     : now == "true" ? "on"
                                                     : "off"));
    }
    return kFine;
  }
  if (word.empty()) return usage(session, "say on or off");
  if (!module) return usage(session, module.error().what);
  Node body = Node::map();
  body.add(args.command, Node::boolean(word == "on"));
  const auto answer =
      ask(session, request(Method::Post, fmt::format("modules/{}/settings", *module), {}, &body));
  return answer ? kFine : fail(session, answer.error());
}

int print(Session& session) {
  std::vector<std::string> words = session.args.words;
  if (words.empty()) return usage(session, "say what to write");
  const std::string text = words.back();
  words.pop_back();
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  Node body = Node::map();
  body.add("level", Node::string(session.args.command == "printe"   ? "E"
                                 : session.args.command == "printw" ? "W"
                                                                    : "I"));
  body.add("message", Node::string(text));
  const auto answer =
      ask(session, request(Method::Post, fmt::format("modules/{}/events", *module), {}, &body));
  return answer ? kFine : fail(session, answer.error());
}

int set_resource(Session& session) {
  const Arguments& args = session.args;
  const auto module = module_of(session, args.words);
  if (!module) return usage(session, module.error().what);
  if (args.resource.empty() || args.value.empty())
    return usage(session, "say which resource and value: set -m MODULE -r custom.NAME -v up");
  if (args.resource == "rfs.syncat" && args.value == "up") {
    const Status asked = operate(session, *module, store::kSyncNow, {});
    return asked ? kFine : fail(session, asked.error());
  }
  Node body = Node::map();
  body.add("value", Node::string(args.value));
  if (!args.identity.empty()) body.add("identity", Node::string(args.identity));
  body.add("quiet", Node::boolean(args.no_log));
  body.add("log", Node::boolean(args.force_log));
  const auto answer =
      ask(session,
          request(Method::Post, fmt::format("modules/{}/resources/{}", *module, args.resource), {}, &body));
  return answer ? kFine : fail(session, answer.error());
}

int get_resource(Session& session) {
  const Arguments& args = session.args;
  const auto module = module_of(session, args.words);
  if (!module) return usage(session, module.error().what);
  const auto status = ask(session, request(Method::Get, fmt::format("modules/{}/status", *module)));
  if (!status) return fail(session, status.error());
  const Node* resources = status->find("nodes")->children.at(0).find("resources");
  const Node* found = resources == nullptr ? nullptr : resources->find(args.resource);
  if (found == nullptr) {
    return fail(session,
                Error{Code::NotFound,
                      fmt::format("module '{}' has no resource '{}' now (safekit state -v -m {} lists them)",
                                  *module, args.resource, *module)});
  }
  session.output.out(text_at(*found, {"value"}) + "\n");
  return kFine;
}

}  // namespace safekit::cli
