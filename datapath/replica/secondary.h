#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "datapath/journal/journal.h"
#include "datapath/linux/awake_wait.h"
#include "datapath/linux/idle_polling.h"
#include "datapath/replica/applier.h"
#include "datapath/replica/copy_look.h"
#include "datapath/replica/frame_pipe.h"
#include "datapath/replica/handshake.h"
#include "datapath/replica/kept_copies.h"
#include "datapath/replica/outside_changes.h"
#include "datapath/replica/promise_book.h"
#include "datapath/replica/settings.h"
#include "datapath/replica/syncs_first.h"
#include "datapath/replica/worker_pool.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"
#include "schema/port/stream.h"

namespace safekit::replica {

struct SecondaryStatus {
  bool connected{false};
  bool synchronised{false};  ///< this copy has all that the primary acknowledged
  bool unverified{false};  ///< it has, and the primary is still to say that both copies are equal
  bool fatal{false};  ///< with `problem`: this copy differs and was given up
  bool diverged{false};  ///< this copy's own writes are overwritten; they are set aside
  Progress progress{};
  std::string problem{};
  friend bool operator==(const SecondaryStatus&, const SecondaryStatus&) = default;
};

/// Receives the stream and applies it in order. What has been acknowledged is applied, and what was confirmed is
/// when `stop` returns, or this copy is marked: so a takeover has nothing to finish.
/// Threads of its own: one accepts (a new connection of the authenticated primary ends the old one, which may be half
/// dead), one receives and applies (two during a synchronisation), some sync and digest beside it. A service.
///
///   listening -> greeted -> (ResyncBegin) synchronising -> (ResyncEnd) synchronised
///   any -> listening when the connection ends; the copy keeps its marks: up to date once synchronised, until told else.
class Secondary {
 public:
  Secondary(Settings settings, journal::Journal& journal, Applier& applier, StreamSource& source, const Clock& clock,
            Log& log, std::function<void()> changed);
  ~Secondary();
  Secondary(const Secondary&) = delete;
  Secondary& operator=(const Secondary&) = delete;

  /// Before `start`: the primary is not met before it is known what others changed in this copy.
  /// `look`: adds what others have done up to now.
  void expect(std::shared_ptr<OutsideChanges> outside, std::function<void()> look = {}) {
    outside_ = std::move(outside);
    look_outside_ = std::move(look);
  }
  /// Before `start`: where the last consistent copy is kept while a synchronisation changes this one.
  void keep_by(std::shared_ptr<KeptCopies> kept) { kept_ = std::move(kept); }
  /// Before `start`: where it is noted what a primary that asks is promised (docs/wire.md, "Promises"). It outlives this.
  void note_promises_in(PromiseBook& book) { book_ = &book; }
  void promise_for(Duration length) { promise_length_ = length.count(); }
  /// Before `start`; it outlives this.
  void keep_awake_by(linux_os::IdlePolling& polling) { polling_ = &polling; }
  void start();
  /// `orderly`: what was applied is put on disk and noted. Without, it returns as fast as it can (takeover): a sync that
  /// is under way goes on until the destructor.
  void stop(bool orderly = false);
  /// Ends the connection and whatever would make the copy up to date by it; the primary makes a new one. Called in the
  /// same journal update that marks the copy.
  void drop();
  /// The primary makes a new connection, by which the copies meet again. False when this copy is not synchronised: then they do so
  /// anyway.
  bool meet_again();
  /// While held, a new connection of the primary has to wait. Level; also before `start`.
  void hold(bool held);
  [[nodiscard]] SecondaryStatus status() const;
  void confirm_silence_after(Duration silence) { patience_.set(silence); }

 private:
  /// Tasks beside the stream keep it until they have answered.
  using StreamRef = std::shared_ptr<Stream>;

  void accept();
  void serve();
  Status serve_one(const StreamRef& stream);
  Status greet(Stream& stream, wire::FrameReader& frames);
  /// What this copy did as a primary, by paths; the Hello says nothing of it when that cannot be told.
  std::vector<wire::ActiveEntry> own_activity(wire::Hello& hello);
  /// What others did to it, beside that.
  void add_outside(wire::Hello& hello, std::vector<wire::ActiveEntry>& entries);
  Status checkpoint(const StreamRef& stream, const wire::Checkpoint& checkpoint);
  Status receive(const StreamRef& stream, wire::FrameReader& frames);
  Result<std::size_t> look_awake(Stream& stream, wire::FrameReader& frames);
  Status take_or_pass(const StreamRef& stream, const wire::FrameView& frame, std::unique_ptr<FramePipe>& pipe);
  Status confirm(Stream& stream, const wire::FrameReader& frames);
  Status take_one(const StreamRef& stream, const wire::FrameView& frame);
  Status answer_all(const StreamRef& stream);
  Status take(const StreamRef& stream, const wire::FrameView& frame);
  Status take(const StreamRef& stream, wire::Operation& operation, BytesView data);
  Status begin_resync(Stream& stream, wire::ResyncMode mode);
  Status end_resync(Stream& stream, const wire::ResyncEnd& end);
  Status detach(Stream& stream);
  Status begin_set_aside();
  Status end_set_aside();
  void tell_missed();
  [[nodiscard]] bool is_to_keep(const journal::State& state);
  void keep_copy();
  void give_up_kept();
  struct PendingSync {
    SequenceNumber sequence{};
    SharedFd fd{};
    bool data_only{false};
  };
  Status sync_soon(const StreamRef& stream, const wire::Sync& sync);
  void sync_later(const StreamRef& stream);
  Status sync_here(const StreamRef& stream);
  void sync_all_later(const StreamRef& stream);
  void digest_later(const StreamRef& stream, wire::ZoneDigests&& digests);
  /// A question of a verification, or its end; nothing for any other message.
  std::optional<Status> verify(const StreamRef& stream, wire::Message& message);
  Status take(const wire::Verified& verified);
  Status acknowledge(Stream& stream);
  /// Up to what was applied.
  void note_acknowledged(Bytes& out);
  Status take(Stream& stream, const wire::Question& question);
  std::optional<wire::Promise> promise();
  /// This copy can no longer be trusted: noted on disk, told to the primary. `confirmed`, by the receiver alone: the primary may have
  /// relied on what could not be done, so it is noted also while this ends.
  void fail(Stream& stream, const Error& error, bool confirmed = false);
  void set_status(const std::function<void(SecondaryStatus&)>& change);

  Settings settings_{};
  Patience patience_{};
  journal::Journal& journal_;
  Applier& applier_;
  StreamSource& source_;
  const Clock& clock_;
  Log& log_;
  std::function<void()> changed_{};

  /// Up to when all was done by us, but for what is noted in outside_ when this returns.
  linux_os::FileMoment look_outside();

  std::shared_ptr<OutsideChanges> outside_{};
  std::function<void()> look_outside_{};
  std::stop_source stop_waiting_{};

  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  bool stopped_{false};
  bool held_{false};     ///< no stream is taken up
  bool given_up_{false};  ///< nor one ever again
  StreamRef next_{};  ///< accepted, waits for the receiver
  StreamRef current_{};
  bool greeted_{false};  ///< current_ may get heartbeats
  std::uint64_t spoiled_{0};  ///< how often the copy was found or marked not to be equal
  std::uint64_t answered_{0};  ///< the last Question on current_; 0: none yet
  MonoTime answered_at_{};
  PromiseBook* book_{nullptr};
  linux_os::IdlePolling* polling_{nullptr};
  // The receiver's:
  linux_os::AwakeWait wait_{};
  bool has_synced_{false};  ///< itself, since it waited last
  std::atomic<std::int64_t> promise_length_{0};
  std::atomic<std::int64_t> heard_{0};  ///< when the receiver last read something
  std::atomic<bool> works_{false};      ///< it works on that
  SecondaryStatus status_{};

  std::atomic<std::int64_t> give_back_at_{0};  ///< the memory that a synchronisation needed; 0: it was given back

  // The receiver's own, or of the thread to which it passes the frames of a synchronisation:
  CopyLook look_{applier_};
  std::uint64_t spoiled_before_{0};  ///< the connection was greeted
  std::uint64_t received_{0};
  std::uint64_t applied_{0};
  std::uint64_t confirmed_{0};  ///< the primary was told that this is here (docs/wire.md, "What is received")
  bool copies_{false};  ///< a synchronisation is under way
  std::atomic<std::uint64_t> files_received_{0};  ///< in it, by the receiver; read by status()
  std::atomic<std::uint64_t> bytes_received_{0};  ///< of content; live writes too
  std::uint64_t acknowledged_{0};
  std::uint64_t unacknowledged_bytes_{0};
  std::optional<PendingSync> pending_sync_{};  ///< the last frame taken; what it is for has not begun
  Duration sync_takes_{};                      ///< lately, on average
  wire::Hello primary_{};
  bool loses_{false};  ///< this copy has writes of its own that the primary's has not
  std::shared_ptr<const Outside> told_{};  ///< what others changed in it, and the primary has been told of; or none
  bool told_missed_{false};
  std::shared_ptr<KeptCopies> kept_{};
  std::optional<wire::ResyncMode> keep_first_{};  ///< the connection was ended, so that this copy is kept before that
  bool cannot_keep_{false};                       ///< this copy; what comes of the next synchronisation is another one
  std::optional<journal::ZoneMap> own_marks_{};  ///< what they are, if that is known
  bool own_marks_whole_{false};
  SyncsFirst syncs_first_{clock_};
  std::unique_ptr<WorkerPool> syncs_{};    ///< applications wait for them, so they wait for nothing else
  std::unique_ptr<WorkerPool> digests_{};

  std::thread acceptor_{};
  std::thread receiver_{};
};

}  // namespace safekit::replica
