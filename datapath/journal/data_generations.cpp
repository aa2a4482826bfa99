#include "datapath/journal/data_generations.h"

#include <algorithm>

namespace safekit::journal {

namespace {

bool had(const DataGenerations& copy, DataGeneration generation) {
  return generation.value != 0 &&
         (copy.base == generation || std::ranges::find(copy.history, generation) != copy.history.end());
}

bool share_history(const DataGenerations& a, const DataGenerations& b) {
  return had(b, a.base) || std::ranges::any_of(a.history, [&](DataGeneration old) { return had(b, old); });
}

void bound(std::vector<DataGeneration>& history) {
  if (history.size() > kHistoryMax) history.resize(kHistoryMax);
}

}  // namespace

std::string_view to_string(Relation relation) {
  switch (relation) {
    case Relation::BothNew: return "both-new";
    case Relation::Same: return "same";
    case Relation::PeerIsBase: return "peer-is-base";
    case Relation::PeerIsOlder: return "peer-is-older";
    case Relation::MineIsOlder: return "mine-is-older";
    case Relation::Diverged: return "diverged";
    case Relation::Unrelated: return "unrelated";
  }
  return "unknown";
}

Relation compare(const DataGenerations& mine, const DataGenerations& peer) {
  if (mine.current.value == 0 && peer.current.value == 0) return Relation::BothNew;
  if (mine.current == peer.current) return Relation::Same;
  if (peer.current.value == 0) return Relation::PeerIsOlder;
  if (mine.current.value == 0) return Relation::MineIsOlder;
  if (mine.base == peer.current) return Relation::PeerIsBase;
  if (had(mine, peer.current)) return Relation::PeerIsOlder;
  if (had(peer, mine.current)) return Relation::MineIsOlder;
  return share_history(mine, peer) ? Relation::Diverged : Relation::Unrelated;
}

void begin_alone(DataGenerations& generations, DataGeneration fresh) {
  if (generations.current.value != 0) {
    // A second period alone after the same parting: the peer still has the first base.
    if (generations.base.value == 0) generations.base = generations.current;
    generations.history.insert(generations.history.begin(), generations.current);
    bound(generations.history);
  }
  generations.current = fresh;
}

void end_alone(DataGenerations& generations) { generations.base = {}; }

void take_over(DataGenerations& mine, DataGeneration current, std::vector<DataGeneration> history) {
  mine = {.current = current, .base = {}, .history = std::move(history)};
  bound(mine.history);
}

}  // namespace safekit::journal
