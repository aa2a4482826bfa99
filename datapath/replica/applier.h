#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "datapath/replica/exclusion.h"
#include "datapath/replica/inode_binding.h"
#include "datapath/replica/lost_keeper.h"
#include "datapath/replica/provisional_times.h"
#include "datapath/replica/unsynced_attributes.h"
#include "datapath/replica/write_behind.h"
#include "datapath/wire/message.h"

namespace safekit::replica {

/// Does on the secondary's trees what the stream says. In steady state every error is the caller's to act on. During a
/// resynchronisation operations may name places that have not been made equal yet: what cannot be done there is remembered
/// as a leftover and left to the listing that comes later (docs/resync.md has the argument). So is what finds no room, once:
/// what takes the room may be removed by a listing that is still to come.
/// Thread: the receiver's. A service.
class Applier {
 public:
  explicit Applier(std::vector<std::string> paths, Exclusions exclusions = {})
      : inodes_(std::move(paths)), exclusions_(std::move(exclusions)) {}
  Status open() { return inodes_.open_roots(); }
  /// A new connection.
  Status reset();

  void begin_resync(wire::ResyncMode mode);
  void end_resync();
  /// Until the end of this synchronisation nothing is destroyed before the keeper has it.
  void set_aside_by(std::unique_ptr<LostKeeper> keeper) { keeper_ = std::move(keeper); }
  /// Null where nothing is set aside.
  [[nodiscard]] LostKeeper* keeper() const { return keeper_.get(); }
  [[nodiscard]] bool in_resync() const { return mode_ != wire::ResyncMode::None; }
  [[nodiscard]] std::vector<InodeId> leftovers() const;
  /// The primary has been told; only later ones count from now on.
  void clear_leftovers() {
    leftovers_.clear();
    all_listed_ = true;
  }

  /// Sync is not done here: the caller does it beside the stream.
  Status apply(const wire::Operation& operation, BytesView data);
  /// Entries may come in several frames; the answer is made at the last.
  Result<std::optional<std::vector<wire::EntryFate>>> apply(wire::Listing&& listing);
  /// `data`: the content, where the state has it.
  Status apply(const wire::InodeState& state, BytesView data);

  Result<SharedFd> descriptor(InodeId id) { return inodes_.descriptor(id); }
  /// A sync of it is begun: whether there is more to bring to disk than its content.
  [[nodiscard]] bool take_unsynced(InodeId id) { return unsynced_.take(id); }
  [[nodiscard]] UnsyncedAttributes& unsynced() { return unsynced_; }
  /// Sets the times of change that the primary was still to tell and cannot any more.
  void settle_times();
  Status sync_all();
  [[nodiscard]] std::vector<int> root_descriptors() const;
  [[nodiscard]] std::vector<std::string> root_paths() const;
  [[nodiscard]] const InodeBinding& binding() const { return inodes_; }
  [[nodiscard]] const Exclusion& exclusion(std::uint32_t root) const;

 private:
  void note_change(const wire::Operation& operation);
  Status perform(const wire::Bind& op);
  Status perform(const wire::Create& op);
  Status perform(const wire::Link& op);
  Status perform(const wire::Remove& op);
  Status perform(const wire::Rename& op);
  Status perform(const wire::Write& op, BytesView data);
  Status perform(const wire::Fallocate& op);
  Status perform(const wire::SetAttributes& op);
  Status perform(const wire::SetXattr& op);
  Status perform(const wire::InodeState& state, BytesView data);

  // Setting aside (applier_lost.cpp): nothing is done where there is no keeper.
  Status remove_entry(int directory, std::uint32_t root, const std::string& name);
  Status remove_unlisted(int directory, std::uint32_t root, const wire::Listing& listing);
  Status set_aside(const wire::Operation& operation, BytesView data);
  Status set_aside(const wire::InodeState& state, int fd);
  Status set_target_aside(const wire::Rename& op, int from, int to);

  Result<std::vector<wire::EntryFate>> make_equal(const wire::Listing& listing);
  Result<wire::EntryFate> make_entry(int directory, std::uint32_t root, const wire::ListingEntry& entry);
  Status create_entry(int directory, std::uint32_t root, const wire::ListingEntry& entry, bool is_absent);
  [[nodiscard]] bool waits_for_room(const Error& error, InodeId id);
  [[nodiscard]] Error without_room(Error error, InodeId id) const;
  /// Something that is not replicated may stand where the stream puts something: it goes.
  [[nodiscard]] bool is_in_the_way(InodeId directory, int number) const;
  static Result<bool> stays(const Exclusion& rules, int directory, const std::string& path, const std::string& name);
  [[nodiscard]] Result<std::uint32_t> root_of(InodeId directory) const;

  InodeBinding inodes_;
  const Exclusions exclusions_;
  wire::ResyncMode mode_{wire::ResyncMode::None};
  std::unordered_set<std::uint64_t> leftovers_{};
  std::unordered_set<std::uint64_t> without_room_{};  ///< of the leftovers of this synchronisation
  bool all_listed_{false};  ///< nothing more will be removed that is not the application's
  wire::Listing pending_{};
  std::unique_ptr<LostKeeper> keeper_{};
  WriteBehind write_behind_{};
  UnsyncedAttributes unsynced_{};
  ProvisionalTimes provisional_{};
};

}  // namespace safekit::replica
