// The right to acknowledge, where the module has a witness that grants leases.
#include <algorithm>

#include "datapath/replica/primary.h"

namespace safekit::replica {

namespace {

constexpr Duration kRestMin = milliseconds{1};
constexpr const char* kBarred = "this node has no right to acknowledge writes, and gets none";

}  // namespace

void Primary::need_right(bool needed) {
  const std::lock_guard lock{mutex_};
  right_needed_ = needed;
  settle_right();
  sender_.notify_all();
}

void Primary::lease(MonoTime until, bool refused) {
  const std::lock_guard lock{mutex_};
  lease_until_ = until;
  lease_refused_ = refused;
  settle_right();
  if (!refused) return;
  permitted_.notify_all();
  waiters_.notify_all();
}

/// Thread: any.
bool Primary::has_right() const {
  const std::int64_t until = right_until_;
  return until == kNoEnd.ns || clock_.mono_now().ns < until;
}

/// Without a right: there is none to be waited for.
bool Primary::is_barred() const { return leaving_ || lease_refused_ || stopped_; }

MonoTime Primary::right() const {
  if (!right_needed_) return kNoEnd;
  if (mode_ == Mode::Alone) return alone_by_ == Leave::Lease ? lease_until_ : kNoEnd;
  if (link_ && !link_->promises) return kNoEnd;  // of a release that cannot: as before there were rights
  return peer_right_.until();
}

/// After each change of what it comes from. What a stop makes of that gives none.
void Primary::settle_right() {
  if (stopped_) return;
  const MonoTime until = right();
  if (right_until_.exchange(until.ns) == until.ns) return;
  if (tell_right_) tell_right_(until);
  if (held_calls_ > 0) permitted_.notify_all();
}

/// A right ends by itself.
void Primary::look_at_right() {
  const bool frozen = !has_right();
  if (std::exchange(frozen_, frozen) == frozen) return;
  log_.write(LogLevel::Info, "primary", frozen ? "right=ended" : "right=given");
  if (frozen && is_barred()) waiters_.notify_all();
  changed_();
}

Status Primary::permit() {
  if (has_right()) return {};
  Lock lock{mutex_};
  ++held_calls_;
  permitted_.wait(lock, [this] { return has_right() || is_barred(); });
  --held_calls_;
  if (!has_right()) return Error{Code::Fenced, kBarred};
  return {};
}

/// Also while other frames flow: what they tell the peer is not when they were sent.
void Primary::ask_if_due(MonoTime now) {
  if (!right_needed_ || !link_ || !link_->promises || now - asked_at_ < patience_.every()) return;
  if (const auto number = peer_right_.ask(now)) wire::append_message(out_, wire::Question{*number});
  asked_at_ = now;
}

/// How long there is nothing to be said, by itself.
Duration Primary::rests(MonoTime now) const {
  const Duration every = patience_.every();
  return right_needed_ && link_ ? std::clamp(asked_at_ + every - now, kRestMin, every) : every;
}

}  // namespace safekit::replica
