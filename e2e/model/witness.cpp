// A witness with one lease, and what each node is told of it.
#include <fmt/format.h>

#include "controllers/lease/plan.h"
#include "e2e/model/world.h"

namespace safekit::model {
namespace {

using Answer = status::LeaseSection::Answer;
using Need = status::LeaseNeed;

bool is_asked(Need need) { return need == Need::Wanted || need == Need::Needed; }

}  // namespace

Answer World::answer_of(const State& state, int node) const { return static_cast<Answer>(state.leases[node] & kAnswer); }

bool World::asks(const State& state, int node) const {
  return has(state.sides[node], kUp) && is_asked(need_of(state, node)) && answer_of(state, node) != Answer::NotAsked;
}

bool World::is_value_down(const State& state, int node) const {
  return lease::value_of({.answer = answer_of(state, node)}, need_of(state, node)) == "down";
}

/// A pass of the lease controller, and what it publishes.
void World::hear_answer(State& state, int node, Answer answer) {
  state.leases[node] = static_cast<std::uint8_t>((state.leases[node] & ~kAnswer) | static_cast<int>(answer));
  set(state, node, kValueDown, is_value_down(state, node));
}

void World::see_need(State& state, int node) {
  const Answer answer = answer_of(state, node);
  if (need_of(state, node) >= Need::Stands) {
    return hear_answer(state, node, is_asked(need_of(state, node)) && answer == Answer::NotAsked ? Answer::Asked : answer);
  }
  const Side& side = state.sides[node];
  // Where the peer has consented meanwhile, the replica has only not heard yet that the lease does not matter any more.
  const status::ReplicaOrder& order = memory(state, node).section.replica;
  const bool consents = order.role == status::ReplicaOrder::Role::Primary && !order.by_lease;
  const bool acts = orders_[side.taken].by_lease && may_acknowledge(state, node) && !consents;
  // One that is only not renewed ends by itself, and nobody else gets it.
  const bool is_given_back = need_of(state, node) == Need::GivenBack;
  if (is_given_back && (acts || (has(state, node, kBelieved) && has(side, kAddresses) && order.by_lease))) {
    broken_ = "a lease is given back by a node that acts upon it still";
  }
  set(state, node, kBelieved, false);
  hear_answer(state, node, Answer::NotAsked);
}

void World::step_witness(State& state, Action action) {
  const int node = action.node;
  switch (action.kind) {
    case Kind::SeeNeed: return see_need(state, node);
    case Kind::Answered:
      if (is_taken(state, node)) return hear_answer(state, node, Answer::Refused);
      set(state, held_by(1 - node), false);
      set(state, held_by(node), true);
      set(state, node, kBelieved, true);
      return hear_answer(state, node, Answer::Granted);
    case Kind::Unanswered: return hear_answer(state, node, Answer::Silent);
    case Kind::Judge: return set(state, node, kRuleDown, has(state, node, kValueDown));
    case Kind::LeaseEnds:
      set(state, node, kBelieved, false);
      if (answer_of(state, node) == Answer::Granted) hear_answer(state, node, asks(state, node) ? Answer::Silent : Answer::NotAsked);
      return;
    case Kind::GiveBack: return set(state, held_by(node), false);
    case Kind::CutWitness: return set(state, node, kWitnessCut, true);
    case Kind::HealWitness: return set(state, node, kWitnessCut, false);
    default: return;
  }
}

bool World::witness_enabled(const State& state, Action action) const {
  if (!options_.witness) return false;
  const int node = action.node;
  const bool cut = has(state, node, kWitnessCut);
  const bool up = has(state.sides[node], kUp);
  const Answer answer = answer_of(state, node);
  const Need need = need_of(state, node);
  switch (action.kind) {
    case Kind::SeeNeed:
      if (!up) return false;
      if (need < Need::Stands && (answer != Answer::NotAsked || has(state, node, kBelieved))) return true;
      return (is_asked(need) && answer == Answer::NotAsked) || is_value_down(state, node) != has(state, node, kValueDown);
    case Kind::Answered:
      return !cut && asks(state, node) && answer != (is_taken(state, node) ? Answer::Refused : Answer::Granted);
    case Kind::Unanswered: return cut && asks(state, node) && (answer == Answer::Asked || answer == Answer::Refused);
    case Kind::Judge: return up && has(state, node, kRuleDown) != has(state, node, kValueDown);
    // It is not renewed.
    case Kind::LeaseEnds: return has(state, node, kBelieved) && (cut || !asks(state, node) || answer != Answer::Granted);
    case Kind::GiveBack: return up && !cut && need == Need::GivenBack && has(state, held_by(node)) && !has(state, node, kBelieved);
    default: return false;
  }
}

/// By the other node, whose lease keeps this one away until it is given back; when it has run out, a person's word is enough.
bool World::is_taken(const State& state, int node) const {
  const bool succeeds = memory(state, node).section.lease_by_hand && !has(state, 1 - node, kBelieved);
  return has(state, held_by(1 - node)) && !succeeds;
}

std::string World::lease_text(const State& state, int node) const {
  constexpr std::array kNeeds{"none", "given back", "forgone", "stands", "wanted", "needed"};
  constexpr std::array kAnswers{"not asked", "asked", "granted", "refused", "silent"};
  const auto flag = [&](LeaseFlag one, const char* name) { return has(state, node, one) ? fmt::format(" {}", name) : std::string{}; };
  return fmt::format("        lease {}, {}{}{}{}{}{}{}\n", kNeeds[static_cast<std::size_t>(need_of(state, node))],
                     kAnswers[static_cast<std::size_t>(answer_of(state, node))], flag(kBelieved, "believed"), flag(kValueDown, "down"),
                     flag(kRuleDown, "judged"), flag(kWitnessCut, "witness-cut"), has(state, held_by(node)) ? " holds" : "",
                     orders_[state.sides[node].taken].by_lease ? " acts-by-it" : "");
}

}  // namespace safekit::model
