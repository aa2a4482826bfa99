#include "datapath/heartbeat/table.h"

#include <algorithm>

namespace safekit::heartbeat {
namespace {

MonoTime silent_from(const LinkTimes& link) {
  return link.heard ? std::max(*link.heard, link.listening_since) : link.listening_since;
}

std::optional<MonoTime> deadline_of(const LinkTimes& link) {
  if (link.timeout == Duration::zero() || link.health == Health::Down) return {};
  return silent_from(link) + link.timeout;
}

}  // namespace

bool Table::heard(std::size_t index, Duration silence, MonoTime now) {
  LinkTimes& link = links_.at(index);
  const bool news = link.health != Health::Up || !link.heard || now - *link.heard > silence;
  link.heard = now;
  link.health = Health::Up;
  return news;
}

void Table::postpone(Duration late, MonoTime now) {
  for (LinkTimes& link : links_) link.listening_since = std::min(now, silent_from(link) + late);
}

std::optional<MonoTime> Table::next_deadline() const {
  std::optional<MonoTime> earliest;
  for (const LinkTimes& link : links_) {
    const auto deadline = deadline_of(link);
    if (deadline && (!earliest || *deadline < *earliest)) earliest = deadline;
  }
  return earliest;
}

std::vector<std::size_t> Table::advance(MonoTime now) {
  std::vector<std::size_t> down;
  for (std::size_t index = 0; index < links_.size(); ++index) {
    const auto deadline = deadline_of(links_[index]);
    if (!deadline || *deadline > now) continue;
    links_[index].health = Health::Down;
    down.push_back(index);
  }
  return down;
}

}  // namespace safekit::heartbeat
