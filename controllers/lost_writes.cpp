#include "controllers/lost_writes.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "datapath/lost/set_reader.h"

namespace safekit {
namespace {

using doc::Node;

constexpr std::size_t kPageItemsMax = 500;
constexpr std::size_t kPagePiecesMax = 20'000;
constexpr std::size_t kPageTextMax = 1U << 20;  ///< of names and xattrs
constexpr std::size_t kTasksMax = 64;

std::string query_of(const api::Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

api::LostItem item_of(const lost::Contents& contents, const lost::Entry& entry) {
  const auto path_of = [&](std::uint32_t root, const std::string& path) {
    const std::string at = root < contents.head.roots.size() ? contents.head.roots[root] : std::string{};
    return path.empty() ? at : at + "/" + path;
  };
  const lost::Item& item = entry.item;
  api::LostItem shown{.number = item.number,
                      .kind = std::string{to_string(item.kind)},
                      .path = path_of(item.root, item.path),
                      .removed = entry.removed,
                      .mode = item.attributes.mode,
                      .uid = item.attributes.uid,
                      .gid = item.attributes.gid,
                      .device = item.attributes.device,
                      .size = item.attributes.size,
                      .mtime_seconds = item.attributes.mtime.seconds,
                      .mtime_nanoseconds = item.attributes.mtime.nanoseconds,
                      .link_target = item.link_target,
                      .xattrs = item.xattrs};
  for (const lost::Name& name : entry.names) shown.names.push_back(path_of(name.root, name.path));
  return shown;
}

std::size_t text_in(const api::LostItem& item) {
  std::size_t size = item.path.size() + item.link_target.size();
  for (const auto& [name, value] : item.xattrs) size += name.size() + value.size();
  for (const std::string& name : item.names) size += name.size();
  return size;
}

api::LostSet set_of(const lost::Summary& summary) {
  return {.name = summary.name,
          .node = summary.node,
          .peer = summary.peer,
          .begun = summary.begun,
          .ended = summary.ended,
          .by_others = summary.by_others,
          .items = summary.items,
          .bytes = summary.bytes,
          .missed_items = summary.missed_items,
          .missed_bytes = summary.missed_bytes};
}

}  // namespace

std::string lost_writes_directory(const std::string& state_dir, const std::string& module) {
  return fmt::format("{}/modules/{}/lost-writes", state_dir, module);
}

std::optional<LostPlace> parse_lost_place(const std::string& text) {
  if (text.empty()) return LostPlace{};
  const std::size_t point = text.find('.');
  if (point == std::string::npos) return std::nullopt;
  const auto item = number_in(std::string_view{text}.substr(0, point));
  const auto piece = number_in(std::string_view{text}.substr(point + 1));
  if (!item || !piece) return std::nullopt;
  return LostPlace{*item, *piece};
}

api::LostPage lost_page(const lost::Contents& contents, LostPlace from) {
  api::LostPage page{.only_own = contents.head.only_own};
  std::size_t pieces = 0;
  std::size_t text = 0;
  for (; from.item < contents.entries.size(); from = {from.item + 1, 0}) {
    if (page.items.size() == kPageItemsMax || text >= kPageTextMax) break;
    const lost::Entry& entry = contents.entries[from.item];
    api::LostItem item = item_of(contents, entry);
    text += text_in(item);
    for (; from.piece < entry.pieces.size() && pieces < kPagePiecesMax; ++from.piece, ++pieces) {
      const lost::Piece& piece = entry.pieces[from.piece];
      item.pieces.push_back({piece.offset, piece.size, std::string{to_string(piece.state)}, piece.at});
    }
    page.items.push_back(std::move(item));
    if (from.piece < entry.pieces.size()) break;
  }
  if (from.item < contents.entries.size()) page.next = fmt::format("{}.{}", from.item, from.piece);
  return page;
}

LostWrites::LostWrites(const Ports& ports, std::string state_dir, std::function<void(const std::string&)> purged)
    : ports_(ports), state_dir_(std::move(state_dir)), purged_(std::move(purged)), thread_([this] { work(); }) {}

LostWrites::~LostWrites() {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void LostWrites::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
    if (stopped_) return;
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

void LostWrites::answer_later(const api::Respond& respond, Work work, std::function<void()> then) {
  {
    const std::lock_guard lock{mutex_};
    if (tasks_.size() < kTasksMax) {
      tasks_.push_back([this, respond, work = std::move(work), then = std::move(then)] {
        ports_.loop.post([respond, response = work(), then] {
          if (then && status_of(response)) then();
          respond(response);
        });
      });
      wake_.notify_one();
      return;
    }
  }
  respond(api::failure(Error{Code::Exhausted, "too many requests wait already; ask again"}));
}

Result<std::string> LostWrites::directory_of(const std::string& module) const {
  const auto local = ports_.store.local_modules();
  if (std::ranges::find(local, ModuleName{module}) == local.end()) {
    return Error{Code::NotFound, fmt::format("module '{}' does not run on this node '{}' (safekit get modules lists all)", module,
                                             ports_.store.node().str())};
  }
  return lost_writes_directory(state_dir_, module);
}

void LostWrites::add_routes(api::Routes& routes) {
  using api::Method;
  using Parameters = api::Routes::Parameters;
  const auto add = [&](Method method, const char* pattern, auto make_work) {
    routes.add(method, pattern, [this, make_work](const api::Request& request, const Parameters& at, const api::Respond& respond) {
      const auto directory = directory_of(at[0]);
      if (!directory) return respond(api::failure(directory.error()));
      make_work(request, *directory, at, respond);
    });
  };
  add(Method::Get, "modules/*/lost-writes",
      [this](const api::Request&, const std::string& directory, const Parameters&, const api::Respond& respond) {
        answer_later(respond, [this, directory] { return list(directory); });
      });
  add(Method::Get, "modules/*/lost-writes/*",
      [this](const api::Request& request, const std::string& directory, const Parameters& at, const api::Respond& respond) {
        answer_later(respond, [this, directory, set = at[1], after = query_of(request, "after")] { return show(directory, set, after); });
      });
  add(Method::Get, "modules/*/lost-writes/*/data",
      [this](const api::Request& request, const std::string& directory, const Parameters& at, const api::Respond& respond) {
        answer_later(respond, [this, directory, set = at[1], request] { return data(directory, set, request); });
      });
  add(Method::Delete, "modules/*/lost-writes/*",
      [this](const api::Request&, const std::string& directory, const Parameters& at, const api::Respond& respond) {
        const auto seen = ports_.store.status(ModuleName{at[0]}).replication;
        const bool in_use = seen.diverged && seen.connected && !seen.peer_synchronised;
        answer_later(
            respond, [this, directory, set = at[1], in_use] { return purge(directory, set, in_use); },
            [this, module = at[0]] { purged_(module); });
      });
}

api::Response LostWrites::list(const std::string& directory) const {
  const auto sets = lost::list_sets(directory);
  if (!sets) return api::failure(sets.error());
  Node tree = Node::map();
  tree.add("kind", Node::string("LostWritesList"));
  Node& items = tree.add("items", Node::list());
  for (const lost::Summary& set : *sets) items.push(to_tree(set_of(set)));
  return api::json(200, tree);
}

api::Response LostWrites::show(const std::string& directory, const std::string& set, const std::string& after) {
  const auto place = parse_lost_place(after);
  if (!place) return api::failure(Error{Code::Invalid, fmt::format("'after' is the 'next' of the last answer, not '{}'", after)});
  const std::string path = directory + "/" + set;
  std::error_code failed;
  const std::uint64_t bytes = lost::is_set_name(set) ? std::filesystem::file_size(path + "/" + lost::kManifestFile, failed) : 0;
  if (failed || bytes == 0 || path != loaded_path_ || bytes != loaded_bytes_) {
    auto contents = lost::load_set(directory, set);
    if (!contents && contents.error().code == Code::NotFound) {
      return api::failure(Error{Code::NotFound, fmt::format("there is no set '{}' (safekit lost-writes list)", set)});
    }
    if (!contents) return api::failure(contents.error());
    loaded_ = std::move(*contents);
    loaded_path_ = path;
    loaded_bytes_ = bytes;
  }
  const api::LostPage page = lost_page(loaded_, *place);
  Node tree = Node::map();
  tree.add("kind", Node::string("LostWrites"));
  tree.add("name", Node::string(set));
  tree.add("onlyOwn", Node::boolean(page.only_own));
  Node& items = tree.add("items", Node::list());
  for (const api::LostItem& item : page.items) items.push(to_tree(item));
  if (!page.next.empty()) tree.add("next", Node::string(page.next));
  return api::json(200, tree);
}

api::Response LostWrites::data(const std::string& directory, const std::string& set, const api::Request& request) const {
  const auto at = number_in(query_of(request, "at"));
  const auto size = number_in(query_of(request, "size"));
  if (!at || !size || *size == 0 || *size > api::kLostBytesMax) {
    return api::failure(Error{Code::Invalid, fmt::format("say 'at' and 'size', at most {} bytes at once", api::kLostBytesMax)});
  }
  const auto bytes = lost::read_data(directory, set, *at, *size);
  if (!bytes) return api::failure(bytes.error());
  return {.status = 200, .content_type = "application/octet-stream", .body = std::string{as_text(*bytes)}};
}

api::Response LostWrites::purge(const std::string& directory, const std::string& set, bool in_use) {
  const auto sets = lost::list_sets(directory);
  const auto found = sets ? std::ranges::find(*sets, set, &lost::Summary::name) : std::vector<lost::Summary>::const_iterator{};
  if (sets && found != sets->end() && found->ended.ns == 0 && in_use) {
    return api::failure(Error{Code::Conflict, fmt::format("the synchronisation still adds to '{}'; wait until it has ended", set)});
  }
  loaded_path_.clear();
  const Status purged = lost::purge_set(directory, set);
  if (!purged) return api::failure(purged.error());
  Node tree = Node::map();
  tree.add("purged", Node::string(set));
  return api::json(200, tree);
}

}  // namespace safekit
