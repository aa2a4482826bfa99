#include <algorithm>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "schema/doc/json.h"

/// Processes of a module, and of the node (spec/operations.md 1.8).
namespace safekit::cli {
namespace {

using api::Method;
using doc::Node;

int list(Session& session, const std::string& module) {
  const auto answer = ask(session, request(Method::Get, fmt::format("modules/{}/processes", module)));
  if (!answer) return fail(session, answer.error());
  for (const Node& target : items_of(*answer)) {
    const std::string enabled = api::text_at(target, {"enabled"});
    session.output.out(fmt::format("{} {} class={}{} action={}: {}\n", api::text_at(target, {"service"}) == "true" ? "service" : "process",
                                   api::text_at(target, {"name"}), api::text_at(target, {"class"}),
                                   enabled.empty() ? "" : enabled == "true" ? " (enabled)" : " (disabled)",
                                   api::text_at(target, {"action"}), api::text_at(target, {"value"})));
    for (const Node& process : target.find("processes")->children) {
      session.output.out(fmt::format("  {} {}\n", api::text_at(process, {"pid"}), api::text_at(process, {"arguments"})));
    }
  }
  return kFine;
}

int set_class(Session& session, std::vector<std::string> words, bool enabled) {
  if (words.empty()) return usage(session, "say which class: safekit errd enable CLASS -m MODULE");
  const std::string name = words.front();
  words.erase(words.begin());
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  Node body = Node::map();
  body.add("class", Node::string(name));
  body.add("enabled", Node::boolean(enabled));
  const auto answer = ask(session, request(Method::Post, fmt::format("modules/{}/errd-classes", *module), {}, &body));
  return answer ? kFine : fail(session, answer.error());
}

}  // namespace

int errd(Session& session) {
  std::vector<std::string> words = session.args.words;
  const std::string verb = words.empty() ? std::string{} : words.front();
  if (verb == "enable" || verb == "disable") return set_class(session, {words.begin() + 1, words.end()}, verb == "enable");
  if (std::erase(words, "list") > 0) {
    const auto module = module_of(session, words);
    return module ? list(session, *module) : usage(session, module.error().what);
  }
  // What they were called before there were on and off.
  Arguments args = session.args;
  std::ranges::replace(args.words, std::string{"suspend"}, std::string{"off"});
  std::ranges::replace(args.words, std::string{"resume"}, std::string{"on"});
  Session same{session.client, session.output, args, session.environment};
  return switches(same);
}

int kill(Session& session) {
  const Arguments& args = session.args;
  if (args.name.empty() || args.level.empty()) return usage(session, "say which and how: safekit kill -name=COMMAND -level=test");
  Node body = Node::map();
  body.add("name", Node::string(args.name));
  body.add("argRegex", Node::string(args.argument_regex));
  body.add("level", Node::string(args.level));
  const auto answer = ask(session, request(Method::Post, "processes", {}, &body));
  if (!answer) return fail(session, answer.error());
  for (const Node& process : items_of(*answer)) {
    session.output.out(fmt::format("{} {} {} (parent={})\n", api::text_at(process, {"pid"}), api::text_at(process, {"command"}),
                                   api::text_at(process, {"arguments"}), api::text_at(process, {"parent"})));
  }
  return kFine;
}

}  // namespace safekit::cli
