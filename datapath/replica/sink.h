#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datapath/wire/operation.h"
#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/base/result.h"

namespace safekit::replica {

/// Puts conflicting operations of one module's trees in one order, the same locally and in the replication stream:
/// whoever changes something does the local call and `Sink::append` under the same lock.
/// Lock order: content(id), then names. Two content locks are never held at once, except through content_pair.
/// * names exclusive: create, link, unlink, rename, rmdir, listing a directory for a resync
/// * names shared: resolving an id to a path (Directory of names must stand still)
/// * content(id): write, truncate, fallocate, setattr, xattr of one inode, copying one of its zones for a resync
class TreeOrder {
 public:
  [[nodiscard]] std::unique_lock<std::shared_mutex> names_exclusive() { return std::unique_lock{names_}; }
  [[nodiscard]] std::shared_lock<std::shared_mutex> names_shared() { return std::shared_lock{names_}; }
  [[nodiscard]] std::unique_lock<std::mutex> content(InodeId id) { return std::unique_lock{content_[id.value % kStripes]}; }
  /// Not held where somebody else holds it.
  [[nodiscard]] std::unique_lock<std::mutex> try_content(InodeId id) {
    return std::unique_lock{content_[id.value % kStripes], std::try_to_lock};
  }

 private:
  static constexpr std::size_t kStripes = 1024;
  std::shared_mutex names_{};
  std::array<std::mutex, kStripes> content_{};
};

/// Of all that an earlier process did whose mounts this one has taken over: who waits for it waits until the peer has it, or
/// the node may go on without the peer.
inline constexpr SequenceNumber kBeforeTakeOver{1};

/// What must be true of the peer before a call may return to the application.
enum class Acknowledged { Received, Durable };

/// What a call is about to change.
struct Change {
  enum class What : std::uint8_t {
    Content,     ///< bytes [offset, offset + size)
    Tail,        ///< all from `offset` on
    Attributes,
    Names,       ///< entries of a directory
    Tree,        ///< the entry `name` of a directory, which is or becomes a directory, and all below
  };
  What what{What::Attributes};
  InodeId id{};  ///< 0: of nothing that is replicated
  std::uint64_t offset{0};
  std::uint64_t size{0};
  std::string_view name{};
};

/// Where file-system operations hand what they have done. Called by FUSE threads.
class Sink {
 public:
  virtual ~Sink() = default;
  /// Before the local call of each operation: when it returns, no crash can hide what is touched. May wait for the disk the
  /// first time in a while. Until `end_change`, which comes after `append`, no checkpoint passes. Any lock may be held.
  /// Errors: Fenced when nothing may be changed (the caller answers EIO); there is no end_change then.
  virtual Result<std::uint32_t> begin_change(std::span<const Change> changes) = 0;
  virtual void end_change(std::uint32_t ticket) = 0;
  /// Puts the operation, already done locally, into the stream; the caller holds the TreeOrder lock that orders it.
  /// While the peer is away it only marks zones. May block while the window is full, at most the send time-out.
  /// `data` (of a Write) is copied or sent before the call returns.
  virtual SequenceNumber append(const wire::Operation& operation, BytesView data = {}) = 0;
  /// What was appended goes out now, not with what may follow. No lock is held.
  virtual void send() {}
  /// Of a change between begin_change and end_change that failed and may have been made in part, or cannot be told: the peer gets
  /// by a synchronisation what stands here. Any lock of TreeOrder may be held.
  virtual void doubt(const Change& change) = 0;
  /// Waits, with no lock held, until the peer has acknowledged everything up to `sequence`, or the node may go on
  /// without its peer. Errors: Fenced when this node must not acknowledge writes any more (the caller answers EIO).
  virtual Status wait(SequenceNumber sequence, Acknowledged level) = 0;
  /// Before a call begins to change anything, and as the last thing before it returns: waits, with no lock held, until this node
  /// has the right to acknowledge. Errors: Fenced when it must not, and gets none (the caller answers EIO).
  virtual Status permit() { return {}; }
};

/// From before the local call until it is appended.
class ChangeScope {
 public:
  static Result<ChangeScope> begin(Sink& sink, std::initializer_list<Change> changes) {
    SK_TRY(const std::uint32_t ticket, sink.begin_change({changes.begin(), changes.size()}));
    return ChangeScope{sink, ticket};
  }
  ~ChangeScope() {
    if (sink_ != nullptr) sink_->end_change(ticket_);
  }
  ChangeScope(ChangeScope&& other) noexcept : sink_(std::exchange(other.sink_, nullptr)), ticket_(other.ticket_) {}
  ChangeScope(const ChangeScope&) = delete;
  ChangeScope& operator=(const ChangeScope&) = delete;

 private:
  ChangeScope(Sink& sink, std::uint32_t ticket) : sink_(&sink), ticket_(ticket) {}
  Sink* sink_{nullptr};
  std::uint32_t ticket_{0};
};

/// A persistent, node-local name of an inode (name_to_handle_at). A value.
struct FileHandle {
  std::uint32_t root{0};  ///< index of the replicated directory
  std::int32_t type{0};
  std::vector<std::uint8_t> bytes{};
  friend auto operator<=>(const FileHandle&, const FileHandle&) = default;
};

/// An entry of a directory.
struct EntryPlace {
  FileHandle parent{};
  std::string name{};
};

/// What a resynchronisation needs to know of the trees below the FUSE mounts, by inode id. Implemented by the FUSE side.
class Inodes {
 public:
  virtual ~Inodes() = default;
  [[nodiscard]] virtual std::uint32_t root_count() const = 0;
  /// The id of the root directory of tree `root`; root ids are 1 + index and are always known.
  [[nodiscard]] virtual InodeId root_id(std::uint32_t root) const = 0;
  /// The tree and the path below its root, by names that stand now. Caller holds names (shared is enough).
  /// Errors: NotFound for an inode without a name (unlinked while open).
  virtual Result<wire::TreePath> path_of(InodeId id) = 0;
  /// The id of an entry, pinned until `unpin`. Caller holds names. Errors: NotFound.
  virtual Result<InodeId> pin(InodeId parent, const std::string& name) = 0;
  virtual Result<InodeId> pin(const FileHandle& handle) = 0;
  virtual void unpin(InodeId id) = 0;
  /// Is the entry of this directory replicated (`notReplicated`)? Caller holds names.
  virtual bool is_replicated(InodeId directory, const std::string& name, bool is_directory) {
    (void)directory, (void)name, (void)is_directory;
    return true;
  }
  virtual Result<FileHandle> handle_of(InodeId id) = 0;
  /// A name that the inode has now, as far as anybody has looked it up; any lock may be held. Errors: NotFound.
  virtual Result<EntryPlace> place_of(InodeId id) = 0;
  /// Puts the time of change that the peer has not been told yet, if any, into the stream. Caller holds content(id), not names.
  virtual void tell_time(InodeId id) { (void)id; }
  /// The same for all inodes. Caller holds no lock.
  virtual void tell_times() {}
  [[nodiscard]] virtual bool is_time_told(InodeId id) {
    (void)id;
    return true;
  }
  /// Moves across `notReplicated`, which put a name into the stream before all that it stands for.
  struct Moves {
    std::uint64_t count{0};  ///< at this moment
    std::uint64_t begun{0};  ///< so far
    friend bool operator==(const Moves&, const Moves&) = default;
  };
  [[nodiscard]] virtual Moves moves_under_way() { return {}; }
  /// A descriptor of the inode underneath the mount with these open(2) flags (O_RDONLY, O_PATH, O_DIRECTORY). The caller
  /// closes it.
  virtual Result<int> open(InodeId id, int flags) = 0;
};

}  // namespace safekit::replica
