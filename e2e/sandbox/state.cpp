#include "e2e/sandbox/state.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

namespace safekit::sandbox {

using nlohmann::json;

namespace {

constexpr int kFormat = 1;

json to_tree(const Holder& holder) {
  return {{"pid", holder.pid}, {"startTicks", holder.start_ticks}, {"ending", holder.ending}};
}

Holder holder_from(const json& tree) {
  return {.pid = tree.at("pid"), .start_ticks = tree.at("startTicks"), .ending = tree.at("ending")};
}

State state_from(const json& tree) {
  State state{.name = tree.at("name")};
  for (const json& network : tree.at("networks"))
    state.topology.networks.push_back({network.at("name"), network.at("prefix")});
  for (const json& member : tree.at("members")) {
    state.topology.members.push_back({member.at("name"), member.at("addresses")});
    state.holders.push_back(holder_from(member.at("init")));
  }
  state.private_paths = tree.at("private");
  state.daemon = tree.at("daemon");
  state.switch_holder = holder_from(tree.at("switch"));
  for (const json& cut : tree.at("cuts"))
    state.cuts.push_back({.member = cut.at("member"),
                          .network = cut.at("network"),
                          .kind = cut.at("silent").get<bool>() ? CutKind::Silent : CutKind::Unplugged});
  return state;
}

template <class Items>
std::string names_of(const Items& items) {
  std::string text{};
  for (const auto& item : items) text += (text.empty() ? "" : ", ") + item.name;
  return text;
}

template <class Items>
Result<std::size_t> find_named(const Items& items, std::string_view what, std::string_view name) {
  for (std::size_t i = 0; i < items.size(); ++i)
    if (items[i].name == name) return i;
  return Error{Code::NotFound,
               fmt::format("no {} '{}' in this sandbox; there are: {}", what, name, names_of(items))};
}

}  // namespace

std::string to_json(const State& state) {
  json tree{{"format", kFormat},
            {"name", state.name},
            {"virtualAddress", virtual_address(state.topology)},
            {"networks", json::array()},
            {"members", json::array()},
            {"private", state.private_paths},
            {"daemon", state.daemon},
            {"switch", to_tree(state.switch_holder)},
            {"cuts", json::array()}};
  for (const Network& network : state.topology.networks)
    tree["networks"].push_back({{"name", network.name}, {"prefix", network.prefix}});
  for (std::size_t i = 0; i < state.topology.members.size(); ++i)
    tree["members"].push_back({{"name", state.topology.members[i].name},
                               {"addresses", state.topology.members[i].addresses},
                               {"init", to_tree(state.holders[i])}});
  for (const Cut& cut : state.cuts)
    tree["cuts"].push_back(
        {{"member", cut.member}, {"network", cut.network}, {"silent", cut.kind == CutKind::Silent}});
  return tree.dump(2) + "\n";
}

Result<State> state_from_json(std::string_view text) {
  try {
    const json tree = json::parse(text);
    if (tree.at("format") != kFormat)
      return Error{Code::Corrupt, fmt::format("sandbox.json has format {}, this program knows {}",
                                              tree.at("format").dump(), kFormat)};
    return state_from(tree);
  } catch (const json::exception& error) {
    return Error{Code::Corrupt, fmt::format("sandbox.json: {}", error.what())};
  }
}

Result<std::string> read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Error{errno == ENOENT ? Code::NotFound : Code::Io,
                 fmt::format("'{}': {}", path.string(), std::strerror(errno))};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Status write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error{Code::Io, fmt::format("'{}': {}", path.string(), std::strerror(errno))};
  return {};
}

Result<State> load_state(const std::filesystem::path& directory) {
  SK_TRY(const std::string text, read_text(directory / "sandbox.json"));
  return state_from_json(text);
}

Status save_state(const std::filesystem::path& directory, const State& state) {
  const std::filesystem::path next = directory / "sandbox.json.new";
  SK_TRY_VOID(write_text(next, to_json(state)));
  std::error_code failure{};
  std::filesystem::rename(next, directory / "sandbox.json", failure);
  if (failure) return Error{Code::Io, fmt::format("'{}': {}", next.string(), failure.message())};
  return {};
}

Result<std::size_t> find_member(const State& state, std::string_view name) {
  return find_named(state.topology.members, "node", name);
}

Result<std::size_t> find_network(const State& state, std::string_view name) {
  return find_named(state.topology.networks, "network", name);
}

const Cut* find_cut(const State& state, std::size_t member, std::size_t network) {
  for (const Cut& cut : state.cuts)
    if (cut.member == member && cut.network == network) return &cut;
  return nullptr;
}

}  // namespace safekit::sandbox
