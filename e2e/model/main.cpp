// safekit-model: every state that two role machines can reach (e2e/model/explore.h).
#include <algorithm>
#include <chrono>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "e2e/model/explore.h"

int main(int argc, char** argv) {
  using namespace safekit::model;
  Options options;
  Limits limits;
  int faults = -1;
  int commands = -1;
  std::string cuts{"stream"};
  CLI::App app{"Explores every state of two role machines"};
  app.add_option("--states", limits.states_max, "end after so many states");
  app.add_option("--depth", limits.depth_max, "end after so many steps");
  app.add_option("--faults", faults, "at most so many faults; -1: any number");
  app.add_option("--commands", commands, "at most so many commands; -1: any number");
  app.add_option("--cuts", cuts, "links that may be cut")->check(CLI::IsMember({"none", "stream", "all"}));
  std::vector<std::string> without;
  app.add_option("--without", without, "commands and faults that never happen, by the end of their names: `primforce`, `power loss`");
  app.add_flag("--late", options.late_heartbeats, "a heartbeat may be under way while its sender goes on");
  app.add_flag("--pair", limits.from_pair, "begins with PRIM and SECOND");
  app.add_flag("--witness", options.witness, "there is a witness that grants leases");
  app.add_flag("!--unsettled", limits.settles, "only what is promised of the data");
  CLI11_PARSE(app, argc, argv);
  options.faults = static_cast<std::uint8_t>(faults < 0 ? 255 : faults);
  options.commands = static_cast<std::uint8_t>(commands < 0 ? 255 : commands);
  options.cuts = cuts == "none" ? Options::Cuts::None : cuts == "all" ? Options::Cuts::All : Options::Cuts::Stream;
  for (auto number = static_cast<std::uint8_t>(Kind::Crash); number <= static_cast<std::uint8_t>(kKindLast); ++number) {
    const auto kind = static_cast<Kind>(number);
    const auto is_meant = [kind](const std::string& end) { return to_string(kind).ends_with(" " + end); };
    if (std::ranges::any_of(without, is_meant)) options.without.push_back(kind);
  }
  World world{options};
  const auto begin = std::chrono::steady_clock::now();
  const Found found = explore(world, limits);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const std::string& line : found.trace) fmt::print("{}\n", line);
  fmt::print("{} states, {} transitions, depth {}{}, {} states on ways back, {:.1f} s; {}\n", found.states, found.transitions,
             found.depth, found.closed ? " (closed)" : "", found.settled, took, world.figures());
  if (!found.broken.empty()) fmt::print("broken: {}\n", found.broken);
  return found.broken.empty() ? 0 : 1;
}
