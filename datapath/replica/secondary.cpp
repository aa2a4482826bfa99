#include "datapath/replica/secondary.h"

#include <sched.h>
#include <sys/stat.h>

#include "datapath/linux/memory.h"

namespace safekit::replica {

namespace {

constexpr std::size_t kReadBytes = 64U << 10;  ///< at least; a read takes what there is room for
constexpr std::uint64_t kAcknowledgeBytes = 512U << 10;  ///< while more comes without a pause
constexpr Duration kAcknowledgeWithin = milliseconds{2};  ///< what no call waits for
constexpr std::size_t kSyncThreads = 6;
constexpr Duration kQuickSync = milliseconds{1};  ///< the stream may wait so long for a disk
constexpr const char* kLog = "secondary";

/// Of the connection, not of this copy.
bool is_lost(const Error& error) { return error.code == Code::Unavailable || error.code == Code::Timeout; }

}  // namespace

Secondary::Secondary(Settings settings, journal::Journal& journal, Applier& applier, StreamSource& source,
                     const Clock& clock, Log& log, std::function<void()> changed)
    : settings_(std::move(settings)), journal_(journal), applier_(applier), source_(source), clock_(clock), log_(log),
      changed_(std::move(changed)) {}

void Secondary::start() {
  syncs_ = std::make_unique<WorkerPool>(kSyncThreads, false);
  digests_ = std::make_unique<WorkerPool>(std::max(1U, settings_.workers), true);
  set_status([](SecondaryStatus& status) { status.progress.phase = Progress::Phase::Connecting; });
  acceptor_ = std::thread{[this] { accept(); }};
  receiver_ = std::thread{[this] { serve(); }};
}

Secondary::~Secondary() { stop(); }

void Secondary::drop() {
  const std::lock_guard lock{mutex_};
  ++spoiled_;
  if (current_ != nullptr) current_->shut();
}

void Secondary::hold(bool held) {
  {
    const std::lock_guard lock{mutex_};
    held_ = held;
  }
  wake_.notify_all();
}

void Secondary::stop(bool orderly) {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    if (current_ != nullptr) current_->shut();
  }
  stop_waiting_.request_stop();
  source_.shut();
  wake_.notify_all();
  if (acceptor_.joinable()) acceptor_.join();
  if (receiver_.joinable()) receiver_.join();
  if (!orderly) return;
  syncs_.reset();
  digests_.reset();
  const Status synced = applier_.sync_all();
  const Status noted = synced ? journal_.update([](journal::State& state) { state.exact_in_boot.clear(); }) : synced;
  if (!noted) log_.write(LogLevel::Warning, kLog, fmt::format("step=stop error='{}'", noted.error().what));
}

SecondaryStatus Secondary::status() const {
  const std::lock_guard lock{mutex_};
  SecondaryStatus status = status_;
  status.progress.files_done = files_received_;
  status.progress.bytes_copied = bytes_received_;
  return status;
}

void Secondary::set_status(const std::function<void(SecondaryStatus&)>& change) {
  {
    const std::lock_guard lock{mutex_};
    const SecondaryStatus before = status_;
    change(status_);
    if (status_ == before) return;
  }
  changed_();
}

/// Also sends the heartbeats: the receiver may be busy for longer than the primary's patience.
void Secondary::accept() {
  MonoTime sent = clock_.mono_now();
  for (;;) {
    const Duration quiet = clock_.mono_now() - sent;
    auto stream = source_.next(std::max(Duration{0}, patience_.every() - quiet));
    std::unique_lock lock{mutex_};
    if (stopped_) return;
    if (stream) {
      next_ = std::move(*stream);
      if (current_) current_->shut();
      wake_.notify_all();
      continue;
    }
    lock.unlock();
    if (stream.error().code != Code::Timeout) {
      set_status([&](SecondaryStatus& status) { status.problem = stream.error().what; });
      // One that is not let in says nothing of the next one; but a port that is taken stays so for a while.
      lock.lock();
      if (stream.error().code != Code::Denied) wake_.wait_for(lock, patience_.every(), [this] { return stopped_; });
      lock.unlock();
    }
    if (clock_.mono_now() - sent < patience_.every()) continue;
    sent = clock_.mono_now();
    if (give_back_at_ != 0 && sent.ns >= give_back_at_) {
      give_back_at_ = 0;
      linux_os::give_back_memory();
    }
    lock.lock();
    const StreamRef current = greeted_ ? current_ : StreamRef{};
    const std::optional<wire::Promise> told = current ? promise() : std::nullopt;
    lock.unlock();
    // The receiver sees a lost stream.
    if (told) {
      (void)send_message(*current, *told, settings_.send_timeout);
    } else if (current) {
      (void)send_message(*current, wire::Heartbeat{}, settings_.send_timeout);
    }
  }
}

void Secondary::serve() {
  if (outside_ != nullptr) {
    const auto found = outside_->await(stop_waiting_.get_token());
    if (found == nullptr) return;
    // Were this lost, it would only be looked for again.
    if (found->empty()) {
      (void)journal_.update([&](journal::State& state) { state.watched.unsettled = state.watched.unsettled && outside_->grew(); });
    }
  }
  for (;;) {
    StreamRef stream;
    {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return stopped_ || (next_ != nullptr && !held_ && !given_up_); });
      if (stopped_) return;
      stream = std::move(next_);
    }
    const Status ended = serve_one(stream);
    applier_.settle_times();
    copies_ = false;
    {
      const std::lock_guard lock{mutex_};
      current_.reset();
      greeted_ = false;
    }
    stream->shut();
    syncs_->forget();
    digests_->forget();
    if (!ended) log_.write(LogLevel::Info, kLog, fmt::format("connection=ended reason='{}'", ended.error().what));
    set_status([](SecondaryStatus& status) {
      status.connected = false;
      status.synchronised = false;
      status.progress = {.phase = Progress::Phase::Connecting};
    });
    if (keep_first_) keep_copy();
    if (!ended && ended.error().code == Code::Exhausted) give_up_kept();
  }
}

Status Secondary::serve_one(const StreamRef& stream) {
  {
    // From here on a new connection ends this one, and so does a mark that this copy is out of date.
    const std::lock_guard lock{mutex_};
    if (stopped_ || next_ || held_ || given_up_) return Error{Code::Unavailable, "the connection was replaced"};
    current_ = stream;
    spoiled_before_ = spoiled_;
    answered_ = 0;
  }
  wire::FrameReader frames;
  Status done = greet(*stream, frames);
  if (done) {
    heard_ = clock_.mono_now().ns;
    const std::lock_guard lock{mutex_};
    greeted_ = true;
  } else {
    (void)send_message(*stream, wire::Refuse{done.error().what}, seconds{1});  // it will hear of it, or not
    set_status([&](SecondaryStatus& status) { status.problem = done.error().what; });
    return done;
  }
  done = receive(stream, frames);
  works_ = false;
  if (!done && !is_lost(done.error())) fail(*stream, done.error(), applied_ < confirmed_);
  return done;
}

Status Secondary::greet(Stream& stream, wire::FrameReader& frames) {
  SK_TRY(const auto message, read_message(stream, frames, kHelloMax));
  const auto* hello = std::get_if<wire::Hello>(&message);
  if (hello == nullptr) return Error{Code::Corrupt, "the peer does not greet"};
  SK_TRY_VOID(check_hello(settings_, *hello, false));
  primary_ = *hello;
  SK_TRY_VOID(applier_.reset());
  look_.reset();
  received_ = applied_ = confirmed_ = 0;
  acknowledged_ = 0;
  unacknowledged_bytes_ = 0;
  pending_sync_.reset();
  journal::State state = journal_.state();
  if (!state.backup.empty() && hello->base != state.generations.current) state.generations = {};  // no zones tell what it lacks
  wire::Hello mine = make_hello(settings_, state, false);
  std::vector<wire::ActiveEntry> active = own_activity(mine);
  add_outside(mine, active);
  SK_TRY_VOID(send_message(stream, mine, settings_.send_timeout));
  if (mine.own_log.id != 0 || mine.outside == wire::Outside::Listed) {
    SK_TRY_VOID(send_activity(stream, std::move(active), settings_.send_timeout));
  }
  const journal::DataGenerations theirs{hello->current, hello->base, hello->history};
  const journal::Relation relation = journal::compare(state.generations, theirs);
  log_.write(LogLevel::Info, kLog, fmt::format("connection=made peer={} generations={}", settings_.peer, to_string(relation)));
  loses_ = lost::loses_writes(relation);
  own_marks_ = loses_ && lost::map_tells(state.generations, theirs) ? journal_.see_zones() : std::nullopt;
  own_marks_whole_ = is_exact(state, settings_.boot_id);
  set_status([&](SecondaryStatus& status) {
    status = {.connected = true,
              .unverified = status.unverified,
              .diverged = loses_,
              .progress = {.phase = Progress::Phase::Comparing}};
  });
  return {};
}

Status Secondary::receive(const StreamRef& stream, wire::FrameReader& frames) {
  MonoTime heard = clock_.mono_now();
  bool is_silent = false;
  std::unique_ptr<FramePipe> pipe;
  std::optional<Error> lost;
  for (;;) {
    SK_TRY(const auto frame, frames.next());
    if (frame) {
      const Status taken = take_or_pass(stream, *frame, pipe);
      if (taken) continue;
      // What was confirmed is applied, though nobody can be told of it any more. What was not is left: it may be meant for a copy
      // that is to be kept first.
      if (pipe != nullptr || !is_lost(taken.error()) || applied_ >= confirmed_) return taken;
      stream->shut();
      lost = taken.error();
      continue;
    }
    if (lost) return *lost;
    SK_TRY(std::size_t got, stream->read(frames.space(kReadBytes), Duration{0}));
    if (got == 0) {
      if (pipe == nullptr) SK_TRY_VOID(answer_all(stream));
      works_ = false;
      if (pipe == nullptr) {
        SK_TRY(got, look_awake(*stream, frames));
      }
      if (got == 0 && pipe == nullptr && acknowledged_ < received_) {
        SK_TRY(got, stream->read(frames.space(kReadBytes), kAcknowledgeWithin));
        if (got == 0) SK_TRY_VOID(acknowledge(*stream));
      }
      if (got == 0) {
        SK_TRY(got, stream->read(frames.space(kReadBytes), patience_.every()));
      }
      if (pipe == nullptr) wait_.end(clock_.mono_now());
    }
    const MonoTime now = clock_.mono_now();
    const bool was_silent = is_silent;
    if (got > 0) {
      frames.commit(got);
      if (polling_ != nullptr) polling_->note();
      heard = now;
      heard_ = now.ns;
      works_ = true;
      if (pipe == nullptr) {
        if (const Status told = confirm(*stream, frames); !told) {
          stream->shut();  // whether it was told is not known
          lost = told.error();
        }
      }
    } else if (now - heard > settings_.send_timeout) {
      return Error{Code::Timeout, "the primary is silent"};
    }
    // The stream counts as a heartbeat for the control plane, so its silence is told long before it is given up.
    is_silent = now - heard > patience_.late();
    if (is_silent != was_silent) set_status([&](SecondaryStatus& status) { status.connected = !is_silent; });
  }
}

/// After a sync the application goes on at once, and the processors have little to do beside: this thread stays awake with them. Where
/// nothing is synced they are busy, and it would take from them.
Result<std::size_t> Secondary::look_awake(Stream& stream, wire::FrameReader& frames) {
  std::size_t got = 0;
  wait_.begin(clock_.mono_now());
  if (!std::exchange(has_synced_, false) || polling_ == nullptr || !polling_->is_allowed()) return got;
  while (got == 0 && wait_.goes_on(clock_.mono_now())) {
    ::sched_yield();
    if (!wait_.has_processor(clock_.mono_now())) break;
    SK_TRY(got, stream.read(frames.space(kReadBytes), Duration{0}));
  }
  return got;
}

/// What a synchronisation sends is applied by a thread beside this one. All between is the pipe's then: what is "the receiver's own"
/// changes hands where the pipe begins and where it was drained.
Status Secondary::take_or_pass(const StreamRef& stream, const wire::FrameView& frame, std::unique_ptr<FramePipe>& pipe) {
  if (frame.type == wire::FrameType::Question) {
    BytesView none;
    SK_TRY(const auto question, wire::decode(frame, none));
    return take(*stream, std::get<wire::Question>(question));
  }
  if (frame.type == wire::FrameType::Confirm) return {};  // answered when it came (confirm), or by what follows what was applied
  if (pipe != nullptr && frame.type != wire::FrameType::ResyncEnd) return pipe->push(frame);
  if (pipe != nullptr) {
    SK_TRY_VOID(pipe->drain());
    pipe.reset();
  }
  SK_TRY_VOID(take_one(stream, frame));
  if (!applier_.in_resync()) return {};
  pipe = std::make_unique<FramePipe>([this, stream](const wire::FrameView& passed, bool is_last) -> Status {
    SK_TRY_VOID(take_one(stream, passed));
    return is_last ? answer_all(stream) : Status{};
  });
  return {};
}

/// Calls of the primary wait for what has just come: they need not wait until it is applied.
Status Secondary::confirm(Stream& stream, const wire::FrameReader& frames) {
  const auto before = frames.sequenced_before(wire::FrameType::Confirm);
  if (!before || received_ + *before == acknowledged_) return {};
  confirmed_ = received_ + *before;
  Bytes out;
  if (acknowledged_ < received_) note_acknowledged(out);
  wire::append_message(out, wire::Received{{confirmed_}});
  return stream.write(out, settings_.send_timeout);
}

Status Secondary::take_one(const StreamRef& stream, const wire::FrameView& frame) {
  if (pending_sync_) sync_later(stream);
  unacknowledged_bytes_ += frame.payload.size();
  SK_TRY_VOID(take(stream, frame));
  applied_ = received_;
  tell_missed();
  return unacknowledged_bytes_ >= kAcknowledgeBytes ? acknowledge(*stream) : Status{};
}

/// Nothing more is here: the primary may be waiting for us. It does not for what was confirmed: that this is applied is told with the
/// next answer, or a moment later.
Status Secondary::answer_all(const StreamRef& stream) {
  if (pending_sync_ && sync_takes_ < kQuickSync) return sync_here(stream);
  if (pending_sync_) {
    sync_later(stream);
    sync_takes_ = sync_takes_ * 15 / 16;  // so that a disk that has become quick again is found out
  }
  return confirmed_ < received_ ? acknowledge(*stream) : Status{};
}

Status Secondary::acknowledge(Stream& stream) {
  if (acknowledged_ == received_) return {};
  Bytes out;
  note_acknowledged(out);
  return stream.write(out, settings_.send_timeout);
}

void Secondary::note_acknowledged(Bytes& out) {
  unacknowledged_bytes_ = 0;
  acknowledged_ = received_;
  wire::append_message(out, wire::Acknowledge{{received_}});
}

/// The first one of a connection is answered at once: its primary may be waiting for nothing else.
Status Secondary::take(Stream& stream, const wire::Question& question) {
  std::optional<wire::Promise> told;
  {
    const std::lock_guard lock{mutex_};
    const bool is_first = answered_ == 0;
    answered_ = question.number;
    answered_at_ = MonoTime{heard_};
    if (is_first) told = promise();
  }
  return told ? send_message(stream, *told, settings_.send_timeout) : Status{};
}

/// Noted before it is told; nothing where nobody has asked. Caller holds mutex_.
std::optional<wire::Promise> Secondary::promise() {
  if (book_ == nullptr || answered_ == 0 || stopped_) return std::nullopt;
  const MonoTime heard = works_ ? clock_.mono_now() : MonoTime{heard_};
  const Duration length{promise_length_};
  book_->note(heard, length);
  return wire::Promise{.heard = heard.ns, .answered = answered_, .answered_at = answered_at_.ns, .length = length.count()};
}

Status Secondary::take(const StreamRef& stream, const wire::FrameView& frame) {
  BytesView data;
  SK_TRY(auto message, wire::decode(frame, data));
  if (wire::is_sequenced(frame.type)) ++received_;
  if (copies_) {
    const auto* state = std::get_if<wire::InodeState>(&message);
    if (state != nullptr && !S_ISDIR(state->attributes.mode)) ++files_received_;
    bytes_received_ += data.size();
  }
  if (auto* operation = std::get_if<wire::Operation>(&message)) return take(stream, *operation, data);
  if (auto* begin = std::get_if<wire::ResyncBegin>(&message)) return begin_resync(*stream, begin->mode);
  if (auto* listing = std::get_if<wire::Listing>(&message)) {
    SK_TRY(auto fates, applier_.apply(std::move(*listing)));
    if (!fates) return {};
    return send_message(*stream, wire::ListingAnswer{{received_}, std::move(*fates)}, settings_.send_timeout);
  }
  if (auto* state = std::get_if<wire::InodeState>(&message)) return applier_.apply(*state, data);
  if (auto* digests = std::get_if<wire::ZoneDigests>(&message)) {
    digest_later(stream, std::move(*digests));
    return {};
  }
  if (auto* end = std::get_if<wire::ResyncEnd>(&message)) return end_resync(*stream, *end);
  if (std::holds_alternative<wire::Detach>(message)) return detach(*stream);
  if (std::holds_alternative<wire::SyncAll>(message)) {
    sync_all_later(stream);
    return {};
  }
  if (const auto* point = std::get_if<wire::Checkpoint>(&message)) return checkpoint(stream, *point);
  if (std::holds_alternative<wire::Heartbeat>(message)) return {};
  if (auto asked = verify(stream, message)) return std::move(*asked);
  return Error{Code::Corrupt, "a frame that a primary does not send"};
}

Status Secondary::take(const StreamRef& stream, wire::Operation& operation, BytesView data) {
  if (const auto* sync = std::get_if<wire::Sync>(&operation)) {
    return primary_.sync_durable ? sync_soon(stream, *sync) : Status{};
  }
  return applier_.apply(operation, data);
}

void Secondary::fail(Stream& stream, const Error& error, bool confirmed) {
  bool ended = false;
  const Status noted = journal_.update([&](journal::State& state) {
    {
      const std::lock_guard lock{mutex_};
      // This node may be primary by now. Looked at in the same step as the journal is changed: it may become so at any moment, but not
      // before the receiver has ended.
      ended = stopped_ && !confirmed;
      if (ended) return;
      ++spoiled_;
    }
    state.up_to_date = false;
    state.exact = false;
    state.base_log = state.own_log = {};
  });
  if (ended) return;
  const std::string what = fmt::format("this copy could not be kept equal: {}", noted ? error.what : noted.error().what);
  log_.write(LogLevel::Error, kLog, fmt::format("step=apply error='{}'", what));
  if (noted) (void)send_message(stream, wire::Failed{what}, seconds{1});  // else the primary finds out by its time-out
  set_status([&](SecondaryStatus& status) { status.problem = what; });
  stream.shut();
  // A sync of an earlier connection may end only now: the primary is not to rely on a copy that cannot be promoted.
  const std::lock_guard lock{mutex_};
  if (current_ != nullptr) current_->shut();
}

}  // namespace safekit::replica
