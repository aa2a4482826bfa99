// Being with and without the peer: connection, resynchronisation, loss, orderly end.
#include "datapath/replica/primary.h"

#include <fcntl.h>
#include <unistd.h>

namespace safekit::replica {

namespace {

constexpr std::size_t kReadBytes = 64U << 10;
constexpr Duration kConnectMax = seconds{2};
constexpr Duration kDetachMax = seconds{10};
constexpr int kSilences = 3;  ///< of Patience, of a peer that is not waited for at the end
constexpr int kLeftoverRoundsMax = 20;
constexpr Duration kEndMax = seconds{600};  ///< a file system may take long to write all that was copied
constexpr std::size_t kDurableMax = 1U << 16;        ///< answers kept for calls that have not asked yet
constexpr std::uint64_t kRateBytesMin = 1U << 20;    ///< copied; less says nothing of how fast it goes
constexpr Duration kLookEvery = milliseconds{20};    ///< at the stream, while calls read for themselves
constexpr const char* kLog = "primary";

}  // namespace

Primary::~Primary() {
  (void)stop();  // idempotent; the owner has seen its error if it asked
}

void Primary::start() {
  sender_thread_ = std::thread{[this] { send_heartbeats(); }};
  if (activity_ != nullptr) checkpoint_thread_ = std::thread{[this] { keep_checkpoints(); }};
  connector_ = std::thread{[this] { look_for_peer(); }};
}

void Primary::allow_alone(bool allowed, std::uint64_t pairing, bool by_lease) {
  const std::lock_guard lock{mutex_};
  leaving_ = false;
  alone_allowed_ = allowed && (pairing == 0 || pairing == pairing_);
  if (!alone_allowed_) return;
  allowed_by_lease_ = by_lease;
  granted_at_ = clock_.mono_now().ns;
  // A stream that still lives contradicts the control plane; a silent one does not.
  if (link_ && clock_.mono_now().ns - heard_ > patience_.late().count()) lose(link_->number, "the peer is dead");
  if (mode_ == Mode::Waiting) go_alone(by_lease ? Leave::Lease : Leave::Word);
  // What the peer has said itself stands until it may have become up to date again.
  if (mode_ == Mode::Alone && alone_by_ != Leave::Peer) alone_by_ = by_lease ? Leave::Lease : Leave::Word;
  settle_right();
}

void Primary::leave() {
  const std::lock_guard lock{mutex_};
  leaving_ = true;
  alone_allowed_ = false;
  if (verify_ != nullptr) verify_->abort("this node leaves the primary role");
  waiters_.notify_all();
  permitted_.notify_all();
}

void Primary::go_alone(Leave by) {
  if (mode_ == Mode::Alone) {
    alone_by_ = std::max(alone_by_, by);
    return settle_right();
  }
  mode_ = Mode::Alone;
  alone_by_ = by;
  if (unconfirmed_) note_alone();
  unconfirmed_ = false;
  released_ = sequence_;
  durable_.clear();
  syncs_.released(released_);
  remember_alone(true);
  settle_right();
  log_.write(LogLevel::Info, kLog, "peer=without");
  waiters_.notify_all();
  changed_();
}

void Primary::remember_alone(bool alone) {
  if (continuity_.note_alone) continuity_.note_alone(alone);
}

/// A permission is for the loss that the control plane saw: what the peer said since belongs to another one.
void Primary::drop_old_permission() {
  if (mode_ == Mode::Mirroring && heard_ > granted_at_) alone_allowed_ = false;
}

void Primary::lose(std::uint64_t number, const std::string& reason) {
  if (!link_ || link_->number != number) return;
  drop_old_permission();
  log_.write(LogLevel::Warning, kLog, fmt::format("connection=lost reason='{}'", reason));
  link_->stream->shut();
  link_.reset();
  out_.clear();
  for (const Touch& touch : window_.unacknowledged()) {
    mark(touch);
    if (touch.what == Touch::kForget) {
      known_.erase(touch.id.value);
    } else if (touch.what != Touch::kNothing) {
      unconfirmed_ = true;
    }
  }
  window_.restart({sequence_ + 1});
  synchronised_ = false;
  if (run_ != nullptr) run_->abort();
  if (verify_ != nullptr) verify_->abort(fmt::format("the connection to node '{}' was lost: {}", settings_.peer, reason));
  if (mode_ == Mode::Mirroring) {
    mode_ = Mode::Waiting;
    waiting_since_ = clock_.mono_now();
    if (alone_allowed_) go_alone(allowed_by_lease_ ? Leave::Lease : Leave::Word);
  }
  settle_right();
  waiters_.notify_all();
  sender_.notify_all();
  changed_();
}

/// Caller holds mutex_.
void Primary::check_times() {
  const MonoTime now = clock_.mono_now();
  drop_old_permission();
  if (link_) {
    const Duration silent{now.ns - heard_};
    // The stream counts as a heartbeat for the control plane, so its silence is told long before it is given up.
    if (std::exchange(silent_, silent > patience_.late()) != (silent > patience_.late())) changed_();
    if (silent > settings_.send_timeout || (alone_allowed_ && silent > patience_.late())) {
      lose(link_->number, "the peer is silent");
    } else if (!window_.empty() && now - window_.oldest() > settings_.lock_timeout) {
      lose(link_->number, "the peer acknowledges nothing");
    } else if (const auto asked = syncs_.oldest_after(link_->base); asked && now - *asked > settings_.lock_timeout) {
      lose(link_->number, "the peer's disk does not answer");
    }
  }
  const bool patient = !alone_allowed_ && (right_needed_ || lease_refused_ || now - waiting_since_ < settings_.send_timeout);
  if (mode_ == Mode::Waiting && !leaving_ && !patient) go_alone(alone_allowed_ && allowed_by_lease_ ? Leave::Lease : Leave::Word);
  look_at_right();
}

/// False when there is nothing to be met any more.
bool Primary::mark_outside() {
  if (outside_ == nullptr) return true;
  const auto found = outside_->await(stop_waiting_.get_token());
  if (found == nullptr) return false;
  const std::lock_guard lock{mutex_};
  outside_unknown_ = !found->unknown.empty();
  for (const auto& [key, inode] : found->changes.inodes) marks_.add(key, inode);
  outside_marked_ = !found->changes.empty();
  if (!found->empty()) return true;
  // Were this lost, it would only be looked for again.
  (void)journal_.update([&](journal::State& state) { state.watched.unsettled = false; });
  return true;
}

void Primary::look_for_peer() {
  if (!mark_outside()) return;
  for (;;) {
    auto stream = source_.next(kConnectMax);
    {
      const std::lock_guard lock{mutex_};
      if (stopped_) return;
    }
    if (stream && activity_ != nullptr) base_log();
    const Status ended = stream ? serve(std::move(*stream)) : Status{stream.error()};
    Lock lock{mutex_};
    if (stopped_) return;
    if (!ended) {
      if (problem_ != ended.error().what && ended.error().code != Code::Unavailable && ended.error().code != Code::Timeout) {
        set_problem(ended.error().what);
      }
      // Twice as long after each synchronisation that the peer could not take (its disk is full): up to 4.8 s.
      waiters_.wait_for(lock, kRetryEvery * (1U << std::min(peer_failures_, 4U)), [this] { return stopped_; });
    }
  }
}

void Primary::set_problem(const std::string& problem) {
  problem_ = problem;
  if (!problem.empty()) log_.write(LogLevel::Warning, kLog, fmt::format("problem='{}'", problem));
  changed_();
}

Status Primary::serve(std::unique_ptr<Stream> stream) {
  wire::FrameReader frames;
  resync::Decision decision;
  SK_TRY_VOID(greet(*stream, frames, decision));
  const wire::ResyncMode mode = install(std::move(stream), std::move(frames), decision);
  std::shared_ptr<Link> link;
  {
    const std::lock_guard lock{mutex_};
    link = link_;
  }
  if (!link) return Error{Code::Unavailable, "the connection was lost"};
  if (mode != wire::ResyncMode::None) {
    synchroniser_ = std::thread{[this, link, mode] { synchronise(link, mode); }};
  }
  const Status ended = receive(link);
  {
    const std::lock_guard lock{mutex_};
    lose(link->number, ended ? "closed" : ended.error().what);
  }
  if (synchroniser_.joinable()) synchroniser_.join();
  return ended;
}

/// Caller holds mutex_.
void Primary::put_end() {
  remember_alone(false);  // before the peer can be promoted
  const journal::State state = journal_.state();
  const journal::LogPoint point = activity_ != nullptr ? activity_->point() : journal::LogPoint{};
  const journal::LogPoint log = point.id == log_based_ ? point : journal::LogPoint{};
  push(wire::ResyncEnd{state.generations.current, state.generations.history, {log.id, log.checkpoint}, verify_due_}, {}, {});
  end_sequence_ = sequence_ - link_->base;
  end_answer_.reset();
  // What was promised without the peer stays promised; the peer cannot be promoted before it has all of it, for it becomes
  // up to date only by this frame. What is still waited for while Waiting is acknowledged by the peer in the normal way.
  if (mode_ == Mode::Alone) released_ = sequence_;
  syncs_.released(released_);
  mode_ = Mode::Mirroring;
  // From here on the peer may come to be up to date: the permission to go on without it is used up, and the next loss
  // needs a new one.
  alone_allowed_ = false;
  ++pairing_;
  alone_noted_ = generation_due_ = false;  // what is written after a loss from here on is of a new generation
  settle_right();  // before the frame is sent
  kick_sender();
}

/// While calls read what they wait for, this only looks in between, for what nobody waits for.
Status Primary::receive(const std::shared_ptr<Link>& link) {
  Lock lock{mutex_};
  for (;;) {
    if (link->ended) return *link->ended;
    if (link_ != link) return Error{Code::Unavailable, "the connection was lost"};
    const bool calls_read = clock_.mono_now() - link->read_by_call < kLookEvery;
    if (calls_read && waiting_calls_ > 0) waiters_.notify_all();  // one of them is to read
    if (link->is_read || calls_read) receiver_.wait_for(lock, kLookEvery);
    if (link->is_read || link->ended || link_ != link) continue;
    SK_TRY_VOID(read_once(lock, *link, calls_read ? Duration{0} : seconds{1}));
  }
}

/// Caller holds mutex_, but not while this waits; nobody else reads.
Status Primary::read_once(Lock& lock, Link& link, Duration timeout) {
  link.is_read = true;
  lock.unlock();
  const auto got = link.stream->read(link.frames.space(kReadBytes), timeout);
  if (got) link.frames.commit(*got);
  if (got && *got > 0) heard_ = clock_.mono_now().ns;
  lock.lock();
  const auto take_all = [&]() -> Status {
    SK_TRY_VOID(got);
    for (;;) {
      SK_TRY(const auto frame, link.frames.next());
      if (!frame) return {};
      BytesView data;
      SK_TRY(auto message, wire::decode(*frame, data));
      SK_TRY_VOID(take(lock, link, std::move(message)));
    }
  };
  const Status taken = take_all();
  link.is_read = false;
  return taken;
}

/// Caller holds mutex_, but not while the answer is worked on, nor while the last share of a run that has ended goes.
template <class Answer>
Status Primary::tell_run(Lock& lock, Answer&& answer) {
  std::shared_ptr<ResyncRun> run = run_;
  lock.unlock();
  Status taken = run != nullptr ? run->answer(std::forward<Answer>(answer)) : Status{};
  run.reset();
  lock.lock();
  return taken;
}

/// Caller holds mutex_.
Status Primary::take(Lock& lock, Link& link, wire::Message&& message) {
  if (std::holds_alternative<wire::Heartbeat>(message)) return {};
  if (!link_ || link_->number != link.number) return Error{Code::Unavailable, "the connection was lost"};
  if (const auto* acknowledge = std::get_if<wire::Acknowledge>(&message)) {
    SK_TRY_VOID(take_acknowledged(link.base + acknowledge->received.value));
  } else if (const auto* receipt = std::get_if<wire::Received>(&message)) {
    const std::uint64_t upto = link.base + receipt->sequence.value;
    if (upto > sequence_) return Error{Code::Corrupt, "the peer has received what was not sent"};
    received_ = std::max(received_, upto);
    if (waiting_calls_ > 0) waiters_.notify_all();
  } else if (const auto* durable = std::get_if<wire::Durable>(&message)) {
    // What is on disk there was applied, and all before it.
    SK_TRY_VOID(take_acknowledged(link.base + durable->sequence.value));
    durable_.insert(link.base + durable->sequence.value);
    syncs_.durable(link.base + durable->sequence.value);
    if (durable_.size() > kDurableMax) durable_.erase(durable_.begin());
    waiters_.notify_all();
  } else if (auto* listing = std::get_if<wire::ListingAnswer>(&message)) {
    return tell_run(lock, std::move(*listing));
  } else if (auto* zones = std::get_if<wire::ZonesWanted>(&message)) {
    return tell_run(lock, std::move(*zones));
  } else if (auto* looked = std::get_if<wire::VerifyAnswer>(&message)) {
    if (verify_ != nullptr) verify_->answer(std::move(*looked));
  } else if (auto* end = std::get_if<wire::ResyncEndAnswer>(&message)) {
    SK_TRY_VOID(take_end_answer(std::move(*end)));
  } else if (const auto* failed = std::get_if<wire::Failed>(&message)) {
    ++peer_failures_;
    set_problem(fmt::format("node '{}': {}", settings_.peer, failed->reason));
    // It has noted on its disk that it is out of date: it cannot be promoted, so nothing is lost by going on.
    lose(link.number, failed->reason);
    if (mode_ != Mode::Mirroring) go_alone(Leave::Peer);
  } else if (const auto* promise = std::get_if<wire::Promise>(&message)) {
    SK_TRY_VOID(peer_right_.take(*promise, clock_.mono_now()));
    settle_right();
  } else {
    return Error{Code::Corrupt, "a frame that a secondary does not send"};
  }
  return {};
}

/// Caller holds mutex_.
Status Primary::take_acknowledged(std::uint64_t upto) {
  std::vector<Touch> freed;
  if (!window_.acknowledge({upto}, freed)) return Error{Code::Corrupt, "the peer acknowledges what was not sent"};
  for (const Touch& touch : freed) known_.erase(touch.id.value);
  acknowledged_ = std::max(acknowledged_, upto);
  if (waiting_calls_ > 0) waiters_.notify_all();
  return {};
}

/// Caller holds mutex_.
Status Primary::take_end_answer(wire::ResyncEndAnswer&& answer) {
  if (answer.sequence.value != end_sequence_) return {};
  if (answer.leftovers.empty()) {
    SK_TRY_VOID(synchronised());
  } else {
    // The peer has not become up to date: without it again, for one more round.
    for (const Touch& touch : window_.unacknowledged()) mark(touch);
    unconfirmed_ = true;
    go_alone(Leave::Peer);
  }
  end_answer_ = std::move(answer);
  waiters_.notify_all();
  changed_();
  return {};
}

/// Caller holds mutex_. An error ends the connection: the next one tries again.
Status Primary::synchronised() {
  const Status noted = journal_.update([&](journal::State& state) {
    journal::end_alone(state.generations);
    state.peer = settings_.peer;
    state.ever_synchronised = true;
    state.full_wanted = false;
    state.backup.clear();
    state.base_log = {};  // the peer's log has ended: what differs from now on is in this one
    resync::settle(state, linux_os::file_moment(), settings_.boot_id);
  });
  if (!noted) {
    set_problem(noted.error().what);
    return noted;
  }
  marks_.clear();
  marks_complete_ = true;
  outside_unknown_ = outside_marked_ = false;
  if (outside_ != nullptr) outside_->settle();
  synchronised_ = checkpoint_wanted_ = true;
  verify_wanted_ = verify_due_;
  checkpointer_.notify_all();
  peer_failures_ = 0;
  alone_noted_ = false;
  diverged_ = false;
  problem_.clear();
  log_.write(LogLevel::Info, kLog, "synchronisation=done");
  return {};
}

void Primary::synchronise(std::shared_ptr<Link> link, wire::ResyncMode mode) {
  const Status done = synchronise_once(link, mode);
  if (done) return;
  const std::lock_guard lock{mutex_};
  if (done.error().code != Code::Unavailable) set_problem(fmt::format("synchronisation: {}", done.error().what));
  lose(link->number, done.error().what);
}

Status Primary::synchronise_once(const std::shared_ptr<Link>& link, wire::ResyncMode mode) {
  ResyncHost& host = *this;
  const auto run = std::make_shared<ResyncRun>(host, *inodes_, order_, settings_, changed_);
  journal::ZoneMap map{settings_.zone_bytes};
  std::int64_t since = 0;
  {
    Lock lock{mutex_};
    // The peer is out of date on its disk from here on.
    SK_TRY_VOID(await_durable(lock, *link, 1, settings_.lock_timeout));
    if (mode_ != Mode::Mirroring) go_alone(Leave::Peer);
    if (needs_marks(mode) && marks_.overflown()) {
      return Error{Code::Conflict, "too much was changed meanwhile; all is compared with the next connection"};
    }
    map = marks_;
    since = since_;
    run_ = run;
  }
  const MonoTime began = clock_.mono_now();
  const auto work = [&]() -> Status {
    const Status sent = mode == wire::ResyncMode::Full     ? run->run_full()
                        : mode == wire::ResyncMode::Chosen ? run->run_chosen(map, since)
                                                           : run->run_zones(map);
    if (!sent && sent.error().code == Code::Conflict && mode == wire::ResyncMode::Zones) {
      const std::lock_guard lock{mutex_};
      marks_.set_overflown();  // the map is not enough
    }
    SK_TRY_VOID(sent);
    for (int round = 0; round < kLeftoverRoundsMax; ++round) {
      SK_TRY(const auto leftovers, end_synchronisation(link));
      if (leftovers.empty()) return {};
      SK_TRY_VOID(run->run_leftovers(leftovers));
    }
    return Error{Code::Exhausted, "the trees change faster than they can be made equal"};
  };
  Status done = work();
  end_run(*run, done, clock_.mono_now() - began);
  return done;
}

void Primary::end_run(const ResyncRun& run, const Status& done, Duration took) {
  const std::lock_guard lock{mutex_};
  progress_ = run.progress();
  run_.reset();
  const double seconds = std::chrono::duration<double>(took).count();
  if (progress_.bytes_copied >= kRateBytesMin && seconds > 0) {
    copied_per_second_ = static_cast<std::uint64_t>(static_cast<double>(progress_.bytes_copied) / seconds);
  }
  forgotten_ = {};  // with its room
  give_back_at_ = clock_.mono_now() + kGiveBackAfter;
  copied_.clear();
  log_.write(LogLevel::Info, kLog,
             fmt::format("synchronisation={} files={} bytes-compared={} bytes-copied={} bytes-saved={}", done ? "sent" : "ended",
                         progress_.files_done, progress_.bytes_compared, progress_.bytes_copied, resync_saved_));
}

Result<std::vector<InodeId>> Primary::end_synchronisation(const std::shared_ptr<Link>& link) {
  SK_TRY(const SequenceNumber synced, put(wire::SyncAll{}, {}));
  Lock lock{mutex_};
  SK_TRY_VOID(await_durable(lock, *link, synced.value, kEndMax));
  if (!link_ || link_->number != link->number) return Error{Code::Unavailable, "the connection was lost"};
  put_end();
  const bool answered = waiters_.wait_for(lock, kEndMax, [&] {
    return stopped_ || !link_ || link_->number != link->number || end_answer_.has_value();
  });
  if (!link_ || link_->number != link->number || stopped_) return Error{Code::Unavailable, "the connection was lost"};
  if (!answered) return Error{Code::Timeout, "the peer does not end the synchronisation"};
  return std::move(end_answer_->leftovers);
}

Status Primary::await_durable(Lock& lock, const Link& link, std::uint64_t sequence, Duration timeout) {
  sender_parked_ = false;
  sender_.notify_one();
  const std::uint64_t wanted = link.base + sequence;
  have_it_read();
  ++waiting_calls_;
  const bool came = waiters_.wait_for(lock, timeout, [&] {
    return !link_ || link_->number != link.number || durable_.contains(wanted);
  });
  --waiting_calls_;
  if (!link_ || link_->number != link.number) return Error{Code::Unavailable, "the connection was lost"};
  if (!came) return Error{Code::Timeout, "the peer does not answer"};
  durable_.erase(wanted);
  return {};
}

/// The peer confirms that it has all. Caller holds no lock.
bool Primary::detach() {
  Lock lock{mutex_};
  if (!link_ || !synchronised_) return false;
  const Duration silent{clock_.mono_now().ns - heard_};
  if (silent > kSilences * patience_.late()) return false;  // it will not confirm this either
  push(wire::Detach{}, {}, {});
  const std::shared_ptr<Link> link = link_;
  return static_cast<bool>(await_durable(lock, *link, sequence_ - link->base, std::min(kDetachMax, settings_.send_timeout)));
}

Status Primary::stop() {
  join_inspection();
  const bool confirmed = detach();
  {
    const std::lock_guard lock{mutex_};
    if (stopped_ && !connector_.joinable()) return {};
    stopped_ = true;
    if (confirmed) {
      // All is there: what the loss below finds unacknowledged is nothing of the application's.
      window_.restart({sequence_ + 1});
    }
    if (link_) lose(link_->number, "stopped");
    // What is only in the zone map from here on must be seen by the generations, as any write.
    const bool keeps_outside = outside_marked_ && marks_complete_ && !outside_unknown_ && !marks_.overflown();
    if (!confirmed && (unconfirmed_ || keeps_outside)) note_alone();
    mode_ = Mode::Alone;
    released_ = sequence_;
  }
  stop_waiting_.request_stop();
  source_.shut();
  waiters_.notify_all();
  permitted_.notify_all();
  sender_.notify_all();
  checkpointer_.notify_all();
  if (checkpoint_thread_.joinable()) checkpoint_thread_.join();
  if (connector_.joinable()) connector_.join();
  if (sender_thread_.joinable()) sender_thread_.join();
  join_inspection();  // one that was asked for in between
  const std::lock_guard lock{mutex_};
  if (marks_complete_ && !outside_unknown_ && !marks_.overflown()) {
    if (const Status saved = journal_.save_zones(marks_); !saved) {
      log_.write(LogLevel::Warning, kLog, fmt::format("step=save-zones error='{}': what differs is compared", saved.error().what));
      return {};
    }
    // Of what is not on the disk yet the zones tell nothing: after a crash they say too little.
    const bool on_disk = sync_roots();
    return journal_.update([&](journal::State& state) {
      state.exact = true;
      state.exact_in_boot = on_disk ? std::string{} : settings_.boot_id;
      if (outside_marked_) state.watched.unsettled = false;
    });
  }
  return {};
}

}  // namespace safekit::replica
