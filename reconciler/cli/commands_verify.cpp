#include <charconv>
#include <ranges>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"

/// Are both copies equal, and what would a synchronisation copy? The node that serves does the work; any node may be asked.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr int kDifferences = 3;  ///< of rfsverify
constexpr std::string_view kWait = "5s";

std::uint64_t number_at(const Node& tree, std::string_view name) {
  const std::string text = text_at(tree, {name});
  std::uint64_t value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);  // 0 for what is no number
  return value;
}

/// The query that sends a request on to the node that serves the directories; empty when that is the one that is asked.
Result<std::map<std::string, std::string>> to_primary(Session& session, const std::string& module) {
  SK_TRY(const Node status, ask(session, request(Method::Get, fmt::format("modules/{}/status", module))));
  const Node* nodes = status.find("nodes");
  for (const Node& node : nodes == nullptr ? std::vector<Node>{} : nodes->children) {
    const std::string role = text_at(node, {"role"});
    if (role != "PRIM" && role != "ALONE") continue;
    if (text_at(node, {"local"}) == "true") return std::map<std::string, std::string>{};
    return std::map<std::string, std::string>{{"node", text_at(node, {"name"})}};
  }
  return Error{Code::Conflict, fmt::format("no node of module '{}' is PRIM or ALONE; see `safekit state -m {}`", module, module)};
}

/// Begins one and waits for its end.
Result<Node> inspect(Session& session, const std::string& module, const std::string& kind) {
  SK_TRY(const auto to, to_primary(session, module));
  const std::string path = fmt::format("modules/{}/inspections", module);
  Node body = Node::map();
  body.add("kind", Node::string(kind));
  SK_TRY(Node now, ask(session, request(Method::Post, path, to, &body)));
  const std::string number = text_at(now, {"number"});
  auto query = to;
  query["number"] = number;
  query["wait"] = kWait;
  while (text_at(now, {"state"}) == "running") {
    if (session.args.verbose) {
      session.output.err(fmt::format("{} files, {} directories, {} bytes compared\n", number_at(now, "files"),
                                     number_at(now, "directories"), number_at(now, "bytes")));
    }
    SK_TRY(now, ask(session, request(Method::Get, path, query)));
    if (text_at(now, {"number"}) != number) {
      return Error{Code::Conflict, "another verification or estimate of this module was under way, or was begun meanwhile"};
    }
  }
  if (text_at(now, {"state"}) != "done") return Error{Code::Unavailable, text_at(now, {"reason"})};
  return now;
}

std::string verification_text(const std::string& module, const Node& found) {
  std::string out;
  const Node* differences = found.find("differences");
  const auto& list = differences == nullptr ? std::vector<Node>{} : differences->children;
  for (const Node& one : list) out += fmt::format("{}: {}\n", text_at(one, {"path"}), text_at(one, {"what"}));
  const bool more = text_at(found, {"endedEarly"}) == "true";
  out += fmt::format("{} files, {} directories, {} bytes compared: ", number_at(found, "files"), number_at(found, "directories"),
                     number_at(found, "bytes"));
  if (list.empty()) return out + "no difference\n";
  out += fmt::format("{}{} difference{}{}\n", more ? "more than " : "", list.size(), list.size() == 1 ? "" : "s",
                     more ? "; the rest was not compared" : "");
  return out + fmt::format("Nothing was changed. To make the secondary's copy equal: there `safekit stop -m {0}`, then `safekit second "
                           "fullsync -m {0}`; then verify again\n", module);
}

std::string estimate_text(const Node& found) {
  if (text_at(found, {"everything"}) == "true") {
    return "The next synchronisation compares everything: what has changed is not known, or is too much to be noted.\n"
           "Estimated duration: unknown\n";
  }
  const std::uint64_t bytes = number_at(found, "bytes");
  const std::uint64_t rate = number_at(found, "bytesPerSecond");
  std::string out = fmt::format("The next synchronisation copies {} bytes of {} files, and lists {} directories\n", bytes,
                                number_at(found, "files"), number_at(found, "directories"));
  if (const std::uint64_t compared = number_at(found, "comparedBytes"); compared != 0) {
    out += fmt::format("After a crash it also compares {} bytes, and copies what differs of them\n", compared);
  }
  const bool more = text_at(found, {"comparesMore"}) == "true";
  if (more) out += "It also compares what lies in some directories; how much that is is not known\n";
  if (more || (rate == 0 && bytes != 0)) {
    return out + fmt::format("Estimated duration: unknown ({})\n", more ? "see above" : "this node has measured none since it became primary");
  }
  const std::uint64_t duration = rate == 0 ? 0 : (bytes + rate - 1) / rate;
  return out + fmt::format("Estimated duration: {} s{}\n", duration, rate == 0 ? "" : fmt::format(" at the {} bytes/s of the last one", rate));
}

}  // namespace

int rfs_verify(Session& session) {
  std::vector<std::string> words = session.args.words;
  const bool stop = std::erase(words, "stop") > 0;
  const auto module = module_of(session, words);
  if (!module) return usage(session, module.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  if (stop) {
    const auto to = to_primary(session, *module);
    if (!to) return fail(session, to.error());
    const auto ended = ask(session, request(Method::Delete, fmt::format("modules/{}/inspections", *module), *to));
    return ended ? kFine : fail(session, ended.error());
  }
  const auto found = inspect(session, *module, "verify");
  if (!found) return fail(session, found.error());
  const Node* differences = found->find("differences");
  const bool equal = differences == nullptr || differences->children.empty();
  session.output.out(*form == Form::Json || *form == Form::Yaml ? printed(*found, *form) : verification_text(*module, *found));
  return equal ? kFine : kDifferences;
}

int rfs_diff(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  const auto found = inspect(session, *module, "estimate");
  if (!found) return fail(session, found.error());
  session.output.out(*form == Form::Json || *form == Form::Yaml ? printed(*found, *form) : estimate_text(*found));
  return kFine;
}

}  // namespace safekit::cli
