#include "schema/check/change_effect.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <tuple>
#include <utility>

namespace safekit::check {
namespace {

/// A field, or the part of the spec that it begins; the longest one that fits says. What none fits needs a stop.
constexpr std::array kEffects{
    std::pair<std::string_view, Effect>{"metadata", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.boot", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.failover", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.defaultPrimary", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.maxLoop", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.loopInterval", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.automaticReboot", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.heartbeats", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.vip", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.errd", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.checkers", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.failoverRules", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.scripts", Effect::Restart},
    std::pair<std::string_view, Effect>{"spec.scripts.niceStopTimeout", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.scripts.forceStopTimeout", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.scripts.logSizeKb", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.virtualHostnames", Effect::Restart},
    std::pair<std::string_view, Effect>{"spec.replication.verifyAfterResync", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.verifyEvery", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.verifyRateKb", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.checkTimeout", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.checkInterval", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.syncDelta", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.syncAt", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.callbacks", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.idlePoll", Effect::InPlace},
    std::pair<std::string_view, Effect>{"spec.replication.durability", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.secondaryAck", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.writeBack", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.lostWritesMax", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.snapshot", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.lockTimeout", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.sendTimeout", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.resyncThreads", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.resyncTimeout", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.resyncDetail", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.resyncBandwidthKb", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.namespacePolicy", Effect::NextStart},
    std::pair<std::string_view, Effect>{"spec.replication.writeFlags", Effect::NextStart},
};

bool is_within(std::string_view path, std::string_view part) {
  return path.starts_with(part) && (path.size() == part.size() || path[part.size()] == '.' || path[part.size()] == '[');
}

}  // namespace

Effect effect_of(std::string_view path) {
  Effect effect = Effect::Stop;
  std::size_t longest = 0;
  for (const auto& [part, said] : kEffects) {
    if (part.size() > longest && is_within(path, part)) std::tie(longest, effect) = std::pair{part.size(), said};
  }
  return effect;
}

std::string_view to_string(Effect effect) {
  switch (effect) {
    case Effect::InPlace: return "in place";
    case Effect::Restart: return "restart";
    case Effect::NextStart: return "next start";
    case Effect::Stop: return "stop";
  }
  return "stop";
}

std::vector<FieldChange> needing_stop(const std::vector<FieldChange>& changes) {
  std::vector<FieldChange> found;
  std::ranges::copy_if(changes, std::back_inserter(found),
                       [](const FieldChange& change) { return effect_of(change.path) == Effect::Stop; });
  return found;
}

}  // namespace safekit::check
