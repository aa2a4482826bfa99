#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/doc/node.h"

/// Lost writes as the API shows them: what only a node's copy had and a synchronisation has overwritten, set aside in sets.
///   GET    modules/NAME/lost-writes                             LostWritesList
///   GET    modules/NAME/lost-writes/SET[?after=NEXT]            LostWrites: items, and `next` when there are more
///   GET    modules/NAME/lost-writes/SET/data?at=BYTE&size=BYTES the bytes themselves, at most kLostBytesMax
///   DELETE modules/NAME/lost-writes/SET
/// Names and values hold any bytes; in text they are as `escaped` writes them.
namespace safekit::api {

inline constexpr std::size_t kLostBytesMax = 1U << 20;

struct LostSet {
  std::string name{};
  std::string node{};  ///< whose writes these are
  std::string peer{};  ///< whose copy was kept
  WallTime begun{};
  WallTime ended{};  ///< 0: the synchronisation has not ended
  bool by_others{false};  ///< changed in the node's copy while it was not served; else the node's own
  std::uint64_t items{0};
  std::uint64_t bytes{0};
  std::uint64_t missed_items{0};
  std::uint64_t missed_bytes{0};  ///< found no room, or could not be read
  friend bool operator==(const LostSet&, const LostSet&) = default;
};

/// `state`: kept (`at` is where in the set's data), zeros, no-room, unreadable.
struct LostPiece {
  std::uint64_t offset{0};
  std::uint64_t size{0};
  std::string state{};
  std::uint64_t at{0};
  friend bool operator==(const LostPiece&, const LostPiece&) = default;
};

/// An inode as it was. A page may hold only some of its pieces; the next one goes on with the same item.
struct LostItem {
  std::uint64_t number{0};
  std::string kind{};  ///< file, directory, link, special, absent
  std::string path{};  ///< absolute
  bool removed{false};  ///< else changed: the pieces are what differed
  std::uint32_t mode{0};
  std::uint32_t uid{0};
  std::uint32_t gid{0};
  std::uint64_t device{0};
  std::uint64_t size{0};
  std::int64_t mtime_seconds{0};
  std::uint32_t mtime_nanoseconds{0};
  std::string link_target{};
  std::vector<std::pair<std::string, std::string>> xattrs{};
  std::vector<std::string> names{};  ///< further names
  std::vector<LostPiece> pieces{};
  friend bool operator==(const LostItem&, const LostItem&) = default;
};

struct LostPage {
  std::vector<LostItem> items{};
  bool only_own{false};  ///< what only the other node had changed is not in it
  std::string next{};    ///< for `after`; empty: this was the last
};

/// Printable text: a backslash, a control character and what is no UTF-8 become `\xHH`.
[[nodiscard]] std::string escaped(std::string_view bytes);
/// Errors: Corrupt.
Result<std::string> unescaped(std::string_view text);

[[nodiscard]] doc::Node to_tree(const LostSet& set);
[[nodiscard]] doc::Node to_tree(const LostItem& item);
[[nodiscard]] LostSet lost_set_from(const doc::Node& tree);
/// Errors: Corrupt.
Result<LostItem> lost_item_from(const doc::Node& tree);

}  // namespace safekit::api
