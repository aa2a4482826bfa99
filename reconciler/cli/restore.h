#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reconciler/api/lost_writes.h"

/// Lost writes as files again, in a directory of their own.
namespace safekit::cli {

struct Restored {
  std::size_t whole{0};       ///< under `files`: what was removed, as it was
  std::size_t parts{0};       ///< under `parts`: files of which only pieces differed, each in its place, holes between
  std::size_t incomplete{0};  ///< some bytes of it are lost
  std::vector<std::string> notes{};  ///< what could not be made as it was, for people
};

/// Bytes of the set: `size` from `at` on.
using LostData = std::function<Result<std::string>(std::uint64_t at, std::size_t size)>;

/// Makes `directory`, which must be new or empty; nothing outside of it is written, whatever paths the items have.
/// Errors: Conflict when it is not empty, Io, and those of `data`.
Result<Restored> restore(const std::string& directory, const std::vector<api::LostItem>& items, const LostData& data);

/// One line per item, with its pieces where `pieces` says so.
[[nodiscard]] std::string lost_table(const std::vector<api::LostItem>& items, bool pieces);

}  // namespace safekit::cli
