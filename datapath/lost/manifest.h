#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "datapath/wire/operation.h"
#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

/// Lost writes: what a copy had written that a synchronisation overwrites, set aside. One set for each data generation that
/// is lost, in a directory of its own: `manifest` (records, appended), `data` (bytes that the manifest points into).
/// Source: docs/on-disk.md (lost writes).
namespace safekit::lost {

/// First record of a manifest.
struct Head {
  std::string module{};
  std::string node{};   ///< whose writes these are
  std::string peer{};   ///< whose copy was kept
  DataGeneration lost{};
  DataGeneration kept{};
  WallTime begun{};
  bool only_own{false};  ///< only what was known to be written is looked at; else all that differed
  bool by_others{false};  ///< others changed the copy while nobody served it; else this node wrote it
  std::vector<std::string> roots{};  ///< replicated directories
  friend bool operator==(const Head&, const Head&) = default;
};

enum class Kind : std::uint8_t { File, Directory, Link, Special, Absent };
[[nodiscard]] std::string_view to_string(Kind kind);

/// An inode as it was before it was touched; Absent: a name that was not there.
struct Item {
  std::uint64_t number{0};  ///< counts from 1 in the set
  Kind kind{Kind::File};
  std::string handle{};     ///< journal's key of the inode on this node
  std::uint32_t root{0};
  std::string path{};       ///< below the root; any bytes
  wire::Attributes attributes{};
  std::string link_target{};
  std::vector<std::pair<std::string, std::string>> xattrs{};
  friend bool operator==(const Item&, const Item&) = default;
};

enum class PieceState : std::uint8_t {
  Kept,        ///< in `data` from `at` on
  Zeros,       ///< a hole
  NoRoom,      ///< the quota or the disk was full: lost
  Unreadable,  ///< the disk gave an error: lost
};
[[nodiscard]] std::string_view to_string(PieceState state);

/// Bytes of an item.
struct Piece {
  std::uint64_t item{0};
  std::uint64_t offset{0};
  std::uint64_t size{0};
  PieceState state{PieceState::Kept};
  std::uint64_t at{0};
  friend bool operator==(const Piece&, const Piece&) = default;
};
/// The item is gone: its pieces are all that it had.
struct Removed {
  std::uint64_t item{0};
  friend bool operator==(const Removed&, const Removed&) = default;
};
/// A further name of a removed item (a hard link).
struct Name {
  std::uint64_t item{0};
  std::uint32_t root{0};
  std::string path{};
  friend bool operator==(const Name&, const Name&) = default;
};
/// The synchronisation has ended. `unlisted`: items that found no room in the manifest itself.
struct End {
  WallTime ended{};
  std::uint64_t unlisted{0};
  friend bool operator==(const End&, const End&) = default;
};
using Record = std::variant<Head, Item, Piece, Removed, Name, End>;

[[nodiscard]] Bytes encode(const Record& record);
/// What a manifest begins with, before its first record.
[[nodiscard]] Bytes manifest_begin();

struct Entry {
  Item item{};
  std::vector<Piece> pieces{};  ///< by offset; neighbours are joined
  bool removed{false};
  std::vector<Name> names{};
  friend bool operator==(const Entry&, const Entry&) = default;
};
/// A manifest as a whole. A value.
struct Contents {
  Head head{};
  std::vector<Entry> entries{};  ///< entry i has number i + 1
  std::optional<End> end{};
  std::uint64_t good_bytes{0};   ///< up to the first record that is not whole: the rest was never finished
};
/// Errors: Corrupt (no manifest at all), Unsupported for a newer version.
Result<Contents> read_manifest(BytesView bytes);

/// The set in figures, in a file of its own. A value.
struct Summary {
  std::string name{};  ///< of the set's directory; not in the file
  DataGeneration lost{};
  std::string node{};
  std::string peer{};
  WallTime begun{};
  WallTime ended{};  ///< 0: the synchronisation has not ended
  bool by_others{false};  ///< Head::by_others
  std::uint64_t items{0};
  std::uint64_t bytes{0};         ///< set aside
  std::uint64_t missed_bytes{0};  ///< found no room, or could not be read: lost
  std::uint64_t missed_items{0};  ///< with missed bytes, or not listed
  friend bool operator==(const Summary&, const Summary&) = default;
};
[[nodiscard]] Bytes encode(const Summary& summary);
/// Errors: Corrupt, Unsupported.
Result<Summary> decode_summary(BytesView bytes);

}  // namespace safekit::lost
