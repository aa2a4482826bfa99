#include "controllers/role/effect.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "controllers/role/elapsed.h"
#include "controllers/role/memory_text.h"
#include "controllers/role/own_rules.h"
#include "controllers/role/synced.h"

namespace safekit::role {
namespace {

std::string memory_key(const ModuleName& module) { return "role.memory." + module.str(); }
std::string boot_key(const ModuleName& module) { return "role.boot." + module.str(); }
/// What must be known again even after power loss: was this copy one of a pair?
std::string paired_key(const ModuleName& module) { return "role.paired." + module.str(); }
/// As well: when both copies were last equal, ns of 1970.
std::string synced_key(const ModuleName& module) { return "role.synced." + module.str(); }

/// status::encode of the last move.
std::string move_key(const ModuleName& module) { return "role.move." + module.str(); }

std::optional<WallTime> time_from(const std::optional<std::string>& text) {
  WallTime time;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), time.ns).ec != std::errc{}) return std::nullopt;
  return time;
}

/// All but those of the replication controller.
std::vector<store::Operation> operations_of(const store::Store& store, const ModuleName& module) {
  std::vector<store::Operation> operations = store.pending(module);
  std::erase_if(operations, store::is_of_replication);
  return operations;
}

std::string unconfigured(const store::Store& store, const ModuleName& module, const status::ScriptSection& seen) {
  const auto spec = store.module(module);
  const auto object = store.get({store::Kind::Module, module.str()});
  const bool has_any = spec != nullptr && object && spec->scripts && spec->scripts->enabled &&
                       (spec->scripts->files.contains("config") || spec->scripts->files.contains("postconfig"));
  if (!has_any) return {};
  if (seen.configured != store::version_of(*object)) return "the scripts of its configuration are running: try again when they have ended";
  if (seen.unconfigured.empty()) return {};
  return fmt::format("its configuration failed here: {} (safekit describe module {} says more)", seen.unconfigured, module.str());
}

Observed observe(const store::Store& store, const ModuleName& module, WallTime now) {
  const status::Module& seen = store.status(module);
  return {.script = seen.script,
          .replication = seen.replication,
          .addresses = seen.addresses,
          .errd = seen.errd,
          .failover = seen.failover,
          .lease = seen.lease,
          .peer = seen.peer,
          .settings = seen.settings,
          .unconfigured = unconfigured(store, module, seen.script),
          .operations = operations_of(store, module),
          .wall_now = now};
}

status::LeaseSection::Witness witness_of(const spec::Checkers& checkers) {
  using Witness = status::LeaseSection::Witness;
  if (!checkers.has_witness()) return Witness::None;
  return checkers.has_leases() ? Witness::Grants : Witness::Reachable;
}

/// What a step that is under way waits for, where the machine itself has nothing to say.
std::string reason_of(const status::RoleSection& section, const status::Module& seen) {
  if (!section.reason.empty() || section.readiness != Readiness::Transient) return section.reason;
  if (!seen.replication.problem.empty()) return seen.replication.problem;
  return section.addresses_wanted ? seen.addresses.problem : std::string{};
}

status::Condition ready_condition(const status::RoleSection& section, const status::Module& seen) {
  return {.type = "Ready",
          .is_true = section.readiness == Readiness::Ready,
          .reason = std::string{status::to_string(section.role)},
          .message = reason_of(section, seen),
          .since = section.since};
}

/// What only shows: switches as they count now, and the rules of role's own that hold a start.
std::map<std::string, std::string> shown_resources(const Desired& desired, const status::Module& seen, const status::RoleSection& section) {
  const auto on = [](bool value) { return std::string{value ? "on" : "off"}; };
  std::map<std::string, std::string> shown{{"usersetting.errd", on(seen.settings.errd)},
                                           {"usersetting.checker", on(seen.settings.checker)},
                                           {"usersetting.failover", on(desired.failover && seen.settings.failover)},
                                           {"usersetting.boot", seen.settings.boot ? on(*seen.settings.boot) : desired.boot},
                                           {"usersetting.encryption", "on"}};
  for (const std::string_view label : kOwnRules) {
    // A rule that the user gave the same label is shown by who evaluates it.
    if (!seen.failover.verdicts.contains(std::string{label})) shown[fmt::format("rule.{}", label)] = section.waiting_for == label ? "true" : "false";
  }
  if (!desired.replicates) return shown;
  const bool swapping = section.in_service_hand_over || section.swap_requested || (seen.peer.heard && seen.peer.in_service_hand_over);
  shown["rfs.swapping"] = swapping ? "up" : "down";
  return shown;
}

}  // namespace

Desired desired_of(const spec::Module* module, const NodeName& node, std::uint64_t generation) {
  if (module == nullptr || std::find(module->nodes.begin(), module->nodes.end(), node) == module->nodes.end()) {
    return {.exists = false};
  }
  const auto boot = [](spec::BootPolicy policy) {
    switch (policy) {
      case spec::BootPolicy::On: return "on";
      case spec::BootPolicy::Auto: return "auto";
      case spec::BootPolicy::Off:
      case spec::BootPolicy::Ignore: return "off";  // no command has been given
    }
    return "off";
  };
  Desired desired{.mode = module->mode == spec::Mode::Mirror ? Mode::Mirror
                          : module->mode == spec::Mode::Farm ? Mode::Farm
                                                             : Mode::Light,
                  .replicates = module->replication.has_value() && !module->replication->directories.empty(),
                  .scripts = module->scripts && module->scripts->enabled,
                  .failover = module->failover,
                  .witness = witness_of(module->checkers),
                  .first_named = module->nodes.front() == node,
                  .max_loop = module->max_loop,
                  .loop_interval = module->loop_interval,
                  .automatic_reboot = module->automatic_reboot,
                  .boot = boot(module->boot.policy),
                  .generation = generation};
  if (module->replication) {
    desired.callbacks = desired.scripts && module->replication->callbacks;
    desired.sync_delta = module->replication->sync_delta;
    desired.sync_at = module->replication->sync_at;
    const auto& all = module->replication->directories;
    for (const auto& each : all) desired.directories += fmt::format("{}'{}'", desired.directories.empty() ? "" : ", ", each.path);
    desired.directories += all.size() == 1 ? " is" : ": one of them is";
  }
  if (module->scripts) {
    desired.nice_stop_limit = module->scripts->nice_stop_timeout;
    desired.force_stop_limit = module->scripts->force_stop_timeout;
  }
  if (module->default_primary == "lastprim") {
    desired.default_primary = Desired::DefaultPrimary::LastPrim;
  } else if (module->default_primary != "alone") {
    desired.default_primary = module->default_primary == node.str() ? Desired::DefaultPrimary::ThisNode
                                                                    : Desired::DefaultPrimary::OtherNode;
  }
  return desired;
}

RoleController::RoleController(const Ports& ports, std::string boot, LocalTime local,
                               std::function<void(const engine::Request&)> wake)
    : store_(ports.store), clock_(ports.clock), power_(ports.power), boot_(std::move(boot)), local_(std::move(local)),
      wake_(std::move(wake)) {}

void RoleController::adopt() {
  for (const ModuleName& module : store_.local_modules()) {
    const auto object = store_.get({store::Kind::Module, module.str()});
    publish(module, desired_of(store_.module(module).get(), store_.node(), object ? object->generation : 0),
            memory_of(module), {});
  }
}

Memory& RoleController::memory_of(const ModuleName& module) {
  const auto [it, is_new] = memories_.try_emplace(module);
  if (!is_new) return it->second;
  Memory& memory = it->second;
  bool goes_on = store_.fact(boot_key(module)) == boot_;
  if (const auto text = store_.fact(memory_key(module))) {
    if (auto kept = memory_from_text(*text)) {
      memory = std::move(*kept);
    } else {
      store_.record(module, "heart", 'W', kept.error().what);
      goes_on = false;
    }
  }
  if (!goes_on) memory = after_boot(memory, store_.fact(paired_key(module)) == "1");
  if (const auto text = store_.fact(move_key(module))) {
    store_.update_status(module, [&](status::Module& seen) { seen.last_move = status::decode_timeline(*text); });
  }
  // The others act upon a section only when it has been spoken.
  if (memory.section.since == WallTime{}) memory.section.since = clock_.wall_now();
  return memory;
}

std::optional<engine::Request> RoleController::wants(const store::Change& change) const {
  if (change.kind != store::Kind::Module) return std::nullopt;
  switch (change.what) {
    case store::Change::What::Object:
    case store::Change::What::Status:
    case store::Change::What::Operation: return engine::Request{change.name};
    case store::Change::What::Event:
    case store::Change::What::Peers: return std::nullopt;
  }
  return std::nullopt;
}

/// Durable before it is acted upon: the pairing mark, because a wrong one after power loss would start an old copy.
Status RoleController::keep(const ModuleName& module, const Memory& before, const Memory& after) {
  const char* const paired = after.section.paired ? "1" : "0";
  if (store_.fact(paired_key(module)) != paired) SK_TRY_VOID(store_.set_fact(paired_key(module), paired, true));
  if (before == after && store_.fact(boot_key(module)) == boot_) return {};
  SK_TRY_VOID(store_.set_fact(memory_key(module), to_text(after), false));
  return store_.set_fact(boot_key(module), boot_, false);
}

Result<SyncedStep> RoleController::note_synced(const ModuleName& module, const Desired& desired, const Observed& observed,
                                               const Memory& memory) {
  const auto kept = time_from(store_.fact(synced_key(module)));
  SyncedStep step = step_synced(synced_input(desired, observed, memory, kept));
  if (step.last && step.last != kept) SK_TRY_VOID(store_.set_fact(synced_key(module), std::to_string(step.last->ns), true));
  return step;
}

/// A text that is no crontab names no date; `apply` has warned, and the reason in WAIT shows it.
std::optional<Duration> RoleController::note_dates(const Desired& desired, const Memory& memory, Observed& observed) const {
  if (!follows_dates(desired, memory)) return std::nullopt;
  const auto crontab = Crontab::parse(desired.sync_at);
  if (!crontab) return std::nullopt;
  const auto looked = memory.sync_looked == WallTime{} ? std::nullopt : std::optional{memory.sync_looked};
  const Dates dates = look_at_dates(*crontab, looked, observed.wall_now, local_);
  observed.sync_date = dates.passed;
  observed.sync_looked = dates.looked;
  return dates.recheck_after;
}

void RoleController::publish(const ModuleName& module, const Desired& desired, const Memory& memory, const SyncedStep& synced) {
  store_.update_status(module, [&](status::Module& seen) {
    seen.name = module;
    seen.role = memory.section;
    seen.observed_generation = desired.generation;
    std::erase_if(seen.conditions, [](const status::Condition& condition) { return condition.type == "Ready"; });
    seen.conditions.insert(seen.conditions.begin(), ready_condition(memory.section, seen));
    const auto set = [&](const std::string& resource, std::string value, const char* source = "heart") {
      auto& slot = seen.resources[resource];
      if (slot.value != value || slot.source.empty()) slot = {std::move(value), clock_.wall_now(), source};
    };
    set("state.local", fmt::format("{} {}", status::to_string(memory.section.role), status::to_string(memory.section.readiness)));
    constexpr std::int64_t kSecond = 1'000'000'000;
    seen.resources["heart.stopstartloop"] = {std::to_string(memory.loop_began.ns / kSecond), memory.loop_last, "heart"};
    set("heart.maxloop", memory.loop_exceeded ? "true" : "false");
    for (auto& [resource, value] : shown_resources(desired, seen, memory.section)) set(resource, value);
    const auto set_if = [&](bool wanted, const std::string& resource, bool up, const char* source) {
      if (wanted) set(resource, up ? "up" : "down", source);
      if (!wanted) seen.resources.erase(resource);
    };
    set_if(synced.synced.has_value(), "rfs.synced", synced.synced.value_or(false), "syncedcheck");
    set_if(!desired.sync_at.empty() && desired.replicates, "rfs.syncat", memory.sync_due, "scheduler");
  });
}

void RoleController::note_move(const ModuleName& module, const Memory& before, const Memory& after, const Observed& observed) {
  const auto timeline = watch_move(moves_[module], before, after, observed, clock_.mono_now());
  if (!timeline) return;
  store_.record(module, "heart", 'E', fmt::format("Primary role taken by {}", status::describe(*timeline)));
  (void)store_.set_fact(move_key(module), status::encode(*timeline), false);  // it only shows
  store_.update_status(module, [&](status::Module& seen) { seen.last_move = timeline; });
}

/// What goes on after it is durable before.
Status RoleController::reboot(const ModuleName& module, const Memory& memory) {
  if (rebooting_) return {};
  SK_TRY_VOID(store_.set_fact(memory_key(module), to_text(memory), true));
  rebooting_ = true;
  power_.reboot([this](const Error& error) { reboot_failed(error.what); });
  return {};
}

/// The service returns by itself: what waited for the reboot starts without it.
void RoleController::reboot_failed(const std::string& why) {
  rebooting_ = false;
  for (auto& [module, memory] : memories_) {
    if (!memory.reboot) continue;
    memory.reboot = false;
    store_.record(module, "heartplug", 'C', fmt::format("The node is not rebooted, the module is started again: {}", why));
    wake_({module.str()});
  }
}

Result<engine::Outcome> RoleController::reconcile(const engine::Request& request) {
  const ModuleName module{request.name};
  const auto spec = store_.module(module);
  const auto object = store_.get({store::Kind::Module, module.str()});
  const Desired desired = desired_of(spec.get(), store_.node(), object ? object->generation : 0);
  if (!desired.exists && !memories_.contains(module) && !store_.fact(memory_key(module))) return engine::Outcome{};

  Memory& memory = memory_of(module);
  Observed observed = observe(store_, module, clock_.wall_now());
  SK_TRY(const SyncedStep synced, note_synced(module, desired, observed, memory));
  observed.synced = synced.synced.value_or(false);
  observed.elapsed = elapsed(desired, memory, observed.wall_now);
  const std::optional<Duration> next_date = note_dates(desired, memory, observed);
  Plan plan = decide(desired, observed, memory);
  SK_TRY_VOID(keep(module, memory, plan.memory));
  const Memory before = std::exchange(memory, std::move(plan.memory));
  for (Say& line : plan.lines) store_.record(module, std::move(line.component), line.level, std::move(line.text));
  note_move(module, before, memory, observed);
  publish(module, desired, memory, synced);
  for (const FinishedOperation& finished : plan.finished) SK_TRY_VOID(store_.finish(finished.id, finished.outcome));
  if (plan.reboot) SK_TRY_VOID(reboot(module, memory));

  if (!desired.exists && !memory.started) {
    for (const std::string& key : {memory_key(module), boot_key(module), synced_key(module), move_key(module)}) SK_TRY_VOID(store_.forget_fact(key));
    // The journal of the copy stays with its data. A copy in doubt must still be one if the module is applied again.
    if (!memory.section.paired) SK_TRY_VOID(store_.forget_fact(paired_key(module)));
    memories_.erase(module);
    moves_.erase(module);
    store_.forget_status(module);
    return engine::Outcome{};
  }
  // A primary without its stream looks at the clock as well (Machine::let_go_alone).
  const bool primary = memory.section.role == Role::Prim || memory.section.role == Role::Alone;
  const bool without_peer = primary && desired.replicates && !observed.replication.connected && observed.peer.heard;
  std::optional<Duration> again = without_peer ? std::optional<Duration>{seconds{1}} : std::nullopt;
  for (const auto& after : {synced.recheck_after, next_date}) {
    if (after && (!again || *after < *again)) again = after;
  }
  return engine::Outcome{.requeue_after = again};
}

}  // namespace safekit::role
