// What a primary must note on its state disk, and what it does while that disk refuses.
#include "datapath/replica/primary.h"

namespace safekit::replica {

namespace {

constexpr Duration kBeginAnewEvery = seconds{5};
constexpr const char* kLog = "primary";

}  // namespace

void Primary::note_alone() {
  if (alone_noted_) return;
  // Durable before any write made without the peer is acknowledged (design.md 6).
  const DataGeneration fresh{random_.u64() | 1};
  const Status noted = journal_.update([&](journal::State& state) { journal::begin_alone(state.generations, fresh); });
  generation_due_ = !noted;
  alone_noted_ = static_cast<bool>(noted);
  if (!noted) fence(noted.error());
}

/// Caller holds mutex_.
void Primary::fence(const Error& error) {
  if (!fenced_.exchange(true)) {
    fenced_why_ = error.what;
    set_problem(error.what);
  }
  waiters_.notify_all();
}

/// What was refused meanwhile was neither done nor promised.
void Primary::mend_journal(Lock& lock) {
  lock.unlock();
  const Status mended = activity_->mend_journal();
  lock.lock();
  if (mended && generation_due_) note_alone();
  if (!mended || generation_due_) return;
  fenced_ = false;
  if (problem_ == fenced_why_) problem_.clear();
  log_.write(LogLevel::Info, kLog, "journal=written-again");
  changed_();
}

/// For a log that was given up. Other problems are told first.
void Primary::mend_activity(Lock& lock, MonoTime now) {
  if (fenced_ || now - mended_at_ < kBeginAnewEvery) return;
  mended_at_ = now;
  const std::uint64_t id = random_.u64() | 1;
  lock.unlock();
  const auto begun = activity_->begin_anew(id);
  lock.lock();
  if (!begun && problem_.empty()) {
    log_problem_ = fmt::format("{}; make room there: until then all is compared after a crash", begun.error().what);
    set_problem(log_problem_);
  } else if (begun && *begun) {
    log_fresh_ = true;
    if (problem_ == log_problem_) set_problem({});
  }
}

/// The peer will be told that what is not in the log is on this disk.
void Primary::base_log() {
  const std::uint64_t log = activity_->point().id;
  if (log == 0 || log == log_based_ || !sync_roots()) return;
  const std::lock_guard lock{mutex_};
  log_based_ = log;
}

}  // namespace safekit::replica
