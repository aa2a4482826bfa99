// The same state has one form only.
#include <algorithm>

#include "e2e/model/world.h"
#include "schema/base/result.h"

namespace safekit::model {
namespace {

/// Numbers in the order in which they are found; 0 stays.
class Renaming {
 public:
  std::uint64_t operator()(std::uint64_t value) {
    if (value == 0) return 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (values_[i] == value) return i + 1;
    }
    SK_ASSERT(count_ < values_.size());
    values_[count_++] = value;
    changes_ = changes_ || value != count_;
    return count_;
  }
  [[nodiscard]] bool changes() const { return changes_; }

 private:
  std::array<std::uint64_t, 64> values_{};
  std::size_t count_{0};
  bool changes_{false};
};

}  // namespace

/// Of the pairings that `owner` gave: its own, what is named by its machine and replica, what its peer has heard and does.
void World::rename_pairings(State& state, int owner) {
  Side& mine = state.sides[owner];
  Side& other = state.sides[1 - owner];
  Renaming names;
  const auto walk = [&](auto&& visit_number) {
    visit_number(mine.pairing);
    const auto order = [&](Side& side, bool own) {
      const status::ReplicaOrder& taken = orders_[side.taken];
      if ((taken.role == status::ReplicaOrder::Role::Primary) == own) (void)names(taken.pairing);
    };
    for (const Slot& slot : memories_[mine.memory].slots) {
      if (slot.own) (void)names(slot.value);
    }
    order(mine, true);
    (void)names(heard_[mine.heard].answered_pairing);
    (void)names(heard_[mine.flying].answered_pairing);
    (void)names(heard_[other.heard].asked_pairing);
    (void)names(heard_[other.flying].asked_pairing);
    for (const Slot& slot : memories_[other.memory].slots) {
      if (!slot.own) (void)names(slot.value);
    }
    order(other, false);
  };
  walk([&](std::uint8_t& number) { number = static_cast<std::uint8_t>(names(number)); });
  if (!names.changes()) return;
  const auto in_order = [&](status::ReplicaOrder& order, bool own) {
    if ((order.role == status::ReplicaOrder::Role::Primary) == own) order.pairing = names(order.pairing);
  };
  const auto in_side = [&](Side& side, bool own) {
    role::Memory memory = memories_[side.memory].value;
    if (own) memory.section.asked_pairing = names(memory.section.asked_pairing);
    in_order(memory.section.replica, own);
    for (role::Step& step : memory.steps) {
      if (auto* one = std::get_if<role::OrderReplica>(&step)) in_order(one->order, own);
    }
    if (memory != memories_[side.memory].value) side.memory = number_of(std::move(memory));
    status::ReplicaOrder taken = orders_[side.taken];
    in_order(taken, own);
    side.taken = number_of(taken);
    for (std::uint32_t* heard : {&side.heard, &side.flying}) {
      if (*heard == 0) continue;
      status::PeerSection peer = heard_[*heard];
      if (own) peer.answered_pairing = names(peer.answered_pairing);
      else peer.asked_pairing = names(peer.asked_pairing);
      *heard = number_of(peer);
    }
  };
  in_side(mine, true);
  in_side(other, false);
}

void World::rename_generations(State& state) {
  Renaming names;
  for (Side& side : state.sides) side.generation = static_cast<std::uint8_t>(names(side.generation));
  for (const Side& side : state.sides) {
    (void)names(heard_[side.heard].generation);
    (void)names(heard_[side.flying].generation);
  }
  if (!names.changes()) return;
  for (Side& side : state.sides) {
    for (std::uint32_t* heard : {&side.heard, &side.flying}) {
      if (*heard == 0) continue;
      status::PeerSection peer = heard_[*heard];
      peer.generation = names(peer.generation);
      *heard = number_of(peer);
    }
  }
}

void World::canonise(State& state) {
  rename_generations(state);
  for (const int owner : {0, 1}) rename_pairings(state, owner);
  std::array<std::uint8_t, 3> ranks{state.sides[0].data, state.sides[1].data, state.acknowledged};
  std::ranges::sort(ranks);
  const auto rank = [&](std::uint8_t value) {
    std::uint8_t number = 0;
    std::uint8_t last = 0;
    for (const std::uint8_t one : ranks) {
      if (one > value) break;
      if (one != last) ++number;
      last = one;
    }
    return number;
  };
  for (Side& side : state.sides) side.data = rank(side.data);
  state.acknowledged = rank(state.acknowledged);
}

}  // namespace safekit::model
