#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace safekit::spec {

inline constexpr std::string_view kApiVersion = "safekit/v1";

enum class Kind { Cluster, Module };
[[nodiscard]] constexpr std::string_view to_string(Kind kind) {
  return kind == Kind::Cluster ? "Cluster" : "Module";
}

/// What every object has beside its spec. A value. The store owns `generation` and `resource_version`: a file
/// may carry them (it was printed by `safekit get`), and an apply that carries `resource_version` fails with
/// Conflict when the stored object is newer. They are no part of the content digest.
struct Metadata {
  std::string name{};
  std::map<std::string, std::string> labels{};
  std::map<std::string, std::string> annotations{};
  std::uint64_t generation{0};        ///< grows with each changed spec; 0: not stored yet
  std::uint64_t resource_version{0};  ///< names one revision, on every node; 0: none given
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

}  // namespace safekit::spec
