#include "controllers/script/programs.h"

#include <algorithm>

#include "controllers/script/plan.h"

namespace safekit::script {
namespace {

void sooner(std::optional<Duration>& recheck, MonoTime at, MonoTime now) {
  const Duration after = at > now ? at - now : Duration{0};
  if (!recheck || after < *recheck) recheck = after;
}

void end(const std::string& resource, Program& program, MonoTime now, ProgramPlan& plan) {
  if (!program.terminated) {
    program.terminated = now;
    plan.actions.emplace_back(EndProgram{resource, false});
  } else if (!program.killed && now >= *program.terminated + kGrace) {
    program.killed = true;
    plan.actions.emplace_back(EndProgram{resource, true});
  }
  if (!program.killed) sooner(plan.recheck_after, *program.terminated + kGrace, now);
}

void run(const std::string& resource, Program& program, MonoTime now, ProgramPlan& plan) {
  if (program.phase == Program::Phase::Waiting) {
    if (program.program.once != 0 && program.runs == program.program.once) return;
    if (now < program.due) return sooner(plan.recheck_after, program.due, now);
    program.phase = Program::Phase::Running;
    program.started = now;
    program.terminated.reset();
    program.killed = false;
    program.timed_out = false;
    plan.actions.emplace_back(StartProgram{resource});
  }
  if (program.terminated && !program.timed_out) return end(resource, program, now, plan);  // wanted again meanwhile
  if (!program.program.interval) return;
  const MonoTime limit = program.started + program.program.timeout;
  if (now < limit) return sooner(plan.recheck_after, limit, now);
  program.timed_out = true;
  end(resource, program, now, plan);
}

}  // namespace

ProgramPlan decide_programs(const std::map<std::string, status::CheckerProgram>& wanted, Programs programs, MonoTime now) {
  ProgramPlan plan;
  plan.programs = std::move(programs);
  for (const auto& [resource, program] : wanted) {
    plan.programs.try_emplace(resource, Program{.program = program, .due = now});
  }
  for (auto it = plan.programs.begin(); it != plan.programs.end();) {
    auto& [resource, program] = *it;
    const auto want = wanted.find(resource);
    const bool is_wanted = want != wanted.end() && want->second == program.program;
    if (is_wanted) {
      run(resource, program, now, plan);
    } else if (program.phase == Program::Phase::Running) {
      end(resource, program, now, plan);
    } else if (want == wanted.end()) {
      it = plan.programs.erase(it);
      continue;
    } else {
      program = Program{.program = want->second, .due = now};
      run(resource, program, now, plan);
    }
    ++it;
  }
  return plan;
}

void note_end(Program& program, int exit_code, MonoTime now) {
  program.phase = Program::Phase::Waiting;
  if (program.terminated && !program.timed_out) {  // by us, and no verdict
    program.due = now;
  } else if (program.program.once != 0) {
    program.runs = program.program.once;
    program.fine = exit_code == 0;
  } else if (program.program.interval) {
    ++program.runs;
    program.fine = exit_code == 0 && !program.timed_out;
    program.due = std::max(now, program.started + *program.program.interval);
  } else {
    program.due = now + kStartAgain;
  }
}

}  // namespace safekit::script
