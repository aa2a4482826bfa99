#include "controllers/simulate/replica.h"

/// The right to acknowledge, as docs/leases.md: of the played replica by the real one's reckoning.
namespace safekit::sim {
namespace {

constexpr Duration kLook = milliseconds{50};  ///< at a right that may have ended

}  // namespace

void Replica::configure(const control::Configure& configure) {
  const bool begins = !configured_ && configure.leased;
  configure_ = configure;
  configured_ = true;
  // What the process before it has promised is not known.
  if (begins) promises_.note(ports_.clock.mono_now(), configure.promise);
  settle_right();
  report();
}

MonoTime Replica::right() const {
  if (!configure_.leased) return kNoEnd;
  if (!is_primary()) return MonoTime{};
  if (granted_ && !waiting_ && !mirroring_) {
    return by_lease_ ? lease_.until : kNoEnd;
  }
  return ports_.defect == Defect::RightNeverEnds ? kNoEnd : peer_right_.until();
}

bool Replica::has_right() const {
  const MonoTime until = right();
  return until == kNoEnd || ports_.clock.mono_now() < until;
}

void Replica::settle_right() {
  ports_.guard(right());
  // Calls that are held end with an error when the witness has said no.
  if (is_primary() && lease_.refused && (waiting_ || !has_right())) pending_.clear();
  if (const bool frozen = is_primary() && !has_right(); std::exchange(frozen_, frozen) != frozen) report();
  settle_pending();
}

bool Replica::wait_for_promise(const control::Want& want) {
  if (!configure_.leased || want.role != control::ReplicaRole::Primary || want.peer_left) return false;
  const Duration left = promises_.until() - ports_.clock.mono_now();
  if (left <= Duration{} || ports_.defect == Defect::PromiseForgotten) return false;
  role_ = control::ReplicaRole::Idle;
  after(ports_.clock.world_time(left) + milliseconds{1}, [this, want] {
    if (latest_order_ == want.order) act(want);
  });
  report();
  return true;
}

void Replica::exchange_promises() {
  const Duration every = configure_.leased ? configure_.silence / 3 : Duration{milliseconds{200}};
  after(ports_.clock.world_time(every), [this] {
    if (configure_.leased) {
      if (is_primary()) ask_peer();
      if (role_ == control::ReplicaRole::Secondary) promise();
    }
    exchange_promises();
  });
  if (configure_.leased && is_primary()) after(kLook, [this] { settle_right(); });
}

void Replica::ask_peer() {
  if (!stream_) return;
  const auto number = peer_right_.ask(ports_.clock.mono_now());
  if (!number) return;
  send(true, [number](Replica& second) {
    const bool is_first = second.answered_ == 0;
    second.answered_ = *number;
    second.answered_at_ = second.ports_.clock.mono_now();
    if (is_first) second.promise();
  });
}

/// One side may have lost the stream that the other one still takes for alive.
void Replica::promise() {
  if (!stream_ || answered_ == 0) return;
  promises_.note(heard_, configure_.promise);
  const wire::Promise promise{.heard = heard_.ns, .answered = answered_, .answered_at = answered_at_.ns,
                              .length = configure_.promise.count()};
  send(false, [promise](Replica& primary) {
    (void)primary.peer_right_.take(promise, primary.ports_.clock.mono_now());  // it cannot be corrupt
    primary.settle_right();
  });
}

}  // namespace safekit::sim
