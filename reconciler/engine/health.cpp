#include "reconciler/engine/health.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

namespace safekit::engine {

void Histogram::add(Duration duration) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count() / 1000, 0));
  const auto index = std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(us)), buckets_.size() - 1);
  ++buckets_[index];
  ++count_;
  total_ += duration;
  longest_ = std::max(longest_, duration);
}

Duration Histogram::percentile(int percent) const {
  const std::uint64_t wanted = (count_ * static_cast<std::uint64_t>(percent) + 99) / 100;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size() && wanted > 0; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(Duration{microseconds{1ULL << i}}, longest_);
  }
  return {};
}

void Health::note(const Pass& pass) {
  const auto found = controllers_.find(pass.controller);
  ControllerHealth& health = found == controllers_.end() ? controllers_[std::string{pass.controller}] : found->second;
  ++health.passes;
  health.waited.add(pass.waited);
  health.took.add(pass.took);
  if (pass.over_deadline) ++health.over_deadline;
  if (pass.error.empty()) {
    health.failing.erase(pass.key);
  } else {
    ++health.failures;
    health.failing[pass.key] = pass.error;
  }
}

std::vector<std::string> Health::problems() const {
  std::vector<std::string> found;
  for (const auto& [name, health] : controllers_) {
    for (const auto& [key, error] : health.failing) found.push_back(fmt::format("{} '{}': {}", name, key, error));
  }
  return found;
}

}  // namespace safekit::engine
