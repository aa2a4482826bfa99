// The hot path: what FUSE threads call.
#include "datapath/replica/primary.h"

#include <sys/stat.h>

#include "datapath/linux/memory.h"
#include "datapath/replica/touch.h"
#include "datapath/wire/packing.h"

namespace safekit::replica {

namespace {

constexpr std::size_t kSendBytes = 128U << 10;       ///< so much is sent at once without waiting for more
constexpr Duration kGatherFor = milliseconds{1};     ///< what nobody waits for is held back so long
constexpr int kQuietRounds = 20;                     ///< of kGatherFor, before the sender sleeps until it is woken
constexpr std::uint64_t kBulkBytesMax = 4U << 20;    ///< of a resynchronisation, unacknowledged
constexpr std::size_t kForgottenMax = 2'000'000;     ///< about 200 MB
constexpr int kInlineRoundsMax = 4;                  ///< a caller sends for others at most so often
constexpr Duration kReturnMax = seconds{1};  ///< for a process that has taken over to connect to the peer
constexpr Duration kCallReadsFor = milliseconds{100};  ///< then it looks whether it is still to wait
constexpr const char* kFenced = "this node may not acknowledge writes: its journal cannot be written";

}  // namespace

Primary::Primary(Settings settings, journal::Journal& journal, TreeOrder& order, StreamSource& source, const Clock& clock,
                 Random& random, Log& log, std::function<void()> changed)
    : settings_(std::move(settings)), journal_(journal), order_(order), source_(source), clock_(clock), random_(random),
      log_(log), changed_(std::move(changed)), pairing_(random_.u64() >> 1 | 1), marks_(settings_.zone_bytes) {}

void Primary::prepare(Inodes& inodes, std::optional<journal::ZoneMap> marks, std::unique_ptr<ActivityTracker> activity,
                      Continuity continuity) {
  const std::lock_guard lock{mutex_};
  continuity_ = std::move(continuity);
  inodes_ = &inodes;
  activity_ = std::move(activity);
  waiting_since_ = clock_.mono_now();
  marks_complete_ = marks.has_value() && !marks->overflown() && marks->zone_bytes() == settings_.zone_bytes;
  if (marks_complete_) {
    marks_ = std::move(*marks);
  } else if (activity_ == nullptr) {
    marks_.set_overflown();
  }
  if (continuity_.taken_over) {
    sequence_ = kBeforeTakeOver.value;
    unconfirmed_ = continuity_.unconfirmed;
    if (continuity_.was_alone) go_alone(Leave::Lease);  // until it is told what by
  }
  remember_alone(mode_ == Mode::Alone);
}

Result<std::uint32_t> Primary::begin_change(std::span<const Change> changes) {
  if (fenced_) return Error{Code::Fenced, kFenced};
  std::uint32_t ticket = 0;
  if (activity_ == nullptr) return ticket;
  if (const Status noted = activity_->begin(*inodes_, changes, ticket); !noted) {
    activity_->end(ticket);
    const std::lock_guard lock{mutex_};
    fence(noted.error());
    return noted.error();
  }
  return ticket;
}

void Primary::end_change(std::uint32_t ticket) {
  if (activity_ != nullptr) activity_->end(ticket);
}

void Primary::doubt(const Change& change) {
  const std::lock_guard lock{mutex_};
  const bool is_range = change.what == Change::What::Content;
  mark({.what = is_range ? Touch::kContent : Touch::kWhole, .id = change.id, .offset = change.offset, .size = change.size});
  if (mode_ == Mode::Alone) note_alone();
  if (mode_ == Mode::Waiting) unconfirmed_ = true;
  if (link_) lose(link_->number, "a change that failed may have been made in part: it is compared");
}

SequenceNumber Primary::append(const wire::Operation& operation, BytesView data) {
  Lock lock{mutex_};
  if (const auto* gone = std::get_if<wire::Forget>(&operation)) {
    forget(gone->id);
    return SequenceNumber{sequence_};
  }
  const bool is_sync = std::holds_alternative<wire::Sync>(operation);
  if (is_sync) syncs_first_.begun();
  if (is_sync && !settings_.sync_durable) return SequenceNumber{sequence_};
  if (link_ && window_.is_full(run_ != nullptr)) wait_while_full(lock);
  const bool names_held = changes_names(operation);
  for (std::uint64_t link = 0; link_ && link != link_->number;) {
    link = link_->number;
    for (const InodeId id : needed_ids(operation)) {
      // Nothing but an inode without a name cannot be made known: it is not replicated.
      if (id.value != 0 && link_ && !know(lock, id, names_held)) return SequenceNumber{0};
    }
  }
  const Touch touch = touch_of(operation);
  if (link_) written_ += data.size();
  if (const auto* create = std::get_if<wire::Create>(&operation)) {
    wire::Create named = *create;
    if (const HandleKey* key = key_of(create->id)) {
      named.identity = identity_of(*key);
      if (link_) known_[create->id.value].link = link_->number;
    }
    push(wire::Operation{std::move(named)}, data, touch);
    if (activity_ != nullptr) {
      activity_->created(create->id, create->parent, create->name, S_ISDIR(create->attributes.mode));
    }
  } else {
    push(wire::Operation{operation}, data, touch);
  }
  if ((run_ != nullptr || verify_ != nullptr) && names_held) note_names(operation);
  if (mode_ == Mode::Alone && !is_sync) note_alone();
  if (mode_ == Mode::Waiting) unconfirmed_ = unconfirmed_ || !is_sync;
  const SequenceNumber sequence{sequence_};
  if (is_sync && mode_ != Mode::Alone) syncs_.sent(sequence_, clock_.mono_now());
  // The caller syncs its own disk next and waits then: the peer is to sync meanwhile.
  if (is_sync) flush(lock, kInlineRoundsMax);
  return sequence;
}

void Primary::send() {
  Lock lock{mutex_};
  flush(lock, kInlineRoundsMax);
}

bool Primary::know(Lock& lock, InodeId id, bool names_held) {
  const auto is_known = [&] {
    const auto found = known_.find(id.value);
    return found != known_.end() && found->second.link == link_->number;
  };
  if (is_known()) return true;
  // names comes before mutex_; while it is held no rename can get between the path and the Bind in the stream.
  std::shared_lock<std::shared_mutex> names{};
  if (!names_held) {
    lock.unlock();
    names = order_.names_shared();
    lock.lock();
    if (!link_ || is_known()) return true;
  }
  auto path = inodes_->path_of(id);
  const auto key = path ? find_key(id) : Result<const HandleKey*>{path.error()};
  if (!key && key.error().code == Code::NotFound) return false;
  if (!key) {
    // It may well have a name: the peer would miss the change, so all is compared with the next connection.
    marks_.set_overflown();
    lose(link_->number, "an inode could not be named");
    return true;
  }
  known_[id.value].link = link_->number;
  push(wire::Operation{wire::Bind{id, std::move(*path), identity_of(**key)}}, {}, {});
  return true;
}

Result<const HandleKey*> Primary::find_key(InodeId id) {
  const auto found = known_.find(id.value);
  if (found != known_.end()) return &found->second.key;
  const auto handle = inodes_->handle_of(id);
  if (!handle) return handle.error();
  return &known_.emplace(id.value, Known{to_key(*handle), 0}).first->second.key;
}

const HandleKey* Primary::key_of(InodeId id) {
  const auto key = find_key(id);
  if (key) return *key;
  if (key.error().code != Code::NotFound) marks_.set_overflown();  // what is not noted must be compared
  return nullptr;
}

void Primary::push(const wire::Message& message, BytesView data, const Touch& touch, Window::Source source) {
  ++sequence_;
  if (link_) {
    const std::size_t before = out_.size();
    wire::append_message(out_, message, data);
    pushed(out_.size() - before, touch, source);
  }
  if (!synchronised_) mark(touch);
}

/// So many bytes are new in out_.
void Primary::pushed(std::size_t bytes, const Touch& touch, Window::Source source) {
  window_.push(touch, static_cast<std::uint32_t>(bytes), clock_.mono_now(), source);
  if (source == Window::Source::Resync) resync_sent_ += bytes;
  if (out_.size() >= kSendBytes || sender_parked_) kick_sender();
}

void Primary::kick_sender() {
  if (sending_) return;
  if (!sender_parked_ && out_.size() < kSendBytes) return;
  sender_parked_ = false;
  sender_.notify_one();
}

void Primary::mark(const Touch& touch) {
  if (touch.what == Touch::kNothing || touch.what == Touch::kForget || marks_.overflown()) return;
  const auto inode = [&](InodeId id) -> journal::InodeMarks* {
    const HandleKey* key = id.value != 0 ? key_of(id) : nullptr;
    return key != nullptr ? &marks_.inode(*key) : nullptr;
  };
  if ((touch.what & Touch::kEntries) != 0) {
    for (const InodeId directory : {touch.parent, touch.new_parent}) {
      if (auto* marks = inode(directory)) {
        marks->entries = true;
        if ((touch.what & Touch::kBothWhole) != 0) marks->whole = true;
      }
    }
  }
  if ((touch.what & Touch::kWhole) != 0) {
    if (auto* marks = inode(touch.id)) marks->whole = true;
  }
  if ((touch.what & Touch::kAttributes) != 0) {
    if (auto* marks = inode(touch.id)) marks->attributes = true;
  }
  if ((touch.what & Touch::kContent) != 0 && touch.size > 0) {
    if (const HandleKey* key = key_of(touch.id)) marks_.mark(*key, touch.offset, touch.size);
  }
}

void Primary::forget(InodeId id) {
  if (activity_ != nullptr) activity_->forget(id);
  const auto found = known_.find(id.value);
  if (found == known_.end()) return;
  if (run_ != nullptr && forgotten_.size() < kForgottenMax) forgotten_[id.value] = found->second.key;
  if (link_ && found->second.link == link_->number) {
    // Its key is needed until the peer has all that names the id; an inode that has left what is replicated may come again.
    found->second.link = 0;
    push(wire::Operation{wire::Forget{id}}, {}, {.what = Touch::kForget, .id = id});
  } else {
    known_.erase(found);
  }
}

/// A name that came from elsewhere, for a resynchronisation or verification that is listing directories.
void Primary::note_names(const wire::Operation& operation) {
  const auto note = [&](InodeId parent, const std::string& name) {
    const HandleKey* key = key_of(parent);
    if (key != nullptr && run_ != nullptr) run_->names_changed(*key, name);
    if (key != nullptr && verify_ != nullptr) verify_->names_changed(*key, name);
  };
  if (const auto* link = std::get_if<wire::Link>(&operation)) note(link->parent, link->name);
  if (const auto* rename = std::get_if<wire::Rename>(&operation)) {
    note(rename->new_parent, rename->new_name);
    note(rename->parent, rename->name);  // of an exchange; else it is found to be gone
  }
}

void Primary::wait_while_full(Lock& lock) {
  flush(lock, kInlineRoundsMax);
  const auto room = [this] { return !link_ || !window_.is_full(run_ != nullptr) || stopped_; };
  const std::uint64_t number = link_ ? link_->number : 0;
  have_it_read();
  ++waiting_calls_;
  if (!waiters_.wait_for(lock, settings_.send_timeout, room) && link_ && link_->number == number) {
    lose(number, "the peer takes no data");
  }
  --waiting_calls_;
}

bool Primary::is_released(std::uint64_t sequence, Acknowledged level) {
  if (fenced_ || mode_ == Mode::Alone || sequence <= released_) return true;
  if (level == Acknowledged::Durable && settings_.sync_durable) return durable_.erase(sequence) > 0;
  // What it has received only, it may still lose as long as it is not up to date.
  return acknowledged_ >= sequence || (synchronised_ && received_ >= sequence);
}

Status Primary::wait(SequenceNumber sequence, Acknowledged level) {
  syncs_first_.ended();
  Lock lock{mutex_};
  bool released = is_released(sequence.value, level);
  if (!released) {
    if (level == Acknowledged::Received || !settings_.sync_durable) ask_for_receipt(sequence.value);
    flush(lock, kInlineRoundsMax);
    ++waiting_calls_;
    if (mode_ == Mode::Waiting && waiting_calls_ == 1) {
      lock.unlock();
      changed_();  // somebody waits for the leave to go on alone
      lock.lock();
    }
    for (;;) {
      released = is_released(sequence.value, level);
      if (released || (mode_ == Mode::Waiting && is_barred())) break;
      read_for_itself(lock);
    }
    --waiting_calls_;
    // Whoever waits still may have to read now.
    if (waiting_calls_ > 0) waiters_.notify_all();
  }
  if (fenced_) return Error{Code::Fenced, kFenced};
  if (!released && !leaving_) return Error{Code::Fenced, "the peer was lost, and this node may not go on without it"};
  if (!released) return Error{Code::Fenced, "the peer was lost while this node leaves the primary role"};
  return {};
}

/// The peer is not to apply first what it need only have.
void Primary::ask_for_receipt(std::uint64_t sequence) {
  if (!link_ || !link_->confirms || !synchronised_ || link_->asked >= sequence) return;
  link_->asked = sequence_;
  wire::append_message(out_, wire::Confirm{});
}

/// The answer wakes the call that waits for it, not first a thread that then wakes the call. One reads for all; the stream's
/// own reader stays away while calls come one after the other (`receive`).
void Primary::read_for_itself(Lock& lock) {
  const std::shared_ptr<Link> link = link_;
  const bool may_read = link && synchronised_ && mode_ == Mode::Mirroring;
  if (may_read) link->read_by_call = clock_.mono_now();
  if (!may_read || link->is_read) {
    waiters_.wait(lock);
    return;
  }
  if (const Status done = read_once(lock, *link, kCallReadsFor); !done) {
    link->ended = done.error();
    lose(link->number, done.error().what);
    receiver_.notify_one();
  }
}

/// By the stream's own reader, at once: the caller is going to wait and does not read.
void Primary::have_it_read() {
  if (!link_) return;
  link_->read_by_call = {};
  receiver_.notify_one();
}

/// Sends what is queued, on the caller's thread, unless another does so already.
void Primary::flush(Lock& lock, int rounds_max) {
  if (sending_) return;
  sending_ = true;
  for (int round = 0; link_ && !out_.empty(); ++round) {
    if (round == rounds_max) {
      sender_parked_ = false;
      sender_.notify_one();
      break;
    }
    const std::shared_ptr<Link> link = link_;
    std::swap(out_, batch_);
    lock.unlock();
    const Status sent = link->stream->write(batch_, settings_.send_timeout);
    lock.lock();
    batch_.clear();  // keeps its capacity
    sent_ = clock_.mono_now().ns;
    if (!sent) lose(link->number, sent.error().what);
  }
  sending_ = false;
}

void Primary::send_heartbeats() {
  Lock lock{mutex_};
  int quiet = 0;
  while (!stopped_ || link_) {
    const bool parked = quiet > kQuietRounds || !link_;
    sender_parked_ = parked;
    // While another thread sends, there is nothing to do, and it must get the mutex back: never go round without a wait.
    sender_.wait_for(lock, parked ? rests(clock_.mono_now()) : kGatherFor, [&] {
      return (parked && !sender_parked_) || (out_.size() >= kSendBytes && !sending_) || (stopped_ && !link_);
    });
    sender_parked_ = false;
    quiet = out_.empty() ? quiet + 1 : 0;
    ask_if_due(clock_.mono_now());
    if (link_ && out_.empty() && clock_.mono_now().ns - sent_ >= patience_.every().count()) {
      wire::append_message(out_, wire::Heartbeat{});
    }
    flush(lock, INT32_MAX);
    check_times();
    begin_due_verification(lock);
    if (give_back_at_ && clock_.mono_now() >= *give_back_at_) {
      give_back_at_.reset();
      lock.unlock();
      linux_os::give_back_memory();
      lock.lock();
    }
  }
}

Result<SequenceNumber> Primary::put(const wire::Message& message, BytesView data) {
  Lock lock{mutex_};
  if (!link_ || stopped_) return Error{Code::Unavailable, "the connection was lost"};
  SK_TRY(const Bytes frame, packed(lock, message, data));
  if (frame.empty()) {
    push(message, data, {}, Window::Source::Resync);
  } else {
    ++sequence_;
    out_.insert(out_.end(), frame.begin(), frame.end());
    pushed(frame.size(), {}, Window::Source::Resync);
  }
  resync_rate_.spend(data.size(), clock_.mono_now());
  const SequenceNumber sequence{sequence_ - link_->base};
  lock.unlock();
  if (settings_.resync_detail) note_copied(message, data.size());
  return sequence;
}

/// The frame, packed, or nothing when it is to be sent as it is. The mutex is not held for the work; what orders it is the caller's
/// lock on the content.
Result<Bytes> Primary::packed(Lock& lock, const wire::Message& message, BytesView data) {
  Bytes frame;
  if (data.size() < wire::kPackBytesMin || !link_->reads_packed || !packing_.wants(clock_.mono_now())) return frame;
  const std::uint64_t number = link_->number;
  lock.unlock();
  const MonoTime began = clock_.mono_now();
  Bytes plain;
  wire::append_message(plain, message, data);
  const bool saves = wire::append_packed(frame, plain);
  const MonoTime now = clock_.mono_now();
  lock.lock();
  if (!link_ || link_->number != number || stopped_) return Error{Code::Unavailable, "the connection was lost"};
  packing_.packed(plain.size(), saves ? frame.size() : plain.size(), now - began, now);
  if (saves) resync_saved_ += plain.size() - frame.size();
  return frame;
}

/// When a wait for the peer begins, and when it has ended. Caller holds mutex_.
void Primary::look_at_line(bool has_waited) {
  const MonoTime now = clock_.mono_now();
  if (!packing_.is_due(now)) return;
  const Stream::Line line = link_->stream->line();
  packing_.look({.now = now,
                 .unacknowledged = window_.resync_bytes(),
                 .unconfirmed = line.unconfirmed,
                 .held_back = line.held_back,
                 .connections = line.connections,
                 .sent = resync_sent_,
                 .has_waited = has_waited});
}

Status Primary::make_known(InodeId id) {
  Lock lock{mutex_};
  if (!link_ || stopped_) return Error{Code::Unavailable, "the connection was lost"};
  if (!know(lock, id, true)) return Error{Code::NotFound, "the inode has no name"};
  return {};
}

void Primary::note_known(InodeId id, const HandleKey& key) {
  const std::lock_guard lock{mutex_};
  if (link_) known_[id.value] = Known{key, link_->number};
}

Result<HandleKey> Primary::key_of_forgotten(InodeId id) {
  const std::lock_guard lock{mutex_};
  const auto found = forgotten_.find(id.value);
  if (found != forgotten_.end()) return found->second;
  if (forgotten_.size() < kForgottenMax) return Error{Code::NotFound, "never forgotten"};
  return Error{Code::Exhausted, "too many files to know what became of one that the peer could not change"};
}

void Primary::limit_resync(std::uint64_t bytes_per_second) {
  const std::lock_guard lock{mutex_};
  resync_rate_.set(bytes_per_second);
  waiters_.notify_all();
}

Status Primary::wait_for_room() {
  Lock lock{mutex_};
  const std::uint64_t number = link_ ? link_->number : 0;
  ++waiting_calls_;
  const auto gone = [&] { return stopped_ || !link_ || link_->number != number; };
  const auto has_room = [&] { return gone() || window_.resync_bytes() < kBulkBytesMax; };
  if (!has_room()) {
    look_at_line(false);
    waiters_.wait(lock, has_room);
    if (!gone()) look_at_line(true);
  }
  while (!gone()) {
    const Duration owed = resync_rate_.owed(clock_.mono_now());
    if (owed == Duration{0}) break;
    waiters_.wait_for(lock, owed);
  }
  --waiting_calls_;
  if (!link_ || link_->number != number || stopped_) return Error{Code::Unavailable, "the connection was lost"};
  return {};
}

/// The peer has not been lost and is not to be asked anything: it is about to be connected to this process, which has taken over.
bool Primary::is_returning() const {
  return continuity_.taken_over && links_ == 0 && mode_ == Mode::Waiting && clock_.mono_now() - waiting_since_ < kReturnMax;
}

PrimaryStatus Primary::status() const {
  const std::lock_guard lock{mutex_};
  PrimaryStatus status{.connected = (link_ != nullptr && !silent_) || is_returning(),
                       .peer_synchronised = synchronised_,
                       .waiting_for_alone = mode_ == Mode::Waiting && !link_ && !is_returning(),
                       .diverged = diverged_,
                       .fenced = fenced_,
                       .frozen = !has_right() && !stopped_,
                       .progress = run_ != nullptr ? run_->progress() : progress_,
                       .written = written_,
                       .zones_dirty = marks_.zone_count(),
                       .pairing = pairing_,
                       .problem = fenced_ ? fenced_why_ : problem_};
  if (status.problem.empty() && right_needed_ && link_ && !link_->promises) {
    status.problem = fmt::format("node '{}' is of a release that promises nothing to a primary: until it is upgraded, no lease "
                                 "keeps it from going on while this node does", settings_.peer);
  }
  status.progress.phase = synchronised_     ? Progress::Phase::Done
                          : run_ != nullptr ? Progress::Phase::Copying
                          : link_           ? Progress::Phase::Comparing
                                            : Progress::Phase::Connecting;
  return status;
}

}  // namespace safekit::replica
