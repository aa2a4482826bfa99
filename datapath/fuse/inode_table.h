#pragma once

#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/fuse/call.h"
#include "datapath/fuse/file_handle.h"
#include "datapath/fuse/ledger.h"
#include "datapath/linux/fd.h"
#include "datapath/linux/mounts.h"
#include "datapath/replica/exclusion.h"
#include "datapath/replica/sink.h"

namespace safekit::fuse {

using SharedFd = std::shared_ptr<const Fd>;

/// A name of an inode that we know of: it may have others that nobody has looked up.
struct Place {
  InodeId parent{};
  std::string name{};
  friend bool operator==(const Place&, const Place&) = default;
};

/// Of an inode whose mtime has changed: which one the peer has meanwhile (Outbox).
enum class TimeTold : std::uint8_t { Not, Likely, Seen };

/// A file or directory that the kernel, a resynchronisation or a child refers to. A service, owned by the
/// table; a pointer is good for as long as what it was found for refers to it (the kernel forgets no inode
/// that a request names).
struct Inode {
  InodeId id{};
  std::uint32_t slot{Ledger::kNoSlot};
  dev_t device{0};
  ino_t number{0};
  mode_t type{0};  ///< S_IFMT part of the mode
  replica::FileHandle handle{};
  bool has_handle{false};

  // Guarded by the table's mutex.
  std::uint64_t lookups{0};   ///< references of the kernel
  std::uint64_t pins{0};      ///< references of resynchronisation and housekeeping
  std::uint64_t children{0};  ///< known names below this directory
  std::uint32_t opens{0};
  bool file_writable{false};
  bool keep_path{false};  ///< cannot be opened by handle (again): `path` stays
  bool kept{false};       ///< another process holds a descriptor of it too
  std::vector<Place> names{};
  SharedFd path{};  ///< O_PATH, from the cache of descriptors
  SharedFd file{};  ///< one descriptor for all opens of a file
  std::list<Inode*>::iterator recent{};

  /// Not replicated: it has no name, or only such as `notReplicated` excludes; a directory's means all below it.
  std::atomic<bool> nameless{false};
  std::atomic<bool> touched{false};     ///< its mtime has yet to be appended
  std::atomic<TimeTold> time_told{TimeTold::Not};  ///< while `touched`
  std::atomic<bool> queued{false};      ///< housekeeping will look at it
  std::atomic<bool> unreceived{false};  ///< written since the last close that waited for the peer
  std::atomic<bool> may_set_id{false};  ///< may have setuid or setgid bits
  std::atomic<std::uint64_t> last_sequence{0};  ///< of the last operation on its content
};

/// The known inodes of all roots: node ids to file handles, counted by references; a bounded cache of
/// descriptors. Shape:  the id of root i is 1 + i; others count up from kFirstId and are never used again.
/// Thread: any. Names change only under TreeOrder::names (exclusive, or shared for adding what a lookup
/// found); its own
///         mutex is innermost and held over no system call.
class InodeTable : public replica::Inodes {
 public:
  static constexpr std::uint64_t kFirstId = 1000;

  /// Who keeps descriptors of open files that have no name, for the next process. Both are called with no lock held.
  struct Keeping {
    std::function<void(std::uint64_t id, int descriptor)> keep{};
    std::function<void(std::uint64_t id)> drop{};
  };

  /// `ledger`: noted there is what the kernel refers to.
  InodeTable(std::size_t descriptors_max, Ledger& ledger) : descriptors_max_(descriptors_max), ledger_(&ledger) {}
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  /// Opens a directory as the next root. Mounts below it are not followed: the directories they cover are
  /// shown.
  Status add_root(const std::string& path);
  /// The same from descriptors of an earlier process.
  Status add_root(mounts::Alone root, const std::string& path);
  /// Before the first request, by index of the root.
  void set_exclusions(replica::Exclusions exclusions) { exclusions_ = std::move(exclusions); }
  [[nodiscard]] bool has_exclusions() const { return !exclusions_.empty(); }
  [[nodiscard]] int root_fd(std::uint32_t root) const { return roots_[root].directory.get(); }
  [[nodiscard]] const mounts::Alone& root(std::uint32_t root) const { return roots_[root]; }
  [[nodiscard]] std::uint32_t epoch() const { return ledger_->epoch(); }
  /// What is kept, to be kept anew by another keeper.
  [[nodiscard]] std::vector<std::pair<std::uint64_t, SharedFd>> kept();
  void keep_with(Keeping keeping) { keeping_ = std::move(keeping); }
  /// What the ledger says that the kernel refers to, after the roots were added and before threads start; `kept`:
  /// descriptors by id. Names are found out when they are needed.
  void restore(Ledger& ledger, std::map<std::uint64_t, Fd> kept);

  /// The inode behind a node id. Errors: ESTALE.
  [[nodiscard]] Call<Inode*> find(std::uint64_t id);
  [[nodiscard]] Inode* find(dev_t device, ino_t number);

  /// Counts a lookup of an inode that is known by this very name. nullptr: take names and call `adopt`.
  [[nodiscard]] Inode* recall(const struct stat& attributes, InodeId parent, std::string_view name);
  enum class For { Kernel, Pin };
  /// The inode of an entry, made known if need be, with one reference more. The caller holds names, and
  /// `attributes` are of that entry now.
  [[nodiscard]] Call<Inode*> adopt(Inode& parent, const std::string& name, const struct stat& attributes,
                                   For what);
  /// The same for a file without a name (O_TMPFILE); `file` becomes its open descriptor.
  [[nodiscard]] Call<Inode*> adopt_nameless(std::uint32_t root, Fd file, const struct stat& attributes);
  void forget(InodeId id, std::uint64_t lookups);

  /// Names: the caller holds names exclusively.
  void add_name(Inode& inode, InodeId parent, std::string_view name);
  void remove_name(Inode& inode, InodeId parent, std::string_view name);
  /// Keeps an inode that is about to lose its last name reachable for those who still use it.
  [[nodiscard]] Call<void> hold(Inode& inode);
  /// It has not lost it: the descriptor is one of the cache's again.
  void unhold(Inode& inode);

  // Which names are replicated (inode_replicated.cpp); the caller holds names.
  [[nodiscard]] const replica::Exclusion& exclusion(std::uint32_t root) const;
  [[nodiscard]] bool excludes(Inode& parent, const std::string& name, bool is_directory);
  /// The path of a directory that is replicated; only for rules that ask where something is.
  [[nodiscard]] std::string directory_path(const Inode& directory);
  /// Another name than those that are not replicated; looks through the tree where it may have names that nobody knows.
  [[nodiscard]] bool has_replicated_name(Inode& inode);

  [[nodiscard]] Call<SharedFd> path_fd(Inode& inode);
  /// The open file if there is one, else as path_fd: for calls that take either.
  [[nodiscard]] Call<SharedFd> any_fd(Inode& inode);
  /// Counts an open and gives the shared descriptor, writable if asked for.
  [[nodiscard]] Call<SharedFd> open_file(Inode& inode, bool writable);
  void created(Inode& inode, Fd file);  ///< counts the open that made the file
  void close_file(Inode& inode);
  void reopen_file(Inode& inode);  ///< takes a close back that is going to be repeated
  /// The shared descriptor of an open file. Errors: EBADF when it is not open.
  [[nodiscard]] Call<SharedFd> file_fd(Inode& inode);
  [[nodiscard]] Call<Fd> open_anew(Inode& inode, int flags);

  void pin(Inode& inode);
  /// Inodes without any reference left; the caller appends Forget for each and then drops it.
  [[nodiscard]] std::vector<InodeId> retired();
  void drop(InodeId id);
  /// Called, with no lock held, when there is something in `retired`. Set before threads start.
  void on_retired(std::function<void()> call) { on_retired_ = std::move(call); }
  /// Who appends a time of change that is due. Set before threads start.
  void on_tell_time(std::function<void(Inode&)> call) { tell_time_ = std::move(call); }
  void on_tell_times(std::function<void()> call) { tell_times_ = std::move(call); }
  /// Counts a move across `notReplicated` while it lives.
  class MoveScope {
   public:
    explicit MoveScope(InodeTable& table) : table_(table) {
      ++table_.moves_begun_;
      ++table_.moves_;
    }
    ~MoveScope() { --table_.moves_; }
    MoveScope(const MoveScope&) = delete;
    MoveScope& operator=(const MoveScope&) = delete;

   private:
    InodeTable& table_;
  };
  [[nodiscard]] std::size_t size();
  [[nodiscard]] std::size_t cached_descriptors();

  // replica::Inodes
  [[nodiscard]] std::uint32_t root_count() const override {
    return static_cast<std::uint32_t>(roots_.size());
  }
  [[nodiscard]] InodeId root_id(std::uint32_t root) const override { return InodeId{1 + root}; }
  Result<wire::TreePath> path_of(InodeId id) override;
  Result<InodeId> pin(InodeId parent, const std::string& name) override;
  Result<InodeId> pin(const replica::FileHandle& handle) override;
  void unpin(InodeId id) override;
  bool is_replicated(InodeId directory, const std::string& name, bool is_directory) override;
  Result<replica::FileHandle> handle_of(InodeId id) override;
  Result<replica::EntryPlace> place_of(InodeId id) override;
  Result<int> open(InodeId id, int flags) override;
  void tell_time(InodeId id) override;
  void tell_times() override {
    if (tell_times_) tell_times_();
  }
  bool is_time_told(InodeId id) override;
  Moves moves_under_way() override { return {.count = moves_, .begun = moves_begun_}; }

 private:
  struct Key {
    dev_t device{0};
    ino_t number{0};
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<std::uint64_t>{}(key.number * 0x9e3779b97f4a7c15ULL ^ key.device);
    }
  };

  void settle_replicated(Inode& inode, Inode& parent, const std::string& name, const struct stat& attributes);
  Inode* find_locked(dev_t device, ino_t number);
  Inode* insert_locked(const struct stat& attributes, replica::FileHandle handle, bool has_handle);
  void add_name_locked(Inode& inode, InodeId parent, std::string_view name);
  void remove_name_locked(Inode& inode, const Place& place);
  void retire_if_unused_locked(Inode* inode);
  void restore_one(std::uint32_t slot, const LedgerInode& from, std::map<std::uint64_t, Fd>& kept);
  void note_lookups_locked(const Inode& inode) { ledger_->set_lookups(inode.slot, inode.lookups); }
  void note_opens_locked(const Inode& inode) { ledger_->set_opens(inode.slot, inode.opens, inode.file_writable); }
  /// An open file that has no name, or is about to have none, outlives this process only by a kept descriptor.
  void keep_if_needed(Inode& inode);
  void remember_locked(Inode& inode);
  void uncache_locked(Inode& inode);
  [[nodiscard]] Call<Fd> open_by_any_means(const Inode& inode, const SharedFd& path, int flags);
  [[nodiscard]] std::optional<wire::TreePath> known_path(InodeId id);
  [[nodiscard]] std::optional<wire::TreePath> replicated_path(Inode& inode);
  [[nodiscard]] Result<wire::TreePath> search_path(Inode& inode);
  Call<void> learn_path(Inode& inode, const wire::TreePath& path);
  void notify_retired();

  const std::size_t descriptors_max_;
  Ledger* ledger_;
  Keeping keeping_{};
  std::vector<mounts::Alone> roots_{};
  replica::Exclusions exclusions_{};
  std::function<void()> on_retired_{};
  std::function<void(Inode&)> tell_time_{};
  std::function<void()> tell_times_{};
  std::atomic<std::uint64_t> moves_{0};
  std::atomic<std::uint64_t> moves_begun_{0};
  std::mutex mutex_{};
  std::uint64_t next_id_{kFirstId};
  std::unordered_map<std::uint64_t, std::unique_ptr<Inode>> inodes_{};
  std::unordered_map<Key, Inode*, KeyHash> by_key_{};
  std::unordered_map<std::uint64_t, std::unique_ptr<Inode>> retired_{};
  std::vector<std::uint64_t> dropped_{};  ///< retired ones that were kept
  std::list<Inode*> recent_{};  ///< inodes with an evictable `path`, latest first
};

}  // namespace safekit::fuse
