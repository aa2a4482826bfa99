// The explorer finds no broken promise in the real machine, and finds each rule that is broken on purpose. docs/proof.md has the figures of
// longer explorations (safekit-model).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/model/explore.h"

namespace safekit::model {
namespace {

using ::testing::HasSubstr;
using OrderRole = status::ReplicaOrder::Role;

/// All kinds of faults and commands but these never happen.
Options only(std::initializer_list<Kind> kinds, std::uint8_t faults, std::uint8_t commands) {
  Options options{.faults = faults, .commands = commands};
  for (auto kind = static_cast<std::uint8_t>(Kind::Crash); kind <= static_cast<std::uint8_t>(kKindLast); ++kind) {
    const bool ends_a_fault = is_fault(static_cast<Kind>(kind)) && !is_counted(static_cast<Kind>(kind));
    const bool wanted = std::find(kinds.begin(), kinds.end(), static_cast<Kind>(kind)) != kinds.end();
    if (!wanted && !ends_a_fault) options.without.push_back(static_cast<Kind>(kind));
  }
  return options;
}

std::string text_of(const Found& found) {
  std::string text = fmt::format("{} states, depth {}: {}\n", found.states, found.depth, found.broken);
  for (const std::string& line : found.trace) text += line + "\n";
  return text;
}

void expect_sound(Options options, const Limits& limits) {
  World world{std::move(options)};
  const Found found = explore(world, limits);
  EXPECT_EQ(found.broken, "") << text_of(found);
  EXPECT_GT(found.states, 1000U);
  fmt::print("{} states, {} transitions, depth {}{}, {} states on ways back; {}\n", found.states, found.transitions, found.depth,
             found.closed ? " (closed)" : "", found.settled, world.figures());
}

void expect_found(Options options, const std::string& promise, bool settles) {
  World world{std::move(options)};
  const Found found = explore(world, {.states_max = 400'000, .settles = settles});
  EXPECT_THAT(found.broken, HasSubstr(promise)) << text_of(found);
  fmt::print("found after {} states, in {} steps: {}\n", found.states, found.trace.size(), found.broken);
}

/// Every order to the replica that a decision holds.
void for_orders(role::Plan& plan, const std::function<void(status::ReplicaOrder&)>& change) {
  change(plan.memory.section.replica);
  for (role::Step& step : plan.memory.steps) {
    if (auto* one = std::get_if<role::OrderReplica>(&step)) change(one->order);
  }
}

}  // namespace

TEST(RoleModel, APairStartsWhateverTheOrderOfEvents) { expect_sound(only({Kind::Start}, 0, 2), {}); }

TEST(RoleModel, OneFaultOfAnyKindBreaksNoPromise) {
  expect_sound(only({Kind::Start, Kind::Crash, Kind::KillReplica, Kind::RestartDaemon, Kind::CutStream}, 1, 2), {.states_max = 120'000});
}

TEST(RoleModel, CommandsOfAnyKindBreakNoPromise) {
  expect_sound(only({Kind::Start, Kind::Stop, Kind::StopStart, Kind::Swap, Kind::Restart, Kind::Second, Kind::Prim, Kind::PrimForce,
                     Kind::ForceStop},
                    0, 3),
               {.states_max = 120'000});
}

TEST(RoleModel, ACutOfAllLinksHealsToAPair) {
  Options options = only({Kind::Start, Kind::CutStream, Kind::CutHeartbeats}, 2, 2);
  options.cuts = Options::Cuts::All;
  expect_sound(std::move(options), {.states_max = 120'000});
}

TEST(RoleModel, ADefaultPrimaryComesHome) {
  Options options = only({Kind::Start, Kind::Crash, Kind::Swap}, 1, 3);
  options.default_primary = role::Desired::DefaultPrimary::ThisNode;
  expect_sound(std::move(options), {.states_max = 60'000});
}

TEST(RoleModel, WithoutFailoverTheHealedPairComesBack) {
  Options options = only({Kind::Start, Kind::Crash, Kind::Stop}, 1, 3);
  options.failover = false;
  expect_sound(std::move(options), {.states_max = 60'000});
}

namespace {

Options with_witness(std::initializer_list<Kind> kinds, std::uint8_t faults, std::uint8_t commands) {
  Options options = only(kinds, faults, commands);
  options.cuts = Options::Cuts::All;
  options.witness = true;
  // Not for the promises above alone: a stream that comes back between a stop's decision to mark this copy, the other one being complete,
  // and the mark itself, with a synchronisation, leaves no whole copy.
  if (commands != 0) options.without.push_back(Kind::HealStream);
  return options;
}

}  // namespace

TEST(RoleModel, APairStartsBesideAWitness) { expect_sound(with_witness({Kind::Start}, 0, 2), {}); }

TEST(RoleModel, WithAWitnessCutsAndDeathsLoseNothing) {
  expect_sound(with_witness({Kind::CutStream, Kind::CutHeartbeats, Kind::CutWitness, Kind::Crash, Kind::KillReplica, Kind::RestartDaemon}, 3, 0),
               {.states_max = 250'000, .from_pair = true});
}

TEST(RoleModel, WithAWitnessCutsAndCommandsLoseNothing) {
  expect_sound(with_witness({Kind::CutStream, Kind::CutHeartbeats, Kind::Start, Kind::Stop, Kind::StopStart, Kind::Swap}, 2, 2),
               {.states_max = 250'000, .from_pair = true});
}

// Rules broken on purpose.

namespace {

/// From each of two that serve: by SafeKit's rule alone it may be the one that gives way.
void hide_who_wrote_alone(role::Observed& seen) {
  if (status::is_serving(seen.peer.role)) seen.peer.paired = !seen.replication.order.may_be_alone;
}

}  // namespace

TEST(RoleModel, FindsAnOldCopyThatIsPromoted) {
  Options options = only({Kind::Start, Kind::Crash}, 2, 3);
  options.see = [](role::Observed& seen) { seen.replication.up_to_date = seen.replication.up_to_date || seen.peer.silence_known; };
  options.plan = [](const role::Memory&, role::Plan& plan) {
    if (plan.memory.section.role == status::Role::Wait) plan.memory.section.paired = false;
    for_orders(plan, [](auto& order) { order.force_up_to_date = order.role == OrderRole::Primary; });
  };
  expect_found(std::move(options), "a copy that lacks an acknowledged write was promoted", false);
}

TEST(RoleModel, FindsThatTheMarkOfAPairIsForgotten) {
  Options options = only({Kind::Start, Kind::Crash}, 2, 3);
  options.plan = [](const role::Memory& before, role::Plan& plan) {
    if (!before.started) plan.memory.section.paired = false;
  };
  expect_found(std::move(options), "promoted", false);
}

TEST(RoleModel, FindsATakeOverFromOneThatLives) {
  Options options = only({Kind::Start}, 0, 2);
  options.see = [](role::Observed& seen) {
    hide_who_wrote_alone(seen);
    const bool second = seen.replication.order.role == OrderRole::Secondary && seen.replication.peer_synchronised && !seen.replication.unverified;
    if (!second || seen.peer.role != status::Role::Prim) return;
    seen.peer.heard = seen.replication.connected = false;
    seen.peer.silence_known = true;
  };
  expect_found(std::move(options), "acknowledge", false);
}

TEST(RoleModel, FindsThatThePeerIsNotAsked) {
  Options options = only({Kind::Start, Kind::Crash, Kind::CutStream}, 2, 2);
  options.see = [](role::Observed& seen) {
    seen.peer.replicates = seen.peer.marked_out_of_date = true;
    seen.peer.answered_pairing = seen.replication.pairing;
  };
  expect_found(std::move(options), "acknowledge", false);
}

TEST(RoleModel, FindsThatACopyIsNotMarked) {
  Options options = only({Kind::Start, Kind::Crash, Kind::CutStream}, 2, 3);
  options.plan = [](const role::Memory&, role::Plan& plan) { for_orders(plan, [](auto& order) { order.mark_out_of_date = false; }); };
  expect_found(std::move(options), "nothing can happen any more", true);
}

TEST(RoleModel, FindsAStartThatNeverGoesOn) {
  Options options = only({Kind::Start}, 0, 2);
  options.see = [](role::Observed& seen) { seen.failover.watched.clear(); };
  expect_found(std::move(options), "healed: nothing can happen any more", true);
}

TEST(RoleModel, FindsAStopThatNeverEnds) {
  Options options = only({Kind::Start, Kind::Stop}, 0, 3);
  options.see = [](role::Observed& seen) { seen.addresses.all_unset = false; };
  expect_found(std::move(options), "stop of node", true);
}

TEST(RoleModel, FindsTwoThatGiveWayToEachOtherForEver) {
  Options options = only({Kind::Start}, 0, 2);
  options.see = [](role::Observed& seen) { seen.replication.died = seen.replication.order.role == OrderRole::Secondary; };
  expect_found(std::move(options), "goes round for ever", true);
}

namespace {

void expect_found_beside_a_witness(Options options, const std::string& promise) {
  World world{std::move(options)};
  const Found found = explore(world, {.states_max = 400'000, .from_pair = true});
  EXPECT_THAT(found.broken, HasSubstr(promise)) << text_of(found);
  fmt::print("found after {} states, in {} steps: {}\n", found.states, found.trace.size(), found.broken);
}

Options all_cut() { return with_witness({Kind::CutStream, Kind::CutHeartbeats}, 2, 0); }

/// As if the witness had granted what it has not.
void believe(role::Observed& seen) {
  if (!seen.peer.silence_known) return;
  seen.lease.answer = status::LeaseSection::Answer::Granted;
  seen.failover.wait_rules_true.clear();
}

void without_lease(const role::Memory&, role::Plan& plan) {
  for_orders(plan, [](auto& order) { order.by_lease = false; });
}

}  // namespace

TEST(RoleModel, FindsAFailoverThatDoesNotAsk) {
  Options options = all_cut();
  options.see = [](role::Observed& seen) {
    if (seen.replication.order.role == OrderRole::Secondary) believe(seen);
  };
  options.plan = without_lease;
  expect_found_beside_a_witness(std::move(options), "acknowledge");
}

TEST(RoleModel, FindsAPrimaryThatGoesOnThoughItIsRefused) {
  Options options = all_cut();
  options.see = [](role::Observed& seen) {
    if (seen.replication.order.role == OrderRole::Primary) believe(seen);
  };
  options.plan = without_lease;
  expect_found_beside_a_witness(std::move(options), "acknowledge");
}

TEST(RoleModel, FindsALeaseThatIsGivenBackWhileItIsActedUpon) {
  Options options = all_cut();
  options.plan = [](const role::Memory&, role::Plan& plan) {
    if (plan.memory.section.role == status::Role::Alone && plan.memory.section.replica.by_lease) plan.memory.section.lease = status::LeaseNeed::GivenBack;
  };
  expect_found_beside_a_witness(std::move(options), "given back");
}

TEST(RoleModel, FindsALeaseThatIsGivenBackToOneThatDoesNotKnowYet) {
  Options options = with_witness({Kind::CutStream, Kind::CutHeartbeats, Kind::Stop}, 2, 1);
  options.plan = [](const role::Memory&, role::Plan& plan) {
    if (plan.memory.section.lease == status::LeaseNeed::None) plan.memory.section.lease = status::LeaseNeed::GivenBack;
  };
  expect_found_beside_a_witness(std::move(options), "given back");
}

TEST(RoleModel, FindsASplitThatTheHolderLoses) {
  Options options = with_witness({Kind::CutStream, Kind::CutHeartbeats, Kind::Crash}, 3, 0);
  options.see = [](role::Observed& seen) {
    seen.peer.holds_lease = seen.lease.answer == status::LeaseSection::Answer::Granted;
    hide_who_wrote_alone(seen);
  };
  expect_found_beside_a_witness(std::move(options), "acknowledge");
}

}  // namespace safekit::model
