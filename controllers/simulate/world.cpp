#include "controllers/simulate/world.h"

#include <fmt/format.h>

namespace safekit::sim {

void World::after(Duration delay, Task task) {
  const std::int64_t at = now_ + std::max<std::int64_t>(0, delay.count());
  queue_.emplace(std::pair{at, ++sequence_}, std::move(task));
}

void World::run_until(std::int64_t time, const Task& check) {
  while (!queue_.empty() && queue_.begin()->first.first <= time) {
    auto event = queue_.extract(queue_.begin());
    now_ = event.key().first;
    ++events_;
    event.mapped()();
    if (check) check();
  }
  now_ = std::max(now_, time);
}

void World::note(std::string_view who, std::string_view what) {
  const auto mix = [this](std::string_view text) {
    for (const char byte : text) digest_ = (digest_ ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3ULL;
  };
  mix(who);
  mix(what);
  digest_ = (digest_ ^ static_cast<std::uint64_t>(now_)) * 0x100000001b3ULL;
  if (keeps_lines_) lines_.push_back(fmt::format("{:10.3f} {} {}", static_cast<double>(now_) / 1e9, who, what));
}

}  // namespace safekit::sim
