#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "reconciler/api/lost_writes.h"
#include "reconciler/cli/commands.h"
#include "reconciler/cli/restore.h"

/// What only a node's copy had and a synchronisation has overwritten.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr std::size_t kPagesMax = 1'000'000;  ///< a server that never comes to an end

std::string path_of(const std::string& module, const std::string& set = {}) {
  return fmt::format("modules/{}/lost-writes{}{}", module, set.empty() ? "" : "/", set);
}

Result<std::vector<api::LostItem>> load(Session& session, const std::string& module, const std::string& set) {
  std::vector<api::LostItem> items;
  std::string after;
  for (std::size_t page = 0; page < kPagesMax; ++page) {
    std::map<std::string, std::string> query;
    if (!after.empty()) query["after"] = after;
    SK_TRY(const Node answer, ask(session, request(Method::Get, path_of(module, set), query)));
    for (const Node& tree : items_of(answer)) {
      SK_TRY(api::LostItem item, api::lost_item_from(tree));
      if (!items.empty() && items.back().number == item.number) {
        items.back().pieces.insert(items.back().pieces.end(), item.pieces.begin(), item.pieces.end());
      } else {
        items.push_back(std::move(item));
      }
    }
    std::string next = text_at(answer, {"next"});
    if (next.empty()) return items;
    if (next == after) break;
    after = std::move(next);
  }
  return Error{Code::Corrupt, "the server's answer has no end"};
}

int list(Session& session, const std::string& module, Form form) {
  const auto answer = ask(session, request(Method::Get, path_of(module)));
  if (!answer) return fail(session, answer.error());
  if (form == Form::Json || form == Form::Yaml) return session.output.out(printed(*answer, form)), kFine;
  Table table{{"SET", "WRITTEN ON", "KEPT COPY OF", "BEGUN", "STATE", "ITEMS", "BYTES", "LOST"}};
  const auto sets = items_of(*answer);
  for (const Node& tree : sets) {
    const api::LostSet set = api::lost_set_from(tree);
    if (form == Form::Name) {
      session.output.out(set.name + "\n");
      continue;
    }
    table.add({set.name, set.by_others ? set.node + " by others" : set.node, set.peer, to_log_string(set.begun).substr(0, 19), set.ended.ns != 0 ? "complete" : "unfinished",
               std::to_string(set.items), std::to_string(set.bytes), std::to_string(set.missed_bytes)});
  }
  if (form == Form::Name) return kFine;
  session.output.out(sets.empty() ? fmt::format("No lost writes of module '{}' on this node. Each node has its own: -H \"*\"\n", module)
                                  : table.text());
  return kFine;
}

int show(Session& session, const std::string& module, const std::string& set, Form form) {
  const auto items = load(session, module, set);
  if (!items) return fail(session, items.error());
  if (form == Form::Table || form == Form::Wide) {
    session.output.out(lost_table(*items, session.args.verbose || form == Form::Wide));
    return kFine;
  }
  if (form == Form::Name) {
    for (const api::LostItem& item : *items) session.output.out(api::escaped(item.path) + "\n");
    return kFine;
  }
  Node tree = Node::map();
  tree.add("kind", Node::string("LostWrites"));
  tree.add("name", Node::string(set));
  Node& list = tree.add("items", Node::list());
  for (const api::LostItem& item : *items) list.push(to_tree(item));
  session.output.out(printed(tree, form));
  return kFine;
}

/// Not where the module would replicate it.
Status check_target(Session& session, const std::string& module, const std::string& directory) {
  std::error_code failed;
  const std::string at = std::filesystem::weakly_canonical(std::filesystem::absolute(directory), failed).string() + "/";
  SK_TRY(const Node view, ask(session, request(Method::Get, "modules/" + module)));
  const Node* spec = view.find("spec");
  const Node* replication = spec == nullptr ? nullptr : spec->find("replication");
  const Node* directories = replication == nullptr ? nullptr : replication->find("directories");
  if (directories == nullptr) return {};
  for (const Node& replicated : directories->children) {
    const std::string path = replicated.is_scalar() ? replicated.text : text_at(replicated, {"path"});
    if (!path.empty() && at.starts_with(path + "/")) {
      return Error{Code::Conflict, fmt::format("'{}' lies in the replicated directory '{}'; name one elsewhere and copy what you "
                                               "want back from there", directory, path)};
    }
  }
  return {};
}

int restore_set(Session& session, const std::string& module, const std::string& set) {
  const std::string& into = session.args.into;
  if (into.empty()) return usage(session, "say where to: --into DIRECTORY, a new one");
  if (const Status good = check_target(session, module, into); !good) return fail(session, good.error());
  const auto items = load(session, module, set);
  if (!items) return fail(session, items.error());
  const auto data = [&](std::uint64_t at, std::size_t size) -> Result<std::string> {
    SK_TRY(const api::Response answer, session.client.call(request(Method::Get, path_of(module, set) + "/data",
                                                                   {{"at", std::to_string(at)}, {"size", std::to_string(size)}})));
    SK_TRY_VOID(api::status_of(answer));
    return answer.body;
  };
  const auto restored = restore(into, *items, data);
  if (!restored) return fail(session, restored.error());
  for (const std::string& note : restored->notes) session.output.err(fmt::format("Warning: {}\n", note));
  session.output.out(fmt::format("{} items in {}/files, {} changed files in {}/parts (only what differed, in its place), {}/listing "
                                 "names all\n",
                                 restored->whole, into, restored->parts, into, into));
  if (restored->incomplete == 0) return kFine;
  return fail(session, Error{Code::Exhausted, fmt::format("of {} items some bytes had found no room or could not be read: the listing "
                                                          "says which", restored->incomplete)});
}

int purge(Session& session, const std::string& module, const std::vector<std::string>& sets) {
  int worst = kFine;
  for (const std::string& set : sets) {
    const auto purged = ask(session, request(Method::Delete, path_of(module, set)));
    if (!purged) {
      worst = fail(session, purged.error());
    } else {
      session.output.out(fmt::format("lost-writes/{} purged\n", set));
    }
  }
  return worst;
}

}  // namespace

int lost_writes(Session& session) {
  std::vector<std::string> words = session.args.words;
  const std::string verb = words.empty() ? "list" : words.front();
  if (!words.empty()) words.erase(words.begin());
  const bool is_known = verb == "list" || verb == "show" || verb == "restore" || verb == "purge";
  if (!is_known) return usage(session, fmt::format("'{}' is none of list, show, restore, purge", verb));
  const auto module = module_of(session, {});
  if (!module) return usage(session, module.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  if (verb == "list") return words.empty() ? list(session, *module, *form) : usage(session, "list takes no set");
  if (words.empty()) return usage(session, fmt::format("which set? (safekit lost-writes list -m {})", *module));
  if (verb == "purge") return purge(session, *module, words);
  if (words.size() > 1) return usage(session, fmt::format("'{}' is one word too many", words.back()));
  return verb == "show" ? show(session, *module, words[0], *form) : restore_set(session, *module, words[0]);
}

}  // namespace safekit::cli
