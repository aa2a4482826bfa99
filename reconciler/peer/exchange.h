#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/store/backend.h"
#include "schema/base/result.h"

/// How two nodes find out who has which revision of desired state, and what each does about it. Pure; it merges nothing.
namespace safekit::peer {

/// What a summary says of one object.
struct Entry {
  store::ObjectKey key{};
  std::string digest{};
  friend bool operator==(const Entry&, const Entry&) = default;
};

/// One object of this node, as far as the exchange with one peer needs it.
struct Mine {
  store::ObjectKey key{};
  std::span<const std::string> history{};  ///< newest first; the first is the present revision
  bool is_for_peer{false};                 ///< the object names the peer; a Cluster names all
  std::string known_rival{};               ///< the peer's revision, where it is known to be in conflict with ours
};

struct ExchangePlan {
  std::vector<store::ObjectKey> push{};      ///< the peer has an older revision, or none
  std::vector<store::ObjectKey> fetch{};     ///< the peer's revision is unknown here
  std::vector<store::ObjectKey> settled{};   ///< certainly no conflict with this peer
  friend bool operator==(const ExchangePlan&, const ExchangePlan&) = default;
};
/// `theirs`: the peer's objects that are for this node, and those of ours that it has too.
[[nodiscard]] ExchangePlan plan_exchange(const std::vector<Mine>& mine, const std::vector<Entry>& theirs);
/// What we say of ourselves: all that is for the peer, and whatever it `mentioned`, so that a node that has an object
/// without being named in it (any more) still hears of its next revision.
[[nodiscard]] std::vector<Entry> summary(const std::vector<Mine>& mine, const std::set<store::ObjectKey>& mentioned);

enum class Judgement {
  Same,      ///< nothing to do
  Theirs,    ///< made from ours, or ours is missing: take it
  Mine,      ///< ours was made from theirs
  Conflict,  ///< neither was made from the other, and they differ
};
/// Two revisions with the same content are no conflict: the one with the higher (generation, digest) stays.
[[nodiscard]] Judgement judge(const store::StoredObject* mine, const store::StoredObject& theirs);

// Messages. Errors of the parsers: Invalid; Unsupported for another version.
struct Parcel {
  std::vector<store::StoredObject> objects{};
  std::vector<store::ObjectKey> wanted{};
};
[[nodiscard]] std::string to_body(const std::vector<Entry>& entries);
[[nodiscard]] Result<std::vector<Entry>> parse_entries(std::string_view body);
[[nodiscard]] std::string to_body(const Parcel& parcel);
[[nodiscard]] Result<Parcel> parse_parcel(std::string_view body);

inline constexpr std::size_t kEntriesMax = 8192;
/// A parcel stops taking objects at this size; the next round brings the rest.
inline constexpr std::size_t kParcelBytesMax = 16U << 20;

}  // namespace safekit::peer
