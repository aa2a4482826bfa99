#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "schema/base/result.h"

namespace safekit::replica {

/// One `notReplicated`: exactly one of the two is set.
struct ExclusionRule {
  std::string path{};   ///< relative to the replicated directory
  std::string regex{};  ///< POSIX extended, searched in a name; behind a leading `!`: only what matches is replicated
  friend bool operator==(const ExclusionRule&, const ExclusionRule&) = default;
};

/// Which entries of one replicated directory are not replicated; pure. A value, shared by its copies.
/// * What a `path` names, and an entry at any depth whose name a regex matches, is not; nor is anything below it.
/// * Where there are `!` rules, a name that none of them matches is not either, unless it is a directory's.
/// * An exclusion wins over a `!`.
/// Thread: any.  Source: spec/config.md 4.3.
class Exclusion {
 public:
  Exclusion() = default;
  /// Errors: Invalid.
  static Result<Exclusion> compile(const std::vector<ExclusionRule>& rules);

  [[nodiscard]] bool empty() const { return rules_ == nullptr; }
  /// Does the answer depend on where an entry is?
  [[nodiscard]] bool needs_paths() const;
  /// An entry of a directory that is replicated itself; `directory` is relative, empty for the replicated directory.
  [[nodiscard]] bool excludes(const std::string& directory, const std::string& name, bool is_directory) const;
  /// The entry, or what it lies in.
  [[nodiscard]] bool excludes_path(const std::string& path, bool is_directory) const;
  /// The `path` rules below a directory, relative to it.
  [[nodiscard]] std::vector<std::string> paths_below(const std::string& directory) const;
  /// Tells one set of rules from another; 0 for none.
  [[nodiscard]] std::uint64_t digest() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> rules_{};
};

/// By index of the replicated directory.
using Exclusions = std::vector<Exclusion>;
[[nodiscard]] std::uint64_t digest_of(const Exclusions& exclusions);

/// What comes in from a name that is not replicated is made on the peer under such a name in the replicated directory, until
/// it is whole and takes its place.
inline constexpr const char* kStagedPrefix = ".safekit-staged-";

}  // namespace safekit::replica
