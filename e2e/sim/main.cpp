// safekit-sim: whole clusters by the seed (e2e/sim/cluster.h).
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "e2e/sim/cluster.h"

namespace {

using namespace safekit::sim;

struct Totals {
  std::mutex mutex{};
  std::uint64_t seeds{0};
  std::uint64_t events{0};
  std::uint64_t writes{0};
  double hours{0};
  std::vector<std::pair<std::uint64_t, std::string>> failed{};
};

void print_failure(std::uint64_t seed, Defect defect) {
  const RunPlan plan = minimised(plan_of(seed, defect));
  const Outcome outcome = run(plan, true);
  for (const std::string& line : outcome.lines) fmt::print("{}\n", line);
  fmt::print("  {} nodes, {} modules\n", plan.nodes, plan.modules.size());
  for (const Fault& fault : plan.faults) fmt::print("  {}\n", to_string(fault));
  fmt::print("seed {}: {}\n", seed, outcome.broken);
}

/// Some mistakes are made good by another rule; so many at least must be found.
constexpr std::size_t kFoundAtLeast = 20;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The first seed that finds it, and what it cost.
std::pair<bool, std::string> find_defect(Defect defect, std::uint64_t from, std::uint64_t seeds) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = from; seed < from + seeds; ++seed) {
    const RunPlan plan = plan_of(seed, defect);
    const std::string broken = run(plan, false).broken;
    if (broken.empty()) continue;
    const double took = seconds_since(begin);
    const std::size_t left = minimised(plan).faults.size();
    return {true, fmt::format("{:24} seed {:4}, {:6.1f} s, {} of {} faults needed: {}", to_string(defect), seed, took, left,
                              plan.faults.size(), broken)};
  }
  return {false, fmt::format("{:24} not found in {} seeds, {:.1f} s", to_string(defect), seeds, seconds_since(begin))};
}

/// Each defect until its first seed; a line as soon as it is known. Returns how many were found.
std::size_t find_defects(std::uint64_t from, std::uint64_t seeds, unsigned threads) {
  std::mutex printing;
  std::atomic<std::size_t> next{1};
  std::atomic<std::size_t> found{0};
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < std::max(1U, threads); ++i) {
    workers.emplace_back([&] {
      for (std::size_t at = next++; at < kDefects; at = next++) {
        const auto [is_found, line] = find_defect(static_cast<Defect>(at), from, seeds);
        found += is_found ? 1 : 0;
        const std::lock_guard lock{printing};
        fmt::print("{}\n", line);
        std::fflush(stdout);
      }
    });
  }
  workers.clear();
  fmt::print("{} of {} planted defects found\n", found.load(), kDefects - 1);
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 5000;
  std::uint64_t from = 1;
  double hours = 0;
  std::uint64_t replay = 0;
  unsigned threads = 2;
  bool all = false;
  bool defects = false;
  std::string defect_name{"none"};
  CLI::App app{"Simulates whole clusters, one after the other, by the seed"};
  app.add_option("--seeds", seeds, "how many");
  app.add_option("--from", from, "the first one");
  app.add_option("--hours", hours, "goes on for so long instead");
  app.add_option("--replay", replay, "one seed, with everything that happens in it");
  app.add_option("--threads", threads, "at once");
  app.add_option("--defect", defect_name, "a mistake planted on purpose");
  app.add_flag("--defects", defects, "the first seed that finds each planted mistake");
  app.add_flag("--all", all, "goes on after a failure");
  CLI11_PARSE(app, argc, argv);
  const auto defect = parse_defect(defect_name);
  if (!defect) {
    fmt::print(stderr, "no defect '{}'; there are:", defect_name);
    for (const auto name : kDefectNames) fmt::print(stderr, " {}", name);
    fmt::print(stderr, "\n");
    return 2;
  }
  if (defects) return find_defects(from, seeds, threads) >= kFoundAtLeast ? 0 : 1;
  if (replay != 0) {
    const RunPlan plan = plan_of(replay, *defect);
    const Outcome outcome = run(plan, true);
    for (const std::string& line : outcome.lines) fmt::print("{}\n", line);
    fmt::print("seed {} digest {:016x}: {}\n", replay, outcome.digest, outcome.broken.empty() ? "every promise holds" : outcome.broken);
    return outcome.broken.empty() ? 0 : 1;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto took = [begin] { return seconds_since(begin); };
  Totals totals;
  std::atomic<std::uint64_t> next{from};
  std::atomic<bool> stop{false};
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < std::max(1U, threads); ++i) {
    workers.emplace_back([&] {
      while (!stop) {
        const std::uint64_t seed = next++;
        if (hours > 0 ? took() > hours * 3600 : seed >= from + seeds) return;
        const Outcome outcome = run(plan_of(seed, *defect), false);
        const std::lock_guard lock{totals.mutex};
        ++totals.seeds;
        totals.events += outcome.events;
        totals.writes += outcome.acknowledged;
        totals.hours += static_cast<double>(outcome.simulated) / 3.6e12;
        if (outcome.broken.empty()) continue;
        totals.failed.emplace_back(seed, outcome.broken);
        if (!all) stop = true;
      }
    });
  }
  workers.clear();
  fmt::print("{} seeds, {:.1f} simulated hours, {} events, {} acknowledged writes, {:.1f} s, {:.0f} events/s\n", totals.seeds, totals.hours,
             totals.events, totals.writes, took(), static_cast<double>(totals.events) / took());
  if (totals.failed.empty()) return 0;
  std::sort(totals.failed.begin(), totals.failed.end());
  for (const auto& [seed, what] : totals.failed) fmt::print("seed {}: {}\n", seed, what);
  print_failure(totals.failed.front().first, *defect);
  return 1;
}
