#include "controllers/role/plan.h"

#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/sequences.h"
#include "controllers/role/sync_at.h"

namespace safekit::role {
namespace {

/// More moves than the longest chain of steps that can all be done at once; a plan that needs more would be a loop.
constexpr int kMovesMax = 200;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

Memory after_boot(const Memory& before, bool paired) {
  Memory memory{.last_primary = before.last_primary, .runs = before.runs};
  memory.section.paired = paired;
  if (before.reboot && before.stopping && before.start_again) {
    // A cause that the reboot has not cured must come to the limit.
    memory.section.loop_count = before.section.loop_count;
    memory.loop_began = before.loop_began;
    memory.loop_last = before.loop_last;
    memory.started = memory.stopping = memory.start_again = true;
  }
  return memory;
}

Plan decide(const Desired& desired, const Observed& observed, const Memory& memory) {
  Machine machine{desired, observed, memory};
  machine.take_dates();
  machine.take_operations();
  int moves = 0;
  const auto moved = [&machine] {
    return machine.take_requests() || machine.note_partner() || machine.let_go_alone() || machine.advance() || machine.at_rest();
  };
  while (moved() && moves < kMovesMax) ++moves;
  SK_ASSERT(moves < kMovesMax);
  machine.drop_dates();
  machine.settle_lease();
  return machine.take();
}

void Machine::say(std::string_view component, char level, std::string text) {
  plan_.lines.push_back({std::string{component}, level, std::move(text)});
}

void Machine::enter(Role role, Readiness readiness) {
  if (section().role == role && section().readiness == readiness) return;
  const auto serves = [this] { return is_ready() && status::is_serving(section().role); };
  const bool served = serves();
  section().role = role;
  section().readiness = readiness;
  section().since = observed_.wall_now;
  if (!serves()) section().serving_since = {};
  if (serves() && !served) section().serving_since = observed_.wall_now;
  elapsed_.reconnect_grace = false;
  section().waiting_for.clear();
  section().evidence.clear();
  section().reason = memory().stopping ? memory().fault : std::string{};
  if (readiness == Readiness::Ready && role != Role::Up) memory().last_primary = role != Role::Second;
  // The synchronisation that was asked for has ended.
  if (readiness == Readiness::Ready && (role == Role::Second || role == Role::Prim)) memory().full_resync = false;
  const bool at_limit = memory().loop_exceeded && memory().stopping;
  if (at_limit && role == Role::Stop) say("heartplug", 'C', "Action stop called by maxloop");
  say("heart", 'E', fmt::format("Local state {} {}", status::to_string(role), status::to_string(readiness)));
  if (at_limit && is_running()) say("heartplug", 'C', "Action stop called by heart : local fault");
}

void Machine::take_dates() {
  Memory& m = memory();
  if (!follows_dates(desired_, m)) return;
  if (observed_.sync_date && !m.sync_due) say("rfsplug", 'E', "Resource rfs.syncat set to up by scheduler");
  m.sync_due = m.sync_due || observed_.sync_date;
  m.sync_looked = observed_.sync_looked;
}

/// Who has become primary, or was stopped, waits for none.
void Machine::drop_dates() {
  if (follows_dates(desired_, memory())) return;
  memory().sync_due = false;
  memory().sync_looked = {};
}

void Machine::begin(std::deque<Step> steps) {
  memory().steps = std::move(steps);
  memory().head_begun = false;
}

void Machine::begin_start(Intent intent) {
  Memory& m = memory();
  m.started = true;
  m.stopping = m.forced = m.reboot = false;
  m.fault.clear();
  m.intent = intent;
  m.newcomer = true;
  m.newcomer_was_primary = m.last_primary;
  m.stop_requested = false;
  section().wants_primary = intent == Intent::Prim || intent == Intent::PrimForce;
  section().came_from_second = false;
  m.alone_by = AloneBy::Peer;
  m.gives_way = false;
  begin(steps_start(desired_));
}

/// Both nodes are being stopped (`safekit stop -H "*"`): nobody goes on, and if both copies were marked none could start again.
bool Machine::peer_leaves_too() const {
  const auto& peer = observed_.peer;
  const Role partner = section().role == Role::Second ? Role::Prim : Role::Second;
  return peer.heard && peer.role == partner && peer.readiness == Readiness::Transient;
}

/// How the replica is left by a stop, so that at most one node may start alone afterwards: a secondary knows that its
/// primary goes on without it, and a primary that the peer takes over. Unmarked, a copy stays in doubt (`paired`).
/// See settle_leaving.
ReplicaOrder Machine::order_when_leaving() const {
  ReplicaOrder order{.role = ReplicaOrder::Role::Idle};
  order.mark_out_of_date = section().role == Role::Second ? !plan_.memory.held_by_failover_off : peer_takes_over();
  return order;
}

/// What a heartbeat said of the peer may be of before its end: only the living stream shows that it has everything.
bool Machine::peer_takes_over() const {
  const auto& replica = observed_.replication;
  return failover_on() && peer_is_complete() && !replica.waiting_for_alone;
}

/// The scripts of a stop take their time. Whether the peer has everything, leaves as well or has died is asked when the copy
/// is left, or a marked copy might be the only whole one, and an unmarked one be older than the peer's.
void Machine::settle_leaving(ReplicaOrder& order) {
  const auto& peer = observed_.peer;
  const bool peer_serves = peer.heard && peer.module_known && status::is_serving(peer.role);
  // A secondary whose primary serves no more (it died, or handed over and nobody took the role) may have the newest copy.
  order.mark_out_of_date = order.mark_out_of_date && peer_serves;
  if (section().role != Role::Second) order.mark_out_of_date = order.mark_out_of_date || peer_takes_over();
  if (peer_leaves_too()) order.mark_out_of_date = false;
  // Whether a secondary that is there has become complete, and takes over, may not be known here: then this copy stays in doubt.
  // That it is inconsistent may have been said before a synchronisation ended; only this side's living replica knows of the end.
  const auto& replica = observed_.replication;
  const bool end_is_known = replica.alive && !replica.died && !replica.waiting_for_alone;
  // Who is silent may have gone on, where there is a witness that lets it: what was noted of it stands.
  const bool peer_may_be_complete =
      peer.heard ? peer.role == Role::Second && (replica.connected || !peer.inconsistent || !end_is_known)
                 : has_granting_witness() && (replica.connected || !end_is_known);
  if (section().role == Role::Alone && !peer_may_be_complete) section().paired = false;
}

void Machine::begin_stop(std::string_view word, bool start_again) {
  Memory& m = memory();
  const ReplicaOrder order = order_when_leaving();
  m.stop_requested = false;
  m.stopping = true;
  m.start_again = start_again;
  m.stop_word = std::string{word};
  section().swap_requested = false;
  section().in_service_hand_over = false;
  section().out_of_date_requested = false;
  section().asked_pairing = 0;
  section().wants_primary = false;
  begin(steps_stop(desired_, section().role, word, order));
}

bool Machine::is_updating() const {
  const auto& steps = plan_.memory.steps;
  const auto* script = steps.empty() ? nullptr : std::get_if<RunScript>(&steps.front());
  return script != nullptr && script->name == kUpdate;
}

bool Machine::stop_as_requested() {
  const Memory& m = memory();
  if (!m.stop_requested || m.stopping) return false;
  begin_stop(m.stop_requested_again ? "stopstart" : "stop", m.stop_requested_again);
  return true;
}

void Machine::stop_for_fault(std::string cause) {
  begin_stop("stop", false);
  section().reason = memory().fault = std::move(cause);
}

// Steps.

void Machine::begin_step(const Step& step) {
  Memory& m = memory();
  m.head_begun = true;
  std::visit(Overloaded{
                 [&](const EnterState& to) { enter(to.role, to.readiness); },
                 [&](const RunScript& script) {
                   // forcestop is for a stop that has no effect: no script holds it up for ever.
                   const bool hurries = m.forced && script.limit.count() == 0;
                   section().script = status::ScriptOrder{.run = ++m.runs,
                                                          .name = script.name,
                                                          .arguments = script.arguments,
                                                          .time_limit = hurries ? desired_.force_stop_limit : script.limit};
                 },
                 [&](const Watch& watch) { section().watched = watch.classes; },
                 [&](const OrderReplica& replica) { section().replica = replica.order; },
                 [&](const SetAddresses& addresses) { section().addresses_wanted = addresses.wanted; },
             },
             step);
}

bool Machine::is_done(const Step& step) const {
  const auto& role_section = section();
  const auto& replica = observed_.replication;
  return std::visit(
      Overloaded{
          [](const EnterState&) { return true; },
          [&](const RunScript&) {
            return role_section.script && observed_.script.run == role_section.script->run && observed_.script.finished;
          },
          [](const Watch&) { return true; },
          [&](const OrderReplica& wanted) {
            if (wanted.order.role == ReplicaOrder::Role::None) return !replica.alive;
            if (plan_.memory.forced) return true;
            // What cannot run has nothing to be left in order; a stop must not wait for it.
            if (plan_.memory.stopping && replica.fatal && replica.order == wanted.order) return true;
            return replica.alive && replica.settled && replica.order == wanted.order;
          },
          [&](const SetAddresses& addresses) {
            if (plan_.memory.forced) return true;
            return addresses.wanted ? observed_.addresses.all_set : observed_.addresses.all_unset;
          },
      },
      step);
}

/// A step that can never be done ends a start; a stop goes on, because it must free what it can.
std::optional<std::string> Machine::failure_of(const Step& step) const {
  if (plan_.memory.stopping) return std::nullopt;
  if (const auto* wanted = std::get_if<OrderReplica>(&step)) {
    const auto& replica = observed_.replication;
    if (wanted->order.role == ReplicaOrder::Role::None) return std::nullopt;
    if (replica.fatal && replica.order == wanted->order) return replica.problem;
  }
  if (const auto* addresses = std::get_if<SetAddresses>(&step); addresses != nullptr && addresses->wanted) {
    // Who had the address when the module started does not matter any more: a failover does not wait for a hung primary.
    const auto& seen = observed_.addresses;
    if (!seen.problem.empty() && !seen.in_use_elsewhere) return seen.problem;
  }
  return std::nullopt;
}

std::optional<std::string> Machine::refusal_of(const Step& step) const {
  const auto* script = std::get_if<RunScript>(&step);
  const auto& ended = observed_.script;
  if (script == nullptr || script->name != kCallback || ended.missing || ended.exit_code == 0) return std::nullopt;
  return fmt::format("callback {} ended with exit code {}, its output is in {}", script->arguments.front(), ended.exit_code,
                     ended.output_file);
}

void Machine::end_step(const Step& step) {
  if (std::holds_alternative<RunScript>(step)) {
    const auto& script = observed_.script;
    if (script.timed_out) {
      say("userplug", 'C', fmt::format("Script {} did not end within its time limit and was killed", section().script->name));
    }
    // The script that asked for this stop says by its exit code what went wrong.
    Memory& m = memory();
    if (m.stop_requested && !m.fault.empty() && script.exit_code != 0 && !script.missing) {
      m.fault += fmt::format("; script {} ended with exit code {}", section().script->name, script.exit_code);
      if (!script.output_file.empty()) m.fault += ", its output is in " + script.output_file;
    }
    section().script.reset();
  }
  if (const auto* replica = std::get_if<OrderReplica>(&step)) {
    const bool promoted = replica->order.role == ReplicaOrder::Role::Primary && section().readiness == Readiness::Transient;
    if (promoted) say("rfsplug", 'E', "Uptodate replicated file system");
  }
}

bool Machine::advance() {
  Memory& m = memory();
  if (m.steps.empty()) return false;
  if (!m.head_begun) {
    if (stop_as_requested()) return true;
    auto* replica = std::get_if<OrderReplica>(&m.steps.front());
    if (replica != nullptr && m.stopping && replica->order.role == ReplicaOrder::Role::Idle) settle_leaving(replica->order);
    const Step step = m.steps.front();
    begin_step(step);
    return true;
  }
  if (is_done(m.steps.front())) {
    const auto refusal = refusal_of(m.steps.front());
    end_step(m.steps.front());
    m.steps.pop_front();
    m.head_begun = false;
    if (refusal) {
      say("heart", 'C', fmt::format("Action stop called by heart : local fault ({})", *refusal));
      stop_for_fault(*refusal);
    }
    return true;
  }
  // A mount or an address may be tried for ever: who asks for a stop does not wait for it. A script ends first, for it may
  // itself have asked (spec/runtime.md 2.4).
  if (!std::holds_alternative<RunScript>(m.steps.front()) && stop_as_requested()) return true;
  if (std::holds_alternative<OrderReplica>(m.steps.front()) && observed_.replication.died && !m.stopping) {
    say("rfsplug", 'C', "Action stopstart called by heart: the replication process died");
    if (count_action()) begin_stop("stopstart", true);
    return true;
  }
  if (const auto failure = failure_of(m.steps.front())) {
    say("heart", 'C', fmt::format("Action stop called by heart : local fault ({})", *failure));
    stop_for_fault(*failure);
    return true;
  }
  return false;
}

}  // namespace safekit::role
