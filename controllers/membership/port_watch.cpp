#include "controllers/membership/port_watch.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::membership {
namespace {

constexpr const char* kCondition = "PortsOpen";

bool is_same_port(const TakenPort& a, const TakenPort& b) {
  return a.transport == b.transport && a.port == b.port && a.address == b.address;
}

bool contains(const std::vector<TakenPort>& list, const TakenPort& port) {
  return std::ranges::any_of(list, [&](const TakenPort& other) { return is_same_port(other, port); });
}

}  // namespace

std::string to_text(const TakenPort& taken) {
  return fmt::format("{} port {} on {} is taken by {}: {}; end that program or give it another port, safekitd tries again by itself",
                     taken.transport, taken.port, taken.address,
                     taken.holder.empty() ? "another program" : taken.holder, taken.effect);
}

void PortWatch::update(const std::vector<TakenPort>& taken, WallTime now) {
  for (const TakenPort& port : taken) {
    if (!contains(taken_, port)) store_.record(ModuleName{}, "safekitd", 'C', to_text(port));
  }
  for (const TakenPort& port : taken_) {
    if (contains(taken, port)) continue;
    store_.record(ModuleName{}, "safekitd", 'E', fmt::format("{} port {} on {} is open", port.transport, port.port, port.address));
  }
  taken_ = taken;
  problem_.clear();
  for (const TakenPort& port : taken_) problem_ += (problem_.empty() ? "" : "; ") + to_text(port);
  for (const ModuleName& module : store_.local_modules()) {
    store_.update_status(module, [&](status::Module& seen) {
      const auto found = std::ranges::find(seen.conditions, kCondition, &status::Condition::type);
      if (problem_.empty()) {
        if (found != seen.conditions.end()) seen.conditions.erase(found);
      } else if (found == seen.conditions.end()) {
        seen.conditions.push_back({.type = kCondition, .reason = "PortTaken", .message = problem_, .since = now});
      } else {
        found->message = problem_;
      }
    });
  }
}

}  // namespace safekit::membership
