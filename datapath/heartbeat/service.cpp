#include "datapath/heartbeat/service.h"

#include <algorithm>

#include <fmt/format.h>

#include "datapath/heartbeat/engine.h"

namespace safekit::heartbeat {

HeartbeatService::HeartbeatService(const Options& options, Clock& clock, Random& random, Crypto& crypto,
                                   Loop& loop)
    : front_(std::make_shared<Front>()),
      engine_(std::make_unique<Engine>(options, clock, random, crypto, loop, front_)) {}
HeartbeatService::~HeartbeatService() = default;

Status HeartbeatService::configure(const LinkPlan& plan) {
  if (plan.links.size() > kLinksMax) {
    return Error{Code::Exhausted, fmt::format("more than {} heartbeat links", kLinksMax)};
  }
  std::vector<WiredLink> wired;
  std::map<std::pair<LanName, NodeName>, std::shared_ptr<LinkCell>> cells;
  for (const Link& link : plan.links) {
    auto& cell = cells[{link.lan, link.peer}];
    if (cell)
      return Error{Code::Invalid,
                   fmt::format("two heartbeats to '{}' on '{}'", link.peer.str(), link.lan.str())};
    const auto before = front_->cells.find({link.lan, link.peer});
    cell = before == front_->cells.end() ? std::make_shared<LinkCell>() : before->second;
    SK_TRY(const Address local, make_address(link.local_address, plan.port));
    SK_TRY(const Address peer, make_address(link.peer_address, plan.port));
    wired.push_back({.link = link, .local = local, .peer = peer, .cell = cell});
  }
  front_->cells = std::move(cells);
  engine_->hand_over([&](Engine::Mail& mail) {
    mail.links = std::move(wired);
    mail.period = plan.period;
  });
  return {};
}

Status HeartbeatService::publish(Bytes payload) {
  if (payload.size() > kPayloadBytesMax) {
    return Error{Code::Exhausted, fmt::format("a heartbeat carries {} bytes at most", kPayloadBytesMax)};
  }
  engine_->hand_over([&](Engine::Mail& mail) { mail.payload = std::move(payload); });
  return {};
}

LinkState HeartbeatService::state(const LanName& lan, const NodeName& peer) const {
  const auto found = front_->cells.find({lan, peer});
  if (found == front_->cells.end()) return {};
  const LinkCell& cell = *found->second;
  const std::int64_t heard = cell.heard.load();
  return {.heard = heard == LinkCell::kNever ? std::nullopt : std::optional{MonoTime{heard}},
          .listening_since = MonoTime{cell.listening_since.load()},
          .health = cell.health.load(),
          .error = cell.error.load()};
}

std::optional<Bytes> HeartbeatService::payload(const NodeName& peer) const {
  const auto found = front_->payloads.find(peer);
  return found == front_->payloads.end() ? std::nullopt : std::optional{found->second};
}

void HeartbeatService::on_change(std::function<void(const NodeName&)> task) {
  front_->task = std::move(task);
}

Duration HeartbeatService::take_scheduling_delay() {
  return Duration{engine_->delay_max.exchange(0)};
}
bool HeartbeatService::is_real_time() const {
  return engine_->real_time.load();
}

}  // namespace safekit::heartbeat
