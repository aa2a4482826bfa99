// safekit-sim: whole clusters by the seed (e2e/sim/cluster.h).
#include <array>
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

/// Seed after seed for each defect that no seed has found yet, so that those that are hard to find keep nothing waiting. Ends when enough
/// are found; with `all` goes on to the last seed. Returns how many were found.
class DefectHunt {
 public:
  DefectHunt(std::uint64_t from, std::uint64_t seeds, bool all) : from_(from), seeds_(seeds), all_(all) {}
  std::size_t run_on(unsigned threads) {
    std::vector<std::jthread> workers;
    for (unsigned i = 0; i < std::max(1U, threads); ++i) workers.emplace_back([this] { work(); });
    workers.clear();
    for (std::size_t at = 1; at < kDefects; ++at) {
      if (!found_[at]) fmt::print("{:24} not found before it ended\n", to_string(static_cast<Defect>(at)));
    }
    fmt::print("{} of {} planted defects found, {:.0f} s\n", count_.load(), kDefects - 1, seconds_since(begin_));
    return count_;
  }

 private:
  void work() {
    for (std::uint64_t turn = next_++; turn < seeds_ * (kDefects - 1); turn = next_++) {
      if (!all_ && count_ >= kFoundAtLeast) return;
      const auto at = static_cast<std::size_t>(1 + turn % (kDefects - 1));
      if (!found_[at]) look(static_cast<Defect>(at), from_ + turn / (kDefects - 1));
    }
  }
  void look(Defect defect, std::uint64_t seed) {
    const RunPlan plan = plan_of(seed, defect);
    const Outcome outcome = run(plan, false);
    if (outcome.broken.empty() || found_[static_cast<std::size_t>(defect)].exchange(true)) return;
    ++count_;
    const std::lock_guard lock{printing_};
    fmt::print("{:24} seed {:4}, after {:6.1f} s: {}\n", to_string(defect), seed, seconds_since(begin_), outcome.broken);
    std::fflush(stdout);
  }

  std::uint64_t from_;
  std::uint64_t seeds_;
  bool all_;
  std::chrono::steady_clock::time_point begin_{std::chrono::steady_clock::now()};
  std::atomic<std::uint64_t> next_{0};
  std::array<std::atomic<bool>, kDefects> found_{};
  std::atomic<std::size_t> count_{0};
  std::mutex printing_{};
};

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
  app.add_flag("--defects", defects, "the first seed that finds each planted mistake; with --all not only of so many as must be found");
  app.add_flag("--all", all, "goes on after a failure");
  CLI11_PARSE(app, argc, argv);
  const auto defect = parse_defect(defect_name);
  if (!defect) {
    fmt::print(stderr, "no defect '{}'; there are:", defect_name);
    for (const auto name : kDefectNames) fmt::print(stderr, " {}", name);
    fmt::print(stderr, "\n");
    return 2;
  }
  if (defects) return DefectHunt{from, seeds, all}.run_on(threads) >= kFoundAtLeast ? 0 : 1;
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
