#include "controllers/membership/effect.h"

#include <algorithm>
#include <cerrno>

#include "schema/check/failover_rules.h"

namespace safekit::membership {

MembershipController::MembershipController(store::Store& store, const Clock& clock, Heartbeats& heartbeats,
                                           Wake wake)
    : store_(store),
      clock_(clock),
      heartbeats_(heartbeats),
      wake_(std::move(wake)),
      started_(clock.mono_now()) {
  heartbeats_.on_change([this](const NodeName& peer) { peer_changed(peer); });
}

std::optional<engine::Request> MembershipController::wants(const store::Change& change) const {
  if (change.what == store::Change::What::Object && change.kind == store::Kind::Cluster) {
    return engine::Request{"cluster"};
  }
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> MembershipController::reconcile(const engine::Request& request) {
  const auto modules = mirrors();
  SK_TRY_VOID(refresh_links(modules));
  SK_TRY_VOID(refresh_payload(modules));
  if (request.name == "cluster") {
    // Withheld: look again when that must end.
    const bool waits = published_.empty() && clock_.mono_now() < started_ + kWithholdMax;
    return engine::Outcome{.requeue_after = waits ? std::optional{kWithholdMax} : std::nullopt};
  }
  const ModuleName name{request.name};
  const auto module = store_.module(name);
  const bool here = module != nullptr && module->mode == spec::Mode::Mirror &&
                    std::ranges::find(module->nodes, store_.node()) != module->nodes.end();
  if (!here) return engine::Outcome{};
  const Plan plan = plan_of(name, *module);
  publish(name, plan);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

std::vector<std::shared_ptr<const spec::Module>> MembershipController::mirrors() const {
  std::vector<std::shared_ptr<const spec::Module>> result;
  for (const ModuleName& name : store_.local_modules()) {
    if (auto module = store_.module(name); module != nullptr && module->mode == spec::Mode::Mirror) {
      result.push_back(std::move(module));
    }
  }
  return result;
}

Status MembershipController::refresh_links(const std::vector<std::shared_ptr<const spec::Module>>& modules) {
  const auto cluster = store_.cluster();
  Links links = cluster == nullptr ? Links{} : links_of(*cluster, modules, store_.node());
  if (links.problems != problems_) {
    problems_ = links.problems;
    for (const std::string& problem : problems_) store_.record(ModuleName{}, "heart", 'E', problem);
  }
  if (links.plan == links_) return {};
  SK_TRY_VOID(heartbeats_.configure(links.plan));
  links_ = std::move(links.plan);
  for (const auto& module : modules) wake_(engine::Request{module->metadata.name});
  return {};
}

const std::vector<rule::Rule>& MembershipController::rules_of(const std::shared_ptr<const spec::Module>& module) {
  Rules& rules = rules_[module->metadata.name];
  if (rules.of != module) rules = {module, check::failover_rules(*module)};
  return rules.rules;
}

Status MembershipController::refresh_payload(
    const std::vector<std::shared_ptr<const spec::Module>>& modules) {
  Payload payload{.node = store_.node().str(), .modules = {}};
  std::map<std::string, ModuleEntry> entries;
  bool complete = true;
  for (const auto& module : modules) {
    const std::string& name = module->metadata.name;
    const status::Module& seen = store_.status(ModuleName{name});
    auto entry = entry_of(seen, module->replication.has_value());
    if (entry) entry->resources = resources_for_peer(rules_of(module), seen.resources);
    if (!entry) {
      if (const auto last = entries_.find(name); last != entries_.end()) entry = last->second;
    }
    if (entry) {
      payload.modules.push_back(*entry);
      entries.emplace(name, std::move(*entry));
    } else {
      complete = false;
    }
  }
  entries_ = std::move(entries);
  std::erase_if(rules_, [&](const auto& one) {
    return std::ranges::none_of(modules, [&](const auto& module) { return module == one.second.of; });
  });
  const bool first = published_.empty();
  if (first && !complete && clock_.mono_now() < started_ + kWithholdMax) return {};
  Bytes bytes = encode(payload);
  if (bytes == published_) return {};
  SK_TRY_VOID(heartbeats_.publish(bytes));
  published_ = std::move(bytes);
  return {};
}

/// After a time without a socket it has listened only since that ended.
LinkState MembershipController::state_of(const LanName& lan, const NodeName& peer) {
  LinkState state = heartbeats_.state(lan, peer);
  if (state.error == EADDRINUSE) deaf_[{lan, peer}] = clock_.mono_now();
  if (const auto deaf = deaf_.find({lan, peer}); deaf != deaf_.end() && state.listening_since) {
    state.listening_since = std::max(*state.listening_since, deaf->second);
  }
  return state;
}

Plan MembershipController::plan_of(const ModuleName& name, const spec::Module& module) {
  const Desired desired = desired_of(module, store_.node());
  Observed observed;
  observed.before = store_.status(name).peer;
  for (const Link& link : links_.links) {
    if (link.peer != desired.peer) continue;
    const LinkState state = state_of(link.lan, desired.peer);
    if (std::ranges::find(desired.heartbeats, link.lan, &HeartbeatWish::lan) != desired.heartbeats.end()) {
      observed.links[link.lan] = state;
    } else {
      observed.others.push_back(state);
    }
  }
  if (const auto bytes = heartbeats_.payload(desired.peer)) {
    if (const auto payload = decode(*bytes); payload && payload->node == desired.peer.str()) {
      observed.payload_seen = true;
      const auto entry = std::ranges::find(payload->modules, name.str(), &ModuleEntry::name);
      if (entry != payload->modules.end()) observed.entry = *entry;
    }
  }
  return decide(desired, observed, clock_.mono_now());
}

void MembershipController::publish(const ModuleName& name, const Plan& plan) {
  const WallTime now = clock_.wall_now();
  store_.update_status(name, [&](status::Module& m) {
    m.peer = plan.peer;
    std::erase_if(m.resources, [&](const auto& resource) {
      return resource.first.starts_with("heartbeat.") && !plan.resources.contains(resource.first);
    });
    for (const auto& [resource, value] : plan.resources) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value != value) old = {.value = value, .assigned = now, .source = "heart"};
    }
  });
  for (const Line& line : plan.lines) store_.record(name, "heart", line.level, line.text);
}

void MembershipController::peer_changed(const NodeName& peer) {
  for (const auto& module : mirrors()) {
    if (std::ranges::find(module->nodes, peer) != module->nodes.end())
      wake_(engine::Request{module->metadata.name});
  }
}

}  // namespace safekit::membership
