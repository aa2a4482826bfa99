#include "controllers/simulate/heartbeats.h"

#include <algorithm>

#include "controllers/membership/payload.h"

namespace safekit::sim {
namespace {

Bytes altered(const Bytes& bytes, Defect defect) {
  auto payload = membership::decode(bytes);
  if (!payload) return bytes;
  for (membership::ModuleEntry& entry : payload->modules) {
    if (defect == Defect::SaysUnpaired) entry.paired = false;
    if (defect == Defect::ForgetsHandOver) entry.in_service_hand_over = false;
  }
  return membership::encode(*payload);
}

}  // namespace

Status SimHeartbeats::configure(const membership::LinkPlan& plan) {
  plan_ = plan;
  std::map<std::pair<LanName, NodeName>, membership::LinkState> links;
  for (const membership::Link& link : plan_.links) {
    const std::pair key{link.lan, link.peer};
    links[key] = links_.contains(key) ? links_[key] : membership::LinkState{.listening_since = ports_.clock.mono_now()};
  }
  links_ = std::move(links);
  beat(++round_);
  return {};
}

Status SimHeartbeats::publish(Bytes payload) {
  const bool alters = ports_.defect == Defect::SaysUnpaired || ports_.defect == Defect::ForgetsHandOver;
  payload_ = std::make_shared<const Bytes>(alters ? altered(payload, ports_.defect) : std::move(payload));
  send();
  return {};
}

void SimHeartbeats::beat(std::uint64_t round) {
  if (round != round_) return;
  const MonoTime now = ports_.clock.mono_now();
  // Who did not run for a while has listened only since then: its own absence is no loss of the peer.
  if (last_beat_ && now - *last_beat_ > 3 * plan_.period) {
    for (auto& [key, link] : links_) link.listening_since = now;
  }
  last_beat_ = now;
  send();
  ports_.loop.after(plan_.period, [this, round] { beat(round); });
}

void SimHeartbeats::send() {
  if (!payload_) return;
  ++sequence_;
  for (const membership::Link& link : plan_.links) {
    ports_.carry(link.peer, {.from = ports_.node, .lan = link.lan, .sequence = {life_, sequence_}, .payload = payload_});
  }
}

void SimHeartbeats::arrived(const Datagram& datagram) {
  const auto link = links_.find({datagram.lan, datagram.from});
  if (link == links_.end() || ports_.loop.is_paused()) return;
  const MonoTime now = ports_.clock.mono_now();
  const bool was_silent = !link->second.heard || now - *link->second.heard > 2 * plan_.period;
  link->second.heard = now;
  Peer& peer = peers_[datagram.from];
  const bool is_old = datagram.sequence <= peer.sequence && ports_.defect != Defect::OldHeartbeat;
  const bool is_new = !is_old && (!peer.payload || *peer.payload != *datagram.payload);
  if (!is_old) peer = {.sequence = datagram.sequence, .payload = datagram.payload};
  if (was_silent || is_new) tell(datagram.from);
}

void SimHeartbeats::tell(const NodeName& peer) {
  ports_.loop.post([this, peer, alive = alive_] {
    if (*alive && changed_) changed_(peer);
  });
}

membership::LinkState SimHeartbeats::state(const LanName& lan, const NodeName& peer) const {
  const auto found = links_.find({lan, peer});
  if (found == links_.end()) return {};
  membership::LinkState state = found->second;
  const MonoTime now = ports_.clock.mono_now();
  if (ports_.defect == Defect::SilentTooSoon && state.heard && now - *state.heard > plan_.period + milliseconds{50}) {
    state.heard = now - seconds{60};
    state.listening_since = MonoTime{};
  }
  return state;
}

std::optional<Bytes> SimHeartbeats::payload(const NodeName& peer) const {
  const auto found = peers_.find(peer);
  if (found == peers_.end() || !found->second.payload) return std::nullopt;
  return ports_.defect == Defect::AnswersAtOnce ? answered(*found->second.payload) : *found->second.payload;
}

/// As if the peer had heard the question and marked its copy.
Bytes SimHeartbeats::answered(const Bytes& bytes) const {
  auto theirs = membership::decode(bytes);
  const auto mine = payload_ ? membership::decode(*payload_) : Result<membership::Payload>{membership::Payload{}};
  if (!theirs || !mine) return bytes;
  for (membership::ModuleEntry& entry : theirs->modules) {
    const auto own = std::ranges::find(mine->modules, entry.name, &membership::ModuleEntry::name);
    if (own == mine->modules.end() || own->asked_pairing == 0) continue;
    entry.answered_pairing = own->asked_pairing;
    entry.marked_out_of_date = true;
  }
  return membership::encode(*theirs);
}

}  // namespace safekit::sim
