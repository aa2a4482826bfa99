#include "e2e/sim/plan.h"

#include <algorithm>
#include <random>
#include <string_view>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

constexpr std::uint64_t kFaultWindow = 28'000;  ///< ms
constexpr std::size_t kFaultsMax = 8;
constexpr std::array<std::string_view, kFaultKinds> kNames{
    "power-loss", "restart-safekitd", "pause-safekitd", "cut-lan", "cut-all", "lossy", "clock-jump", "disk-full",
    "pause-node", "mute-node", "part", "cut-witness", "witness-down", "kill-replica", "pause-replica", "cut-stream", "apply", "start", "stop", "swap", "restart", "stopstart"};

using Random = std::mt19937_64;

void choose_shape(Random& random, RunPlan& plan) {
  const std::uint64_t shape = random() % 20;
  if (shape < 13) return;  // two nodes, one module
  if (shape < 16) {
    plan.modules = {{0, 1}, {1, 0}};
    return;
  }
  plan.nodes = static_cast<std::uint32_t>(3 + random() % 3);
  plan.modules.clear();
  const bool is_ring = random() % 2 == 0;
  const std::uint32_t spare = plan.nodes - 1;
  const std::uint32_t count = is_ring ? 2 + static_cast<std::uint32_t>(random() % 2) : spare;
  for (std::uint32_t i = 0; i < count; ++i) {
    plan.modules.push_back(is_ring ? Pair{i % plan.nodes, (i + 1) % plan.nodes} : Pair{i, spare});
  }
}

bool excuses(Fault::Kind kind) {
  using enum Fault::Kind;
  return kind == CutAll || kind == PauseDaemon || kind == PauseNode || kind == PauseReplica || kind == MuteNode || kind == Part;
}

/// What a lease is for.
constexpr std::array kOfLeases{Fault::Kind::Part, Fault::Kind::CutAll, Fault::Kind::PauseNode, Fault::Kind::PauseReplica, Fault::Kind::PauseDaemon,
                               Fault::Kind::MuteNode, Fault::Kind::CutWitness, Fault::Kind::WitnessDown, Fault::Kind::PowerLoss};

}  // namespace

std::string verb_of(Fault::Kind kind) {
  return kind >= Fault::Kind::Start ? std::string{kNames[static_cast<std::size_t>(kind)]} : std::string{};
}

std::string to_string(const Fault& fault) {
  const bool has_which = is_of_module(fault.kind) || fault.kind == Fault::Kind::CutLan;
  return fmt::format("{:7} ms {} node {}{} for {} ms", fault.at, kNames[static_cast<std::size_t>(fault.kind)], fault.node,
                     has_which ? fmt::format(" {} {}", is_of_module(fault.kind) ? "of module" : "network", fault.which) : "", fault.length);
}

RunPlan plan_of(std::uint64_t seed, Defect defect) {
  Random random{seed * 0x9e3779b97f4a7c15ULL + 1};
  RunPlan plan{.seed = seed, .defect = defect};
  choose_shape(random, plan);
  const std::uint64_t of_ten = random() % 10;
  plan.witness = of_ten < 4 ? WitnessKind::None : of_ten < 5 ? WitnessKind::Echo : of_ten < 8 ? WitnessKind::Lease : WitnessKind::Fence;
  std::vector<Fault::Kind> kinds;
  const std::size_t kinds_count = 1 + random() % 5;
  for (std::size_t i = 0; i < kinds_count; ++i) {
    const bool is_of_leases = grants(plan.witness) && random() % 3 != 0;
    const auto kind = is_of_leases ? kOfLeases[random() % kOfLeases.size()] : static_cast<Fault::Kind>(random() % kFaultKinds);
    // What excuses much is rare, where it excuses.
    const bool rare = !grants(plan.witness) && excuses(kind);
    kinds.push_back(rare && random() % 4 != 0 ? Fault::Kind::PowerLoss : kind);
  }
  const std::size_t count = 1 + random() % kFaultsMax;
  for (std::size_t i = 0; i < count; ++i) {
    const Fault::Kind kind = kinds[random() % kinds.size()];
    const bool of_module = is_of_module(kind);
    plan.faults.push_back({.kind = kind,
                           .node = static_cast<std::uint32_t>(random() % (of_module ? 2 : plan.nodes)),
                           .which = static_cast<std::uint32_t>(random() % (of_module ? plan.modules.size() : 2)),
                           .at = static_cast<std::int64_t>(random() % kFaultWindow),
                           .length = static_cast<std::int64_t>(20 + random() % (random() % 2 == 0 ? 800 : 12'000))});
  }
  std::ranges::sort(plan.faults, {}, &Fault::at);
  return plan;
}

std::vector<RunPlan> smaller(const RunPlan& plan) {
  std::vector<RunPlan> less;
  for (std::uint32_t module = 0; plan.modules.size() > 1 && module < plan.modules.size(); ++module) {
    RunPlan& one = less.emplace_back(plan);
    one.modules.erase(one.modules.begin() + module);
    std::erase_if(one.faults, [&](const Fault& fault) { return is_of_module(fault.kind) && fault.which == module; });
    for (Fault& fault : one.faults) fault.which -= is_of_module(fault.kind) && fault.which > module ? 1 : 0;
  }
  const auto has = [&](std::uint32_t node) {
    return std::ranges::any_of(plan.modules, [&](const Pair& pair) { return std::ranges::find(pair, node) != pair.end(); });
  };
  if (plan.nodes > 2 && !has(plan.nodes - 1)) {
    RunPlan& one = less.emplace_back(plan);
    --one.nodes;
    std::erase_if(one.faults, [&](const Fault& fault) { return !is_of_module(fault.kind) && fault.node == one.nodes; });
  }
  for (std::size_t i = 0; i < plan.faults.size(); ++i) {
    RunPlan& one = less.emplace_back(plan);
    one.faults.erase(one.faults.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return less;
}

}  // namespace safekit::sim
