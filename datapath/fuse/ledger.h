#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "datapath/linux/fd.h"
#include "datapath/replica/sink.h"
#include "schema/base/bytes.h"

namespace safekit::fuse {

/// What a mount's session was agreed on with the kernel, once, at its INIT.
struct Agreement {
  bool resend{false};  ///< the kernel sends requests again that nobody has answered
  bool write_back{false};
  bool long_setxattr{false};  ///< a SETXATTR has the fields of SETXATTR_EXT
  friend bool operator==(const Agreement&, const Agreement&) = default;
};

/// An inode that the kernel refers to.
struct LedgerInode {
  std::uint64_t id{0};
  std::uint64_t device{0};
  std::uint64_t number{0};
  mode_t type{0};  ///< S_IFMT part
  replica::FileHandle handle{};
  std::uint32_t lookups{0};
  std::uint32_t opens{0};
  bool writable{false};  ///< one of the opens may write
  bool parting{false};   ///< was about to lose its last name
  friend bool operator==(const LedgerInode&, const LedgerInode&) = default;
};

/// Memory that outlives this process: all that another one needs to serve the mounts of this one on. A service.
/// Shape:  docs/takeover.md. A header, records of requests (one per serving thread), then a slot per inode.
///         Whatever is stored before the process ends is there for the next one; nothing of it is needed after a boot.
///         Where two stores cannot be one, the order is such that a count may come out too high, never too low: an inode is
///         then kept longer than needed.
/// Bounds: kRequestsMax records, kHandleBytesMax bytes of a handle, kInodesMax slots. Beyond, or without memory, `broken()`
///         says why the mounts cannot be taken over any more; everything else goes on.
/// Thread: slots: under the lock of their inode table. A record: of the thread that has it. The rest: any.
class Ledger {
 public:
  static constexpr std::uint32_t kVersion = 2;
  static constexpr std::uint32_t kVersionMin = 1;  ///< has no long_setxattr
  static constexpr std::uint32_t kRequestsMax = 1024;
  static constexpr std::uint32_t kCountsMax = 256;  ///< of one request: entries of one READDIRPLUS
  static constexpr std::size_t kHandleBytesMax = 40;
  static constexpr std::uint32_t kInodesMax = 1U << 26;
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;

  /// Shared memory as it lies there; everything is written in program order by one process at a time.
  struct Record {
    std::uint64_t unique{0};  ///< without the kernel's mark for a repetition; 0: never used
    std::uint32_t root{0};
    std::uint32_t begun{0};   ///< the change may have been made
    std::uint64_t evidence{0};  ///< by which it is seen whether it has been
    std::uint64_t opened{0};    ///< inode of which an open was counted (or taken back)
    std::int32_t opens{0};      ///< 1 counted, -1 taken back
    std::uint32_t counts{0};
    std::uint64_t counted[kCountsMax]{};  ///< inodes of which a lookup was counted
  };

  /// `paths`: the replicated directories, in order.
  explicit Ledger(const std::vector<std::string>& paths);
  /// That of the process before. Errors: Unsupported for another version; Conflict when it is of other directories, or
  /// broken; Io.
  static Result<std::unique_ptr<Ledger>> take(Fd memory, const std::vector<std::string>& paths);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  [[nodiscard]] int descriptor() const { return memory_.get(); }
  [[nodiscard]] std::string broken() const;
  /// Whether all that the next process needs is kept now.
  void set_kept(bool kept);

  // Of the session.
  void agree(const Agreement& agreement);
  [[nodiscard]] Agreement agreement() const;
  /// Grows with each process that serves the mounts.
  [[nodiscard]] std::uint32_t epoch() const;
  /// Calls return without the peer, which cannot be promoted: what replica::Primary last said.
  void note_alone(bool alone);
  [[nodiscard]] bool was_alone() const;

  // Of inodes.
  [[nodiscard]] std::uint32_t add(const LedgerInode& inode, bool has_handle);
  void set_lookups(std::uint32_t slot, std::uint64_t lookups);
  void set_opens(std::uint32_t slot, std::uint32_t opens, bool writable);
  void set_parting(std::uint32_t slot);
  void remove(std::uint32_t slot);
  /// All slots in use, with their numbers; drops those that the kernel does not refer to.
  [[nodiscard]] std::vector<std::pair<std::uint32_t, LedgerInode>> inodes();
  void note_next_id(std::uint64_t id);
  [[nodiscard]] std::uint64_t next_id() const;

  // Of requests.
  /// A record for a thread; nullptr when all are taken.
  [[nodiscard]] Record* lend();
  void give_back(Record* record);
  /// The records of a request that the processes before had begun.
  [[nodiscard]] std::vector<Record*> earlier(std::uint32_t root, std::uint64_t unique);

 private:
  struct Header;
  struct Slot;
  explicit Ledger(Fd memory) : memory_(std::move(memory)) {}
  bool map();
  void break_it(std::uint32_t reason);
  [[nodiscard]] std::atomic_ref<std::uint32_t> why() const;
  bool grow(std::uint32_t slots);
  void read_records();
  [[nodiscard]] Header& header() const;
  [[nodiscard]] Record* records() const;
  [[nodiscard]] Slot& slot(std::uint32_t index) const;
  [[nodiscard]] static std::size_t bytes_for(std::uint32_t slots);

  Fd memory_{};
  void* base_{nullptr};
  std::vector<std::uint32_t> free_{};
  std::uint32_t used_{0};  ///< slots below this have been given out
  std::mutex mutex_{};
  std::uint32_t next_record_{0};
  std::vector<Record*> idle_{};
  std::uint32_t lent_{0};
  std::unordered_multimap<std::uint64_t, Record*> earlier_{};
};

/// One request at work on its thread: notes in the ledger what a repetition of it, in another process, has to know. A value
/// without a ledger's record notes nothing.
/// Thread: of the request.
class Attempt {
 public:
  Attempt() = default;
  explicit Attempt(Ledger::Record* record) : record_(record) {}

  /// `before`: records of the same request in earlier processes, whose counts have been taken back.
  void begin(std::uint32_t root, std::uint64_t unique, const std::vector<Ledger::Record*>& before);
  /// After a lookup was counted; `uncounted` before it is taken back.
  void counted(InodeId id);
  void uncounted();
  [[nodiscard]] bool has_room() const { return record_ == nullptr || record_->counts < Ledger::kCountsMax; }
  void opened(InodeId id);    ///< after an open was counted
  void unopened();            ///< before that is taken back
  void released(InodeId id);  ///< before an open is taken back for good
  /// Right before a change that must not be made twice.
  void begin_change(std::uint64_t evidence = 0);
  void end_change();  ///< it was refused
  /// This request was at that point before, so the change may have been made already.
  [[nodiscard]] bool is_repeated() const { return repeated_; }
  [[nodiscard]] std::uint64_t evidence() const { return evidence_; }

 private:
  Ledger::Record* record_{nullptr};
  bool repeated_{false};
  std::uint64_t evidence_{0};
};

}  // namespace safekit::fuse
