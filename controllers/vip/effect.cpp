#include "controllers/vip/effect.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::vip {
namespace {

constexpr int kRoundsMax = 3;

std::string fact_key(const std::string& module) {
  return "vip/" + module;
}

}  // namespace

VipController::VipController(store::Store& store, const Clock& clock, Interfaces& interfaces, Wake wake)
    : store_(store), clock_(clock), interfaces_(interfaces), wake_(std::move(wake)) {
  interfaces_.on_change([this] {
    for (const auto& [module, live] : modules_) wake_(engine::Request{module});
  });
}

std::optional<engine::Request> VipController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> VipController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  const ModuleName name{module};
  if (store_.status(name).role.since == WallTime{}) return engine::Outcome{};
  Live& live = modules_[module];
  load(module, live);
  const Desired desired = desire(name);
  Plan plan;
  bool again = true;
  for (int round = 0; again && round < kRoundsMax; ++round) {  // an address set now is announced now
    again = false;
    SK_TRY(const auto interfaces, interfaces_.list());
    plan = decide(desired, interfaces, live.memory, clock_.mono_now());
    SK_TRY_VOID(remember(module, live, plan.memory));
    for (const Action& action : plan.actions) {
      auto changed = apply(module, action);
      if (!changed) {
        plan.section.problem = changed.error().what;
        store_.update_status(name, [&](status::Module& m) { m.addresses = plan.section; });
        return std::move(changed).error();
      }
      again = again || *changed;
    }
  }
  if (again) plan.recheck_after = seconds{1};
  if (!live.memory.unheard.empty()) plan.recheck_after = std::min(plan.recheck_after.value_or(kAnnounceAgain), kAnnounceAgain);
  store_.update_status(name, [&](status::Module& m) { m.addresses = plan.section; });
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

Desired VipController::desire(const ModuleName& name) const {
  Desired desired;
  const status::Module& module = store_.status(name);
  const bool by_hand = module.script.by_hand && module.role.role == status::Role::Stop;
  desired.wanted = module.role.addresses_wanted || by_hand;
  // A start that an owner elsewhere holds up (WAIT NotReady) goes on asking: it goes on when the address is free.
  desired.starting = module.role.role == status::Role::Wait &&
                     (module.role.readiness == status::Readiness::Transient || module.addresses.in_use_elsewhere);
  desired.stopped = module.role.role == status::Role::Stop;
  desired.peer_serves = module.peer.heard && module.peer.module_known && status::is_serving(module.peer.role);
  if (const auto spec = store_.module(name)) {
    Wishes wishes = wishes_of(*spec);
    desired.addresses = std::move(wishes.addresses);
    desired.problem = std::move(wishes.problem);
    desired.tcp_reset = spec->vip && spec->vip->tcp_reset;
  } else if (desired.wanted) {
    // The module was deleted and is being stopped: its addresses stay until the application is down.
    for (const Held& held : modules_.at(name.str()).memory.held) {
      desired.addresses.push_back(
          {.ip = held.address.ip, .interface = {}, .prefix = held.address.prefix_length});
    }
  }
  return desired;
}

void VipController::load(const std::string& module, Live& live) {
  if (live.loaded) return;
  live.loaded = true;
  if (const auto text = store_.fact(fact_key(module))) live.memory.held = decode(*text);
}

Status VipController::remember(const std::string& module, Live& live, const Memory& memory) {
  const bool same = memory.held == live.memory.held;
  live.memory = memory;
  if (same) return {};
  // Not durable: with the power the addresses go as well.
  if (memory.held.empty()) return store_.forget_fact(fact_key(module));
  return store_.set_fact(fact_key(module), encode(memory.held), false);
}

Result<bool> VipController::apply(const std::string& module, const Action& action) {
  struct Visitor {
    VipController& self;
    const std::string& module;
    void say(const char* what, const IpAddress& ip) const {
      self.store_.record(ModuleName{module}, "vipplug", 'I',
                         fmt::format("Virtual IP <ip {} of {}> {}", to_string(ip), module, what));
    }
    Result<bool> operator()(const AddAddress& add) const {
      if (auto done = self.interfaces_.add_address(add.index, add.address); !done) {
        return Error{done.error().code, fmt::format("cannot set virtual address {}: {}",
                                                    to_string(add.address.ip), done.error().what)};
      }
      say("set", add.address.ip);
      return true;
    }
    Result<bool> operator()(const RemoveAddress& remove) const {
      if (remove.reset_connections) {
        // The clients' connections then end by their own time-outs, which is no reason to keep the address.
        (void)self.interfaces_.reset_connections(remove.address.ip);
      }
      if (auto done = self.interfaces_.remove_address(remove.index, remove.address); !done) {
        return Error{done.error().code, fmt::format("cannot remove virtual address {}: {}",
                                                    to_string(remove.address.ip), done.error().what)};
      }
      say("unset", remove.address.ip);
      return true;
    }
    Result<bool> operator()(const Announce& announce) const {
      // Others follow, so an interface just down is no error. But a guard that keeps the address silent until this node has
      // the right to it may outlast all of them: nobody would learn where the address is.
      const auto done = self.interfaces_.announce(announce.index, announce.ip);
      auto& unheard = self.modules_[module].memory.unheard;
      if (!done && done.error().code == Code::Unavailable)
        unheard.insert(announce.ip);
      else
        unheard.erase(announce.ip);
      return false;
    }
    Result<bool> operator()(const AskOwner& question) const {
      self.ask(module, question);
      return false;
    }
  };
  return std::visit(Visitor{*this, module}, action);
}

void VipController::ask(const std::string& module, const AskOwner& question) {
  const auto answered = [this, module, ip = question.ip](const std::optional<MacAddress>& owner) {
    Memory& memory = modules_[module].memory;
    const auto probe = memory.probes.find(ip);
    if (probe == memory.probes.end()) return;  // the module was stopped meanwhile
    probe->second.state = owner ? Probe::State::Taken : Probe::State::Free;
    probe->second.owner = owner ? to_string(*owner) : std::string{};
    wake_(engine::Request{module});
  };
  // Where it cannot be asked (an interface that knows no ARP), nobody answers.
  if (!interfaces_.probe(question.index, question.ip, kProbeWait, answered)) answered(std::nullopt);
}

}  // namespace safekit::vip
