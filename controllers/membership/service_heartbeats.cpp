#include "controllers/membership/service_heartbeats.h"

#include <cerrno>

namespace safekit::membership {

void ServiceHeartbeats::use(std::unique_ptr<heartbeat::HeartbeatService> service) {
  service_ = std::move(service);
  if (service_ == nullptr) return;
  service_->on_change([this](const NodeName& peer) {
    if (task_) task_(peer);
  });
  if (!plan_.links.empty())
    (void)apply();  // refused before as it is now: the controller has reported it then
  if (payload_) (void)service_->publish(*payload_);
}

Status ServiceHeartbeats::configure(const LinkPlan& plan) {
  plan_ = plan;
  return service_ == nullptr ? Status{} : apply();
}

Status ServiceHeartbeats::apply() {
  heartbeat::LinkPlan plan{.port = plan_.port, .period = plan_.period, .links = {}};
  for (const Link& link : plan_.links) {
    // No time-out there: each module judges by its own.
    plan.links.push_back({.lan = link.lan,
                          .peer = link.peer,
                          .local_address = link.local_address,
                          .peer_address = link.peer_address,
                          .timeout = {}});
  }
  return service_->configure(plan);
}

Status ServiceHeartbeats::publish(Bytes payload) {
  payload_ = payload;
  return service_ == nullptr ? Status{} : service_->publish(std::move(payload));
}

LinkState ServiceHeartbeats::state(const LanName& lan, const NodeName& peer) const {
  if (service_ == nullptr) return {};
  const heartbeat::LinkState state = service_->state(lan, peer);
  LinkState result{.heard = state.heard, .listening_since = {}, .error = state.error};
  if (state.listening_since != MonoTime{}) result.listening_since = state.listening_since;
  return result;
}

std::set<std::string> ServiceHeartbeats::taken_addresses() const {
  std::set<std::string> addresses;
  for (const Link& link : plan_.links) {
    if (state(link.lan, link.peer).error == EADDRINUSE) addresses.insert(link.local_address);
  }
  return addresses;
}

std::optional<Bytes> ServiceHeartbeats::payload(const NodeName& peer) const {
  return service_ == nullptr ? std::nullopt : service_->payload(peer);
}

}  // namespace safekit::membership
