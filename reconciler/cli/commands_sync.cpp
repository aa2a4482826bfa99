#include <algorithm>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/date.h"
#include "reconciler/store/object.h"

/// How the next synchronisation is made.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

/// The argument of the operation; empty: none was given. Takes what it uses from `words`. Errors: Invalid.
Result<std::string> choice_of(std::vector<std::string>& words, bool blind) {
  const auto known = [](const std::string& word) {
    return word == "full" || word == "default" || word == "external" || word == "prim" || word == "second";
  };
  const auto begin = std::ranges::find_if(words, known);
  const auto take = [&] {
    if (begin == words.end()) return std::string{};
    std::string word = *begin;
    words.erase(begin);
    return word;
  };
  std::string side = take();
  if (side == "full" || side == "default") return side;
  const bool external = side == "external";
  if (external) side = take();
  if (side != "prim" && side != "second" && (external || blind)) {
    return Error{Code::Invalid, "say which side: rfssync external prim UID, or external second UID"};
  }
  if (side.empty()) return side;
  const std::string uid = take();
  if (uid.empty()) return Error{Code::Invalid, "name the backup: a word of up to 24 characters, the same on both nodes"};
  return fmt::format("{} {}{}", side, uid, blind ? " blind" : "");
}

int show(Session& session, const std::string& module) {
  const auto status = ask(session, request(Method::Get, fmt::format("modules/{}/status", module)));
  if (!status) return fail(session, status.error());
  const Node* resources = status->find("nodes")->children.at(0).find("resources");
  if (resources == nullptr || resources->find("usersetting.rfssyncmode") == nullptr) {
    return fail(session, Error{Code::NotFound, fmt::format("module '{}' replicates no directory", module)});
  }
  for (const char* name : {"mode", "role", "uid"}) {
    session.output.out(fmt::format("{} {}\n", name, text_at(*resources, {fmt::format("usersetting.rfssync{}", name), "value"})));
  }
  return kFine;
}

}  // namespace

int rfs_sync(Session& session) {
  std::vector<std::string> words = session.args.words;
  const auto choice = choice_of(words, session.args.blind);
  if (!choice) return usage(session, choice.error().what);
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  if (choice->empty()) return show(session, *module);
  const Status status = operate(session, *module, store::kRfsSync, *choice);
  if (!status) return fail(session, status.error());
  session.output.out(fmt::format("module/{} rfssync: accepted\n", *module));
  if (choice->starts_with("prim ")) session.output.out("Make the backup now, with owners, modes, times, links and xattrs\n");
  return kFine;
}

int second_force(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto date = parse_date(session.args.date);
  if (!date) return usage(session, date.error().what);
  const std::string since = to_string(*date);
  const Status chosen = operate(session, *module, store::kRfsSync, "date " + since);
  if (!chosen) return fail(session, chosen.error());
  const Status started = operate(session, *module, "second", {});
  if (!started) return fail(session, started.error());
  session.output.out(fmt::format("module/{} secondforce: accepted\nFiles last changed before {} are taken for equal where size and time agree; "
                                 "an older difference is not found\n", *module, since));
  return kFine;
}

}  // namespace safekit::cli
