#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>

#include "datapath/journal/journal.h"
#include "datapath/replica/activity_tracker.h"
#include "datapath/replica/handshake.h"
#include "datapath/replica/outside_changes.h"
#include "datapath/replica/peer_right.h"
#include "datapath/replica/rate_limit.h"
#include "datapath/replica/resync_run.h"
#include "datapath/replica/settings.h"
#include "datapath/replica/sink.h"
#include "datapath/replica/sync_times.h"
#include "datapath/replica/verify_run.h"
#include "datapath/replica/window.h"
#include "datapath/resync/after_verification.h"
#include "datapath/resync/backup.h"
#include "datapath/resync/packing_choice.h"
#include "datapath/resync/plan.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"
#include "schema/port/random.h"
#include "schema/port/stream.h"

namespace safekit::replica {

struct PrimaryStatus {
  bool connected{false};
  bool peer_synchronised{false};
  bool waiting_for_alone{false};  ///< calls wait for the peer, which is away, or for the leave to go on without it
  bool diverged{false};
  bool fenced{false};
  bool frozen{false};  ///< it has no right to acknowledge anything now
  Progress progress{};
  std::uint64_t written{0};  ///< bytes of the application's writes that were put into the stream
  std::uint64_t zones_dirty{0};
  std::uint64_t pairing{0};  ///< control::Report::pairing
  std::string problem{};
  friend bool operator==(const PrimaryStatus&, const PrimaryStatus&) = default;
};

/// How the promises of one process go on in the next one that serves the same mounts.
struct Continuity {
  bool taken_over{false};   ///< calls of an earlier process are done again, others rely on what it did
  bool was_alone{false};    ///< that one let calls return without the peer, which cannot be promoted
  bool unconfirmed{false};  ///< of what it did the peer may not have everything
  std::function<void(bool)> note_alone{};  ///< remembers was_alone for the next one; called with the mutex held
};

/// Puts what the file system does into the stream and says when a call may return. Called directly by FUSE threads, under
/// one mutex: a hop to another thread would cost more than the work.
///
/// What calls wait for (the peer's part of a promise):
///   Waiting   --(leave given, or send_timeout)--> Alone       nobody waits; zones are marked; a new data generation is made
///   Waiting   --(peer's copy needs work: it is durably out of date)--> Alone
///   Waiting   --(the role is being left)--> calls end with an error
///   Alone     --(ResyncEnd put into the stream)--> Mirroring  calls wait for the peer's acknowledgement
///   Mirroring --(connection lost)--> Waiting                  what was not acknowledged is marked
///
/// Where the module has a witness that grants leases (`need_right`), nothing is acknowledged without a right to, which ends:
///   Alone     by the word of the control plane or of the peer, whose copy cannot be promoted: never; else with the lease
///   Waiting, Mirroring   with what the peer has promised last (PeerRight)
/// and send_timeout gives no leave. Calls are held while there is none, with no lock of TreeOrder, so that nothing by which it
/// comes has to wait for them; they end with an error when the role is being left, or the witness has refused.
///
/// The connection is a second, separate thing: while Alone and connected (a resynchronisation runs), operations are both
/// sent and marked. Marks end when the peer has confirmed the end of the synchronisation.
/// Thread: append, wait: any. start, stop: the owner. A service.
class Primary final : public Sink, private ResyncHost {
 public:
  Primary(Settings settings, journal::Journal& journal, TreeOrder& order, StreamSource& source, const Clock& clock,
          Random& random, Log& log, std::function<void()> changed);
  ~Primary() override;
  Primary(const Primary&) = delete;
  Primary& operator=(const Primary&) = delete;

  /// Before the first append. `marks`: what the peer may not have; nothing when that is not known. `activity`, opened: may be
  /// none, then a crash leads to a comparison of everything.
  void prepare(Inodes& inodes, std::optional<journal::ZoneMap> marks, std::unique_ptr<ActivityTracker> activity = {},
               Continuity continuity = {});
  /// Before `start`: the peer is not met before it is known what others changed in this copy.
  void expect(std::shared_ptr<OutsideChanges> outside) { outside_ = std::move(outside); }
  /// Begins to look for the peer.
  void start();
  /// May it go on without the peer? Level; see control::Want. One for another pairing than the present is none. `by_lease`: only
  /// while that lasts.
  void allow_alone(bool allowed, std::uint64_t pairing = 0, bool by_lease = false);
  /// Level, also before `prepare`.
  void need_right(bool needed);
  /// Before `start`. Called with the mutex held whenever the end of the right moves.
  void tell_right(std::function<void(MonoTime)> tell) { tell_right_ = std::move(tell); }
  /// The lease of this node. Level, also before `start`; see control::Lease.
  void lease(MonoTime until, bool refused);
  /// The role is being left, until `allow_alone` says else: this copy may be marked already, and the peer take over. So a call
  /// whose peer is lost gets an error, at once; released without the peer, its write would be promised and missing there.
  void leave();
  /// Of the content that a synchronisation sends, bytes a second; 0: no limit.
  void limit_resync(std::uint64_t bytes_per_second);
  void confirm_silence_after(Duration silence) { patience_.set(silence); }
  /// A backup is going to be taken of this copy: what changes from now on is noted against it, and what was before is on the disk.
  /// Errors: Conflict while the peer is there or may return, and as resync::begin_backup.
  Status begin_backup(const resync::Backup& backup);
  /// After the file systems are unmounted. In order: the peer confirms that it has all, or zones are saved, if there is room.
  /// Errors: Io when the journal cannot be written.
  Status stop();
  [[nodiscard]] PrimaryStatus status() const;

  /// Begins to compare both copies, or to say what the next synchronisation would copy; how it goes says `inspection`. Nothing
  /// is changed. A number that was given last is not begun again. Errors: Conflict while there is one that does not give way,
  /// Unavailable.
  Status inspect(const InspectionOrder& order);
  /// From the next synchronisation on: one that copied or compared something is followed by a verification, until the end of
  /// which the secondary says that it is unverified.
  void verify_after_resync(bool wanted);
  /// Ends a comparison.
  void end_inspection(const std::string& reason);
  [[nodiscard]] Inspection inspection() const;

  Result<std::uint32_t> begin_change(std::span<const Change> changes) override;
  void send() override;
  void doubt(const Change& change) override;
  void end_change(std::uint32_t ticket) override;
  SequenceNumber append(const wire::Operation& operation, BytesView data) override;
  Status wait(SequenceNumber sequence, Acknowledged level) override;
  Status permit() override;

 private:
  enum class Mode { Waiting, Alone, Mirroring };
  /// By what it is Alone.
  enum class Leave {
    Lease,
    Word,  ///< of the control plane: the peer cannot take over, or a person has said that it is not there
    Peer,  ///< its copy cannot be promoted; it has said so on the stream
  };
  struct Link {
    std::unique_ptr<Stream> stream{};
    std::uint64_t number{0};
    std::uint64_t base{0};  ///< sequence numbers of this connection are counted from here
    wire::FrameReader frames{};    ///< of whoever reads
    bool is_read{false};           ///< by a thread, at this moment
    MonoTime read_by_call{};       ///< when a call that waits last read for itself
    std::optional<Error> ended{};  ///< what a call found
    bool reads_packed{false};      ///< the peer does
    bool promises{false};          ///< it can
    bool confirms{false};          ///< it says what it has received before it has applied it
    std::uint64_t asked{0};        ///< to confirm all up to here
  };
  struct Known {
    HandleKey key{};
    std::uint64_t link{0};  ///< the connection on which the peer knows the id
  };
  using Lock = std::unique_lock<std::mutex>;

  // ResyncHost
  Result<SequenceNumber> put(const wire::Message& message, BytesView data) override;
  Status make_known(InodeId id) override;
  void note_known(InodeId id, const HandleKey& key) override;
  Result<HandleKey> key_of_forgotten(InodeId id) override;
  Status wait_for_room() override;
  SyncsFirst& syncs_first() override { return syncs_first_; }

  // Appending (primary.cpp); the caller holds mutex_.
  void tell_copied(InodeId id, std::uint64_t bytes);
  void note_copied(const wire::Message& message, std::uint64_t bytes);
  bool know(Lock& lock, InodeId id, bool names_held);
  Result<const HandleKey*> find_key(InodeId id);
  const HandleKey* key_of(InodeId id);
  void push(const wire::Message& message, BytesView data, const Touch& touch,
            Window::Source source = Window::Source::Application);
  void pushed(std::size_t bytes, const Touch& touch, Window::Source source);
  Result<Bytes> packed(Lock& lock, const wire::Message& message, BytesView data);
  void look_at_line(bool has_waited);
  void mark(const Touch& touch);
  void wait_while_full(Lock& lock);
  void forget(InodeId id);
  void note_names(const wire::Operation& operation);
  void kick_sender();
  void flush(Lock& lock, int rounds_max);
  [[nodiscard]] bool is_released(std::uint64_t sequence, Acknowledged level);
  [[nodiscard]] bool is_returning() const;
  void ask_for_receipt(std::uint64_t sequence);
  void read_for_itself(Lock& lock);
  void have_it_read();

  // Being with and without the peer (primary_peer.cpp, primary_meeting.cpp); the caller holds mutex_ where a Lock or nothing is taken.
  void go_alone(Leave by);
  void remember_alone(bool alone);
  void lose(std::uint64_t link, const std::string& reason);
  void check_times();
  void drop_old_permission();
  void send_heartbeats();
  void look_for_peer();
  bool mark_outside();
  Status serve(std::unique_ptr<Stream> stream);
  Status greet(Stream& stream, wire::FrameReader& frames, resync::Decision& decision);
  Status meet(const wire::Hello& hello, const std::vector<wire::ActiveEntry>& active, resync::Decision& decision);
  void take_outside(const wire::Hello& hello, const std::vector<wire::ActiveEntry>& active, resync::Meeting& meeting);
  wire::ResyncMode install(std::unique_ptr<Stream> stream, wire::FrameReader&& frames, const resync::Decision& decision);
  Status receive(const std::shared_ptr<Link>& link);
  Status read_once(Lock& lock, Link& link, Duration timeout);
  Status take(Lock& lock, Link& link, wire::Message&& message);
  template <class Answer>
  Status tell_run(Lock& lock, Answer&& answer);
  void synchronise(std::shared_ptr<Link> link, wire::ResyncMode mode);
  Status synchronise_once(const std::shared_ptr<Link>& link, wire::ResyncMode mode);
  void end_run(const ResyncRun& run, const Status& done, Duration took);
  Result<std::vector<InodeId>> end_synchronisation(const std::shared_ptr<Link>& link);
  void put_end();
  Status take_acknowledged(std::uint64_t upto);
  Status take_end_answer(wire::ResyncEndAnswer&& answer);
  Status synchronised();
  Status await_durable(Lock& lock, const Link& link, std::uint64_t sequence, Duration timeout);
  bool detach();
  [[nodiscard]] bool sync_roots();
  /// What differs is known from the marks alone.
  [[nodiscard]] bool needs_marks(wire::ResyncMode mode) const {
    return mode == wire::ResyncMode::Zones || (mode == wire::ResyncMode::Chosen && since_ == 0);
  }
  // The right to acknowledge (primary_right.cpp). The caller holds mutex_, or asks only for what is there.
  [[nodiscard]] bool has_right() const;
  [[nodiscard]] bool is_barred() const;
  [[nodiscard]] MonoTime right() const;
  void settle_right();
  void look_at_right();
  void ask_if_due(MonoTime now);
  [[nodiscard]] Duration rests(MonoTime now) const;
  // What is to be noted (primary_journal.cpp). The caller holds mutex_, not of base_log.
  void note_alone();
  void fence(const Error& error);
  void mend_journal(Lock& lock);
  void mend_activity(Lock& lock, MonoTime now);
  void base_log();
  // Checkpoints (primary_checkpoint.cpp).
  void keep_checkpoints();
  [[nodiscard]] bool checkpoint_due(MonoTime now);
  Status checkpoint();
  void set_problem(const std::string& problem);
  // Looking at the copies (primary_inspect.cpp).
  class VerifyLink;
  Status begin_inspection(const InspectionOrder& order);
  void begin_due_verification(Lock& lock);
  void look(const InspectionOrder& order);
  void conclude(resync::AfterVerification next, const journal::ZoneMap& differing);
  [[nodiscard]] journal::ZoneMap marks_for(const Inspection& found);
  Result<Inspection> verify(const InspectionOrder& order);
  Result<Inspection> estimate(const InspectionOrder& order);
  void join_inspection();

  Settings settings_{};
  journal::Journal& journal_;
  TreeOrder& order_;
  StreamSource& source_;
  const Clock& clock_;
  Random& random_;
  Log& log_;
  std::function<void()> changed_{};
  Inodes* inodes_{nullptr};
  std::unique_ptr<ActivityTracker> activity_{};
  std::uint64_t log_based_{0};  ///< the log before the begin of which all of this disk was on it

  std::shared_ptr<OutsideChanges> outside_{};
  std::stop_source stop_waiting_{};

  mutable std::mutex mutex_{};
  std::condition_variable waiters_{};   ///< acknowledged, released, room, lost
  std::condition_variable sender_{};
  std::condition_variable receiver_{};  ///< the stream's own reader, while calls read for themselves
  bool stopped_{false};
  Mode mode_{Mode::Waiting};
  bool synchronised_{false};      ///< the peer has confirmed the end of the synchronisation on this connection
  bool alone_allowed_{false};
  bool allowed_by_lease_{false};
  Leave alone_by_{Leave::Lease};
  bool leaving_{false};
  Continuity continuity_{};
  std::int64_t granted_at_{0};    ///< when that was allowed last
  std::uint64_t pairing_{0};      ///< changes with each ResyncEnd
  bool alone_noted_{false};       ///< the journal has a generation for what is written without the peer now
  bool unconfirmed_{false};       ///< something was changed while Waiting
  /// The journal cannot be written: nothing is changed or promised until it can. Written with mutex_ held.
  std::atomic<bool> fenced_{false};
  std::string fenced_why_{};
  bool generation_due_{false};  ///< it is to have one for what was written without the peer
  MonoTime waiting_since_{};
  std::uint64_t sequence_{0};     ///< of the last operation
  std::uint64_t written_{0};      ///< see PrimaryStatus
  std::uint64_t acknowledged_{0};
  std::uint64_t received_{0};     ///< by the peer's process
  std::uint64_t released_{0};     ///< up to here nobody waits
  std::set<std::uint64_t> durable_{};
  SyncTimes syncs_{};             ///< calls wait for these
  Window window_{};
  journal::ZoneMap marks_{};
  bool marks_complete_{false};
  bool outside_unknown_{false};  ///< what others changed in this copy
  bool outside_marked_{false};   ///< it is in marks_ and nowhere else
  std::unordered_map<std::uint64_t, Known> known_{};
  std::shared_ptr<Link> link_{};
  std::uint64_t links_{0};
  Bytes out_{};
  Bytes batch_{};  ///< is being sent, by who set sending_; else empty
  bool sending_{false};
  bool sender_parked_{false};
  std::uint64_t waiting_calls_{0};
  std::optional<wire::ResyncEndAnswer> end_answer_{};
  std::uint64_t end_sequence_{0};
  std::shared_ptr<ResyncRun> run_{};
  RateLimit resync_rate_{};
  resync::PackingChoice packing_{};
  std::uint64_t resync_sent_{0};    ///< bytes, as they are on the line
  std::uint64_t resync_saved_{0};   ///< by packing, on this connection
  std::unordered_map<std::uint64_t, std::uint64_t> copied_{};  ///< bytes by id, of files under way, with resync_detail
  std::unordered_map<std::uint64_t, HandleKey> forgotten_{};  ///< while it runs: the peer may name them as leftovers
  std::optional<MonoTime> give_back_at_{};  ///< the memory that a synchronisation needed
  std::int64_t since_{0};  ///< resync::Decision::since of this connection
  bool diverged_{false};
  Progress progress_{};
  std::string problem_{};
  std::uint64_t copied_per_second_{0};  ///< by the last synchronisation that copied something; 0: none did
  std::shared_ptr<VerifyRun> verify_{};
  Inspection inspection_{};
  bool verify_after_{settings_.verify_after_resync};    ///< a synchronisation is followed by a verification
  bool verify_due_{false};      ///< the peer is told to wait for one
  bool verify_wanted_{false};   ///< it can begin
  bool compared_again_{false};  ///< the one before it found differences
  std::uint64_t verified_on_{0};  ///< connection of the last one
  std::string stop_inspection_{};  ///< why it is to end; empty: it goes on
  unsigned peer_failures_{0};  ///< synchronisations in a row that the peer could not take
  Patience patience_{};
  bool silent_{false};  ///< nothing heard for Patience::late
  std::atomic<std::int64_t> heard_{0};
  SyncsFirst syncs_first_{clock_};
  std::atomic<std::int64_t> sent_{0};

  // The right to acknowledge:
  std::atomic<std::int64_t> right_until_{kNoEnd.ns};  ///< written with mutex_ held
  bool right_needed_{false};
  PeerRight peer_right_{};
  MonoTime asked_at_{};
  MonoTime lease_until_{};
  bool lease_refused_{false};
  bool frozen_{false};  ///< as it was told last
  std::uint32_t peer_protocol_{0};  ///< of its Hello
  unsigned held_calls_{0};
  std::condition_variable permitted_{};
  std::function<void(MonoTime)> tell_right_{};

  // Checkpoints:
  std::condition_variable checkpointer_{};
  bool checkpoint_wanted_{false};  ///< a synchronisation has ended
  MonoTime checkpoint_at_{};       ///< the last one was begun
  MonoTime mended_at_{};           ///< a new log was tried last, for one that was given up
  std::string log_problem_{};      ///< why there was none
  bool log_fresh_{false};          ///< it is of no use before a checkpoint
  std::uint64_t looked_at_{0};     ///< sequence_ when it was looked for idleness
  MonoTime idle_since_{};

  std::mutex inspect_mutex_{};  ///< of inspector_; before mutex_
  std::thread inspector_{};
  std::thread checkpoint_thread_{};
  std::thread sender_thread_{};
  std::thread connector_{};
  std::thread synchroniser_{};
};

}  // namespace safekit::replica
