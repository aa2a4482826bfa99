#include "datapath/replica/peer_right.h"

#include <algorithm>

namespace safekit::replica {

namespace {

constexpr std::int64_t kPart = 500;  ///< of a time by which two clocks differ at most: 2/1000 of real time
constexpr std::int64_t kSane = Duration{hours{24 * 365 * 20}}.count();  ///< of a clock; nothing of it overflows

std::int64_t shortened(std::int64_t time) { return time - time / kPart - 1; }
/// (1 + 1/1000) / (1 - 1/1000) is a little more than 1 + 1/500.
std::int64_t lengthened(std::int64_t time) { return time + time / (kPart - 1) + 1; }

bool is_sane(std::int64_t time) { return time >= 0 && time <= kSane; }

}  // namespace

void PeerRight::meet() {
  asked_ = answered_ = 0;
  anchor_.reset();
}

std::optional<std::uint64_t> PeerRight::ask(MonoTime now) {
  if (asked_ - answered_ >= kUnansweredMax) return std::nullopt;
  ++asked_;
  asked_at_[asked_ % kUnansweredMax] = now;
  return asked_;
}

MonoTime PeerRight::no_earlier_than(const Anchor& anchor, std::int64_t peers) {
  const std::int64_t since = peers - anchor.peers;
  return anchor.own + Duration{since >= 0 ? shortened(since) : -lengthened(-since)};
}

Status PeerRight::take(const wire::Promise& promise, MonoTime now) {
  if (promise.answered == 0 || promise.answered > asked_ || !is_sane(promise.heard) || !is_sane(promise.answered_at) ||
      !is_sane(promise.length)) {
    return Error{Code::Corrupt, "the peer promises what cannot be"};
  }
  answered_ = std::max(answered_, promise.answered);
  // An answer may be overtaken by a later one, and its question be too old to be known.
  std::optional<Anchor> fresh;
  if (asked_ - promise.answered < kUnansweredMax) {
    fresh = Anchor{asked_at_[promise.answered % kUnansweredMax], promise.answered_at};
  }
  if (fresh && (!anchor_ || fresh->own >= no_earlier_than(*anchor_, fresh->peers))) anchor_ = fresh;
  if (!anchor_) return {};
  MonoTime heard = no_earlier_than(*anchor_, promise.heard);
  if (heard > now) {
    // What was heard before now cannot be later: a clock has stood still, as that of a machine that was paused.
    anchor_ = fresh;
    if (!anchor_) return {};
    heard = std::min(no_earlier_than(*anchor_, promise.heard), now);
  }
  until_ = std::max(until_, heard + Duration{shortened(promise.length)});
  return {};
}

}  // namespace safekit::replica
