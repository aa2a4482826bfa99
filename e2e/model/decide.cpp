// What a node's machine sees, and what it decides.
#include <fmt/format.h>

#include "controllers/membership/plan.h"
#include "controllers/role/elapsed.h"
#include "controllers/role/memory_text.h"
#include "controllers/role/own_rules.h"
#include "e2e/model/world.h"

namespace safekit::model {
namespace {

constexpr WallTime kNow{100'000'000'000};
constexpr WallTime kSome{1};  ///< in tables: any time
constexpr Duration kYoung = milliseconds{1};
constexpr Duration kOld = seconds{60};  ///< more than any grace time
constexpr MonoTime kMono{1'000'000'000'000};
constexpr Duration kTimeout = seconds{1};

constexpr std::uint16_t kSeen = kScriptEnded | kRuns | kDied | kWaiting | kSynchronised | kUnverified | kRefused | kBlind | kAddresses |
                                kLate | kDoubtLate;
constexpr std::uint16_t kSaid = kRuns | kDied | kRefused | kBlind;
constexpr Duration kTimeLimit = seconds{1};
constexpr const char* kStopPrim = "stop_prim";

WallTime ago(bool old) { return WallTime{kNow.ns - (old ? kOld : kYoung).count()}; }

/// Nothing is decided by a script's name, arguments or how long its limit is; only that of the primary may wait for the disk.
void forget_texts(std::string& name, std::vector<std::string>& arguments, Duration& limit) {
  if (name != kStopPrim) name = "script";
  arguments.clear();
  if (limit.count() != 0) limit = kTimeLimit;
}

/// Scripts that follow one another are one that takes as long.
void shorten(std::deque<role::Step>& steps) {
  std::deque<role::Step> kept;
  for (role::Step& step : steps) {
    if (auto* script = std::get_if<role::RunScript>(&step)) forget_texts(script->name, script->arguments, script->limit);
    const bool repeats = !kept.empty() && std::holds_alternative<role::RunScript>(step) && kept.back() == step;
    if (!repeats) kept.push_back(std::move(step));
  }
  steps = std::move(kept);
}

/// All that decisions depend on, and nothing else.
role::Memory reduced(role::Memory memory, bool remembers_primary) {
  auto& section = memory.section;
  section.since = kSome;
  section.serving_since = {};
  section.reason.clear();
  section.evidence.clear();
  if (section.script) {
    section.script->run = 1;
    forget_texts(section.script->name, section.script->arguments, section.script->time_limit);
  }
  memory.runs = section.script ? 1 : 0;
  shorten(memory.steps);
  if (memory.doubted != WallTime{}) memory.doubted = kSome;
  if (!memory.fault.empty()) memory.fault = "fault";
  memory.stop_word.clear();
  memory.loop_began = memory.loop_last = {};
  memory.split_brain_noted = false;
  if (!remembers_primary) memory.last_primary = memory.newcomer_was_primary = memory.newcomer = false;
  return memory;
}

membership::Desired heartbeat_of(std::string name) {
  return {.peer = NodeName{std::move(name)}, .heartbeats = {{.ident = "lan", .lan = LanName{"lan"}, .timeout = kTimeout}}};
}

std::string key_of(const status::PeerSection& peer) {
  std::string key;
  for (const bool flag : {peer.heard, peer.silence_known, peer.absence_known, peer.module_known, peer.up_to_date, peer.inconsistent,
                          peer.ever_synchronised, peer.has_data, peer.last_primary, peer.replicates, peer.paired, peer.in_service_hand_over,
                          peer.swap_requested, peer.out_of_date_requested, peer.marked_out_of_date, peer.wants_primary,
                          peer.came_from_second, peer.holds_lease}) {
    key += flag ? '1' : '0';
  }
  return key + fmt::format("{} {} {} {} {} {}", int(peer.role), int(peer.readiness), peer.asked_pairing, peer.answered_pairing,
                           peer.generation, peer.name.str());
}

}  // namespace

World::World(Options options) : options_(std::move(options)) {
  using DefaultPrimary = role::Desired::DefaultPrimary;
  using Witness = status::LeaseSection::Witness;
  for (int i = 0; i < 2; ++i) {
    auto wanted = options_.default_primary;
    if (wanted == DefaultPrimary::ThisNode && i == 1) wanted = DefaultPrimary::OtherNode;
    // Without a limit of corrective actions: a module that has stopped for good is no deadlock.
    desired_[i] = {.replicates = true, .failover = options_.failover,
                    .witness = options_.witness ? Witness::Grants : Witness::None, .default_primary = wanted, .first_named = i == 0, .loop_interval = {}};
  }
  (void)number_of(status::ReplicaOrder{});
  (void)number_of(status::PeerSection{});
}

World::Remembered World::remembered(role::Memory memory) const {
  Remembered one{.value = std::move(memory)};
  const auto note = [&](const status::ReplicaOrder& order) {
    one.slots.push_back({.own = order.role == status::ReplicaOrder::Role::Primary, .value = order.pairing});
  };
  one.slots.push_back({.own = true, .value = one.value.section.asked_pairing});
  note(one.value.section.replica);
  for (const role::Step& step : one.value.steps) {
    if (const auto* order = std::get_if<role::OrderReplica>(&step)) note(order->order);
  }
  one.stops_application = one.value.section.script && one.value.section.script->name == kStopPrim;
  return one;
}

std::uint32_t World::number_of(role::Memory memory) {
  using DefaultPrimary = role::Desired::DefaultPrimary;
  memory = reduced(std::move(memory), options_.default_primary != DefaultPrimary::Alone);
  std::string key = role::to_text(memory);
  return memories_.number_of(remembered(std::move(memory)), std::move(key));
}

std::uint32_t World::number_of(const status::PeerSection& peer) { return heard_.number_of(peer, key_of(peer)); }

std::uint16_t World::number_of(const status::ReplicaOrder& order) {
  return static_cast<std::uint16_t>(
      orders_.number_of(order, fmt::format("{}{:d}{:d}{:d}{:d}{:d}{:d} {}", int(order.role), order.may_be_alone, order.mark_out_of_date,
                                           order.force_up_to_date, order.full_resync, order.by_lease, order.peer_left, order.pairing)));
}

status::ReplicationSection World::replication_of(const State& state, int node) const {
  const Side& side = state.sides[node];
  const bool seen = has(side, kRuns) && !has(side, kBlind);
  return {.configured = true,
          .order = orders_[side.taken],
          .alive = seen,
          .died = has(side, kDied),
          .settled = seen && !has(side, kRefused),
          .up_to_date = has(side, kUpToDate),
          .inconsistent = has(side, kInconsistent),
          .ever_synchronised = has(side, kEver),
          .has_data = side.data > 0,
          .last_primary = has(side, kLastPrimary),
          .connected = seen && has(state, kConnected),
          .peer_synchronised = seen && has(side, kSynchronised),
          .unverified = seen && has(side, kUnverified),
          .waiting_for_alone = seen && has(side, kWaiting),
          .generation = side.generation,
          .pairing = side.pairing,
          .problem = has(side, kRefused) ? "this copy must not be primary" : "",
          .fatal = has(side, kRefused)};
}

std::optional<std::uint32_t> World::said_by(const State& state, int node) {
  const Side& side = state.sides[node];
  const bool holds = answer_of(state, node) == status::LeaseSection::Answer::Granted;
  const Key key{.a = std::uint64_t{side.memory} << 32 | side.heard,
                .b = std::uint64_t{side.taken} << 32 | static_cast<std::uint64_t>(side.flags & kSaid) << 16 | side.marks,
                .c = std::uint64_t{holds} << 24 | std::uint64_t{side.generation} << 16 | std::uint64_t{side.data > 0} << 8 |
                     static_cast<std::uint64_t>(node)};
  const auto [found, is_new] = said_.try_emplace(key);
  if (!is_new) return found->second;
  status::Module module{.name = ModuleName{"m"}, .role = memory(state, node).section, .replication = replication_of(state, node),
                        .lease = {.witness = desired_[node].witness, .answer = answer_of(state, node)}, .peer = heard_[side.heard]};
  const auto entry = membership::entry_of(module, true);
  if (!entry) return std::nullopt;
  membership::Observed observed{.entry = entry, .payload_seen = true};
  observed.links[LanName{"lan"}] = {.heard = kMono, .listening_since = MonoTime{1}};
  return found->second = number_of(membership::decide(heartbeat_of(node == 0 ? "node0" : "node1"), observed, kMono).peer);
}

std::uint32_t World::silence_of(std::uint32_t heard) {
  if (const auto known = silences_.find(heard); known != silences_.end()) return known->second;
  membership::Observed observed{.payload_seen = true, .before = heard_[heard]};
  observed.links[LanName{"lan"}] = {.heard = kMono - seconds{30}, .listening_since = MonoTime{1}};
  const std::uint32_t silence = number_of(membership::decide(heartbeat_of("peer"), observed, kMono).peer);
  silences_[heard] = silences_[silence] = silence;
  return silence;
}

role::Memory World::with_times(const Side& side) const {
  role::Memory memory = memories_[side.memory].value;
  memory.section.since = ago(has(side, kLate));
  if (memory.doubted != WallTime{}) memory.doubted = ago(has(side, kDoubtLate));
  return memory;
}

World::Decided World::decide_once(const State& state, int node, Kind verb) {
  const Side& side = state.sides[node];
  const Key key{.a = std::uint64_t{side.memory} << 32 | side.heard,
                .b = std::uint64_t{side.taken} << 48 | static_cast<std::uint64_t>(side.flags & kSeen) << 32 |
                     std::uint64_t{side.marks} << 24 | std::uint64_t{side.generation} << 16 | std::uint64_t{side.pairing} << 8 |
                     static_cast<std::uint64_t>(verb),
                .c = static_cast<std::uint64_t>(state.leases[node] & (kAnswer | kRuleDown)) << 24 | std::uint64_t{has(state, kConnected)} << 16 | std::uint64_t{side.data > 0} << 8 | static_cast<std::uint64_t>(node)};
  const auto [found, is_new] = decided_.try_emplace(key);
  if (!is_new) return found->second;
  role::Observed observed{.replication = replication_of(state, node),
                          .lease = {.witness = desired_[node].witness, .answer = answer_of(state, node)},
                          .peer = heard_[side.heard], .wall_now = kNow};
  const role::Memory before = with_times(side);
  observed.elapsed = role::elapsed(desired_[node], before, kNow);
  const bool ended = has(side, kScriptEnded);
  if (before.section.script) observed.script = {.run = 1, .running = !ended, .finished = ended};
  observed.addresses = {.all_set = has(side, kAddresses), .all_unset = !has(side, kAddresses), .probed = true};
  observed.failover.watched = before.section.watched;
  if (has(state, node, kRuleDown)) observed.failover.wait_rules_true = {std::string{role::kSplitBrainFailure}};
  if (is_command(verb)) {
    const std::string_view words = to_string(verb);
    observed.operations = {{.id = 1, .verb = std::string{words.substr(words.find(' ') + 1)}, .caller = "root"}};
  }
  if (options_.see) options_.see(observed);
  role::Plan plan = role::decide(desired_[node], observed, before);
  if (options_.plan) options_.plan(before, plan);
  const role::Memory& after = plan.memory;
  Decided decided{.new_script = after.section.script && (!before.section.script || after.section.script->run != before.section.script->run),
                  .entered = after.section.since == kNow,
                  .doubt_began = after.doubted == kNow};
  if (!options_.plan && !options_.see) {
    observed.operations.clear();
    observed.elapsed = role::elapsed(desired_[node], after, kNow);
    const role::Memory again = role::decide(desired_[node], observed, after).memory;
    if (again != after) {
      const auto text = [](const role::Memory& memory) {
        const auto& s = memory.section;
        return fmt::format("{} {} {} steps paired {:d} asks {:d} {} order {} {:d} {:d} {} doubted {}", to_string(s.role), to_string(s.readiness),
                           memory.steps.size(), s.paired, s.out_of_date_requested, s.asked_pairing, int(s.replica.role), s.replica.may_be_alone,
                           s.replica.mark_out_of_date, s.replica.pairing, memory.doubted.ns);
      };
      broken_ = fmt::format("deciding again with the same inputs changed something: {} -> {}", text(after), text(again));
    }
  }
  decided.memory = number_of(plan.memory);
  return decided_[key] = decided;
}

void World::decide(State& state, int node, Kind verb) {
  Side& side = state.sides[node];
  for (;;) {
    const Decided decided = decide_once(state, node, verb);
    const std::uint32_t before = side.memory;
    side.memory = decided.memory;
    const Remembered& now = memories_[side.memory];
    if (decided.new_script || !now.value.section.script) set(side, kScriptEnded, false);
    if (decided.entered) set(side, kLate, false);
    if (decided.doubt_began || now.value.doubted == WallTime{}) set(side, kDoubtLate, false);
    const bool addresses = now.value.section.addresses_wanted;
    const bool watches_more = memories_[before].value.section.watched != now.value.section.watched;
    if (addresses == has(side, kAddresses) && !watches_more) return;
    set(side, kAddresses, addresses);
    verb = Kind::Hear;
  }
}

}  // namespace safekit::model
