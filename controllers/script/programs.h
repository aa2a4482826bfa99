#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "schema/base/time.h"
#include "schema/status/module.h"

/// Programs of custom checkers (CheckerSection::programs): each runs for as long as it is wanted, one that ends is
/// started again, one with an interval is run each time and judged by its exit code, and a handler of errd (ErrdSection::handlers)
/// is run once.
namespace safekit::script {

struct Program {
  enum class Phase { Waiting, Running };
  status::CheckerProgram program{};
  Phase phase{Phase::Waiting};
  MonoTime due{};      ///< Waiting: of the next start
  MonoTime started{};  ///< Running
  std::optional<MonoTime> terminated{};  ///< SIGTERM was sent then
  bool killed{false};
  bool timed_out{false};
  std::uint64_t runs{0};  ///< that have ended, with an interval; of a handler its CheckerProgram::once
  bool fine{false};       ///< the last of them
  friend bool operator==(const Program&, const Program&) = default;
};
using Programs = std::map<std::string, Program>;  ///< by resource

struct StartProgram {
  std::string resource{};
  friend bool operator==(const StartProgram&, const StartProgram&) = default;
};
struct EndProgram {
  std::string resource{};
  bool kill{false};
  friend bool operator==(const EndProgram&, const EndProgram&) = default;
};
struct ProgramPlan {
  Programs programs{};
  std::vector<std::variant<StartProgram, EndProgram>> actions{};
  std::optional<Duration> recheck_after{};
};

/// A program that should run on and has ended is started again after this.
inline constexpr Duration kStartAgain = seconds{10};

[[nodiscard]] ProgramPlan decide_programs(const std::map<std::string, status::CheckerProgram>& wanted, Programs programs,
                                          MonoTime now);
/// The program has ended with this exit code.
void note_end(Program& program, int exit_code, MonoTime now);

}  // namespace safekit::script
