#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "datapath/linux/fd.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/inspection.h"
#include "datapath/replica/settings.h"
#include "datapath/replica/sink.h"
#include "datapath/resync/pace.h"
#include "schema/port/clock.h"

namespace safekit::replica {

/// What a verification needs of the primary's stream, of one connection. Errors: Unavailable when it is gone.
class VerifyHost {
 public:
  virtual ~VerifyHost() = default;
  /// In order with live operations: the caller holds the TreeOrder lock of what the message speaks of.
  virtual Result<SequenceNumber> put(const wire::Message& message) = 0;
  /// Until little is unacknowledged; with no lock held.
  virtual Status wait_for_room() = 0;
};

struct VerifyOptions {
  Duration again_after{milliseconds{500}};  ///< what differs is looked at again so long after
  std::uint64_t bytes_per_second{0};        ///< read on each node; 0: no limit
};

/// Compares both copies while the application works and changes neither; the primary's side. docs/resync.md, "Verification", has
/// the argument why no difference is reported that is none.
///
///   walk (each thing once) -> what was moved meanwhile -> what differs is looked at again -> what differs in both looks
///
/// Bounds: kAskedMax questions are unanswered; the names of at most kListingsMax directories of each level are held; kDifferencesMax
/// differences or kDifferenceBytesMax of paths end the walk; kMovedMax names moved and not yet looked at end it with an error.
/// Errors of run: Unavailable with the reason given to `abort`; Timeout when the peer answers nothing; Exhausted; Io.
/// Thread: `run` by one; the others from any. A service.
class VerifyRun {
 public:
  static constexpr std::size_t kAskedMax = 256;  ///< before the next step, which asks a few
  static constexpr std::size_t kListingsMax = 8;
  static constexpr std::size_t kDifferencesMax = 1000;
  static constexpr std::size_t kDifferenceBytesMax = 512U << 10;
  static constexpr std::size_t kMovedMax = 100'000;
  static constexpr std::size_t kFilesMax = 8;  ///< whose content is being asked about; what is moved need not wait for a large one

  VerifyRun(VerifyHost& host, Inodes& inodes, TreeOrder& order, const Settings& settings, const Clock& clock,
            const VerifyOptions& options = {})
      : host_(host), inodes_(inodes), order_(order), settings_(settings), clock_(clock), again_after_(options.again_after),
        pace_(options.bytes_per_second) {}
  ~VerifyRun();
  VerifyRun(const VerifyRun&) = delete;
  VerifyRun& operator=(const VerifyRun&) = delete;

  Status run();
  void abort(const std::string& reason);
  void answer(wire::VerifyAnswer&& answer);
  /// Something was moved to, or linked at, this name: it may have come from where the walk has not been to where it has.
  void names_changed(const HandleKey& parent, const std::string& name);
  /// Counts and, after `run`, differences.
  [[nodiscard]] Inspection found() const;

 private:
  /// A reference to an inode, given back.
  class Pin {
   public:
    Pin() = default;
    Pin(Inodes& inodes, InodeId id) : inodes_(&inodes), id_(id) {}
    Pin(Pin&& other) noexcept : inodes_(std::exchange(other.inodes_, nullptr)), id_(other.id_) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(inodes_, other.inodes_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Pin() {
      if (inodes_ != nullptr) inodes_->unpin(id_);
    }
    [[nodiscard]] InodeId id() const { return id_; }

   private:
    Inodes* inodes_{nullptr};
    InodeId id_{};
  };
  using PinRef = std::shared_ptr<const Pin>;
  /// An entry of a directory; without a name a replicated directory itself.
  struct Entry {
    HandleKey directory{};
    std::string name{};
    friend auto operator<=>(const Entry&, const Entry&) = default;
  };
  struct Directory {
    PinRef pin{};
    HandleKey key{};
    wire::TreePath at{};
    std::vector<std::string> files{};
    std::vector<std::string> directories{};
  };
  struct File {
    Entry entry{};
    PinRef directory{};
    Pin pin{};
    Fd fd{};
    std::uint64_t size{0};   ///< that it had at first; what is added comes by the stream
    std::uint64_t zones{0};
    std::uint64_t next{0};
    bool differs{false};
  };
  using FileRef = std::shared_ptr<File>;
  struct Question {
    Entry entry{};
    wire::TreePath at{};
    std::unique_ptr<Directory> listed{};  ///< of names
    FileRef file{};                       ///< of zones
    std::uint64_t first{0};
    bool exact{false};
  };
  struct Doubt {
    FileRef file{};
    std::uint64_t zone{0};
  };

  Status walk();
  Result<bool> next_step();
  Status start_roots();
  Status look_again();
  Status second_look();
  Status take_moved();
  std::optional<Entry> next_moved();
  Status next_zones();
  [[nodiscard]] std::uint64_t bytes_of(const File& file, std::uint64_t first, std::uint64_t count) const;
  Status look_at(const Entry& entry);
  Status look_in(const PinRef& directory, const Entry& entry);
  Status list_by_key(const HandleKey& key);
  Status list(const Entry& entry, Pin pin);
  Result<std::optional<wire::Attributes>> ask_state(InodeId id, const Entry& entry, InodeId directory);
  Status begin_file(const Entry& entry, const PinRef& directory, Pin pin, const wire::Attributes& attributes);
  Status ask_zones(const FileRef& file, std::uint64_t first, std::uint64_t count, bool exact);
  /// Where the entry is now; nothing when it stands for something else by now. Caller holds names.
  Result<std::optional<wire::TreePath>> place_of(InodeId id, const Entry& entry, InodeId directory);
  /// Errors: NotFound when it is gone.
  Result<Pin> pin_directory(const HandleKey& key);
  void count(std::uint64_t Inspection::*what, std::uint64_t more);
  void asked(SequenceNumber sequence, Question&& question);
  Status await_answer();
  void take(Question& question, wire::VerifyAnswer& answer);
  void note(const Entry& entry, const wire::TreePath& at, unsigned differs);
  Status pause(std::uint64_t bytes);
  [[nodiscard]] Status check_stopped() const;

  VerifyHost& host_;
  Inodes& inodes_;
  TreeOrder& order_;
  const Settings& settings_;
  const Clock& clock_;
  const Duration again_after_;

  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  std::optional<std::string> stopped_{};
  std::map<std::uint64_t, wire::VerifyAnswer> answers_{};  ///< come, and not taken
  std::set<Entry> moved_{};  ///< and not looked at since
  bool moved_too_much_{false};
  bool walking_{true};  ///< moves matter
  Inspection found_{};

  // Of the thread that runs:
  std::deque<std::pair<std::uint64_t, Question>> asked_{};
  std::vector<Directory> stack_{};
  std::size_t listings_{0};  ///< of the questions
  resync::Pace pace_;
  std::vector<FileRef> files_{};  ///< whose zones are being asked about, of the last one first
  std::deque<Doubt> doubts_{};
  bool descend_{true};  ///< the first look
  bool full_{false};
  std::size_t bytes_noted_{0};
  std::map<Entry, CopyDifference> first_{};  ///< found by the first look, while the second one goes on
  std::map<Entry, CopyDifference> differences_{};
};

}  // namespace safekit::replica
