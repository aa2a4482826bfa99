#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "e2e/sandbox/topology.h"
#include "schema/base/result.h"

namespace safekit::sandbox {

/// A process that keeps namespaces alive. `pid` 0: none. A value.
struct Holder {
  std::int32_t pid{0};
  std::uint64_t start_ticks{
      0};              ///< field 22 of /proc/PID/stat: tells it from a later process with the same number
  bool ending{false};  ///< it is being killed, though it may still be seen
  friend bool operator==(const Holder&, const Holder&) = default;
};

/// How a cable is cut: the node sees no carrier, or it sees nothing and its frames are dropped in the switch.
enum class CutKind { Unplugged, Silent };

struct Cut {
  std::size_t member{0};
  std::size_t network{0};
  CutKind kind{CutKind::Unplugged};
  friend bool operator==(const Cut&, const Cut&) = default;
};

/// All there is to know of one sandbox, so that any half-made one can be repaired or taken down. A value.
/// Source: `<dir>/sandbox.json` is this.
struct State {
  std::string name{};
  Topology topology{};
  std::vector<std::string> private_paths{};  ///< absolute; each node has its own copy
  std::vector<std::string> daemon{};         ///< argument vector that PID 1 keeps running; empty: bare nodes
  Holder switch_holder{};
  std::vector<Holder> holders{};  ///< PID 1 of member i, as the machine numbers it
  std::vector<Cut> cuts{};
  friend bool operator==(const State&, const State&) = default;
};

[[nodiscard]] std::string to_json(const State& state);
/// Errors: Corrupt, with the reason.
[[nodiscard]] Result<State> state_from_json(std::string_view text);

/// Errors: NotFound when there is none.
[[nodiscard]] Result<State> load_state(const std::filesystem::path& directory);
/// Replaces the file atomically.
[[nodiscard]] Status save_state(const std::filesystem::path& directory, const State& state);

[[nodiscard]] Result<std::string> read_text(const std::filesystem::path& path);
[[nodiscard]] Status write_text(const std::filesystem::path& path, std::string_view text);

/// Errors: NotFound with the names that exist.
[[nodiscard]] Result<std::size_t> find_member(const State& state, std::string_view name);
[[nodiscard]] Result<std::size_t> find_network(const State& state, std::string_view name);
[[nodiscard]] const Cut* find_cut(const State& state, std::size_t member, std::size_t network);

}  // namespace safekit::sandbox
