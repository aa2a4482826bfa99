// A synchronisation of this copy: its begin, its end, and what is kept of the copy meanwhile.
#include "datapath/journal/activity_file.h"
#include "datapath/replica/secondary.h"

namespace safekit::replica {

namespace {
constexpr const char* kLog = "secondary";
constexpr Duration kForZones = seconds{5};      ///< what is copied by zones is soon copied
constexpr Duration kForEverything = minutes{5};
}  // namespace

Status Secondary::begin_resync(Stream& stream, wire::ResyncMode mode) {
  if (mode != wire::ResyncMode::None) {
    if (is_to_keep(journal_.state())) {
      keep_first_ = mode;
      return Error{Code::Unavailable, "the last consistent copy is kept first"};
    }
    SK_TRY_VOID(journal_.update([&](journal::State& state) {
      state.inconsistent = true;
      state.up_to_date = false;
      // Copying zones changes only what the primary's zone map names until the end: an interrupted one can be repeated.
      if (mode != wire::ResyncMode::Zones) state.exact = false;
      state.exact_in_boot = settings_.boot_id;
      state.full_wanted = state.full_wanted || mode != wire::ResyncMode::Zones;
      state.since = 0;  // what it was true of is gone from here on
    }));
    log_.write(LogLevel::Info, kLog, fmt::format("synchronisation=begin mode={}",
                                                 wire::name_of(mode)));
  }
  applier_.begin_resync(mode);
  files_received_ = 0;
  bytes_received_ = 0;
  copies_ = true;
  if (mode != wire::ResyncMode::None && (loses_ || told_ != nullptr)) SK_TRY_VOID(begin_set_aside());
  set_status([&](SecondaryStatus& status) {
    status.progress.phase = Progress::Phase::Copying;
    status.unverified = status.unverified && mode == wire::ResyncMode::None;
  });
  return send_message(stream, wire::Durable{{received_}}, settings_.send_timeout);
}

Status Secondary::end_resync(Stream& stream, const wire::ResyncEnd& end) {
  wire::ResyncEndAnswer answer{.sequence = {received_}, .leftovers = applier_.leftovers()};
  if (answer.leftovers.empty()) {
    // With another log this copy's disk must have all that the log does not name.
    if (applier_.in_resync() || journal_.state().base_log.id != end.log.id) SK_TRY_VOID(applier_.sync_all());
    SK_TRY_VOID(end_set_aside());
    const linux_os::FileMoment moment = look_outside();
    bool spoiled = false;
    const bool was_kept = journal_.state().kept != journal::State::Kept::None;
    SK_TRY_VOID(journal_.update([&](journal::State& state) {
      {
        const std::lock_guard lock{mutex_};
        spoiled = spoiled_ != spoiled_before_;
      }
      if (spoiled) return;  // a mark is never overwritten by an end that was on its way
      journal::take_over(state.generations, end.current, end.history);
      state.peer = settings_.peer;
      state.up_to_date = true;
      state.inconsistent = false;
      state.ever_synchronised = true;
      state.last_primary = false;
      state.exact = true;
      state.exact_in_boot = settings_.boot_id;
      state.full_wanted = false;
      state.since = 0;
      state.backup.clear();
      state.base_log = {end.log.id, end.log.checkpoint};
      state.own_log = {};
      state.kept = journal::State::Kept::None;
      // In the same step: whoever adds to it afterwards finds the journal settled, and notes that it is not (OutsideWatch::keep).
      if (outside_ == nullptr || !outside_->grew()) resync::settle(state, moment, settings_.boot_id);
    }));
    if (spoiled) return Error{Code::Unavailable, "this copy was marked out of date"};
    journal::ActivityFile::remove(journal_.directory());
    if (outside_ != nullptr) outside_->settle();
    if (kept_ != nullptr && was_kept) kept_->drop();
    cannot_keep_ = false;
    applier_.end_resync();
    copies_ = false;
    give_back_at_ = (clock_.mono_now() + kGiveBackAfter).ns;
    log_.write(LogLevel::Info, kLog, "synchronisation=done");
    set_status([&](SecondaryStatus& status) {
      status.synchronised = true;
      status.unverified = end.verify;
      status.diverged = false;
      status.problem.clear();
      status.progress.phase = Progress::Phase::Done;
    });
  } else {
    applier_.clear_leftovers();
  }
  return send_message(stream, answer, settings_.send_timeout);
}

/// A copy that no synchronisation has touched, or that the last one has completed.
bool Secondary::is_to_keep(const journal::State& state) {
  if (kept_ == nullptr || cannot_keep_ || state.inconsistent || !state.ever_synchronised) return false;
  if (state.kept != journal::State::Kept::None) return false;
  switch (settings_.snapshot) {
    case Settings::Snapshot::Never: return false;
    case Settings::Snapshot::Auto: return kept_->can_share();
    case Settings::Snapshot::Always: return true;
  }
  return false;
}

/// There is no connection: it may take long, and nothing changes the copy.
void Secondary::keep_copy() {
  const wire::ResyncMode mode = *std::exchange(keep_first_, std::nullopt);
  const MonoTime began = clock_.mono_now();
  log_.write(LogLevel::Info, kLog, "last-consistent-copy=begin");
  Status kept = kept_->keep({.copies = settings_.snapshot == Settings::Snapshot::Always,
                             .takes_max = mode == wire::ResyncMode::Zones ? kForZones : kForEverything},
                            stop_waiting_.get_token());
  if (kept) kept = journal_.update([](journal::State& state) { state.kept = journal::State::Kept::Kept; });
  if (kept) {
    const auto took = std::chrono::duration_cast<milliseconds>(clock_.mono_now() - began).count();
    log_.write(LogLevel::Info, kLog, fmt::format("last-consistent-copy=kept ms={}", took));
    changed_();
    return;
  }
  cannot_keep_ = true;
  kept_->drop();
  log_.write(LogLevel::Warning, kLog, fmt::format("last-consistent-copy=none reason='{}'", kept.error().what));
}

/// The synchronisation found no room, and would never end: what it overwrites takes room as long as it is kept.
void Secondary::give_up_kept() {
  if (kept_ == nullptr || journal_.state().kept != journal::State::Kept::Kept) return;
  const Status noted = journal_.update([](journal::State& state) { state.kept = journal::State::Kept::None; });
  if (!noted) return;  // tried again with the next one that finds no room
  kept_->drop();
  log_.write(LogLevel::Warning, kLog, "last-consistent-copy=given-up reason='the synchronisation needs its room'");
  changed_();
}

}  // namespace safekit::replica
