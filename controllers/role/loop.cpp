#include <fmt/format.h>

#include "controllers/role/machine.h"

/// The limit of corrective actions: spec/runtime.md 3.7.
namespace safekit::role {
namespace {

std::string limit_text(const Desired& desired) {
  return fmt::format("{} corrective actions within {}", desired.max_loop, safekit::to_string(desired.loop_interval));
}

}  // namespace

bool Machine::loop_is_limited() const { return desired_.loop_interval.count() != 0; }

bool Machine::is_last_action() const {
  const bool anew = section().loop_count == 0 || elapsed_.loop_interval;
  return loop_is_limited() && (anew ? 0 : section().loop_count) + 1 > desired_.max_loop;
}

void Machine::reset_loop() {
  Memory& m = memory();
  section().loop_count = 0;
  m.loop_exceeded = false;
  m.loop_began = m.loop_last = observed_.wall_now;
  elapsed_.loop_interval = elapsed_.loop_interval_of_last = false;
}

void Machine::add_to_loop() {
  if (!loop_is_limited()) return;
  if (section().loop_count == 0 || elapsed_.loop_interval) reset_loop();
  ++section().loop_count;
  memory().loop_last = observed_.wall_now;
  elapsed_.loop_interval_of_last = false;
}

bool Machine::count_action() {
  const bool last = is_last_action();
  add_to_loop();
  if (!last) return true;
  Memory& m = memory();
  say("heartplug", 'C', "Action stop called by maxloop");
  m.loop_exceeded = true;
  m.fault = fmt::format("stopped after {}: mend the cause, then `safekit start`", limit_text(desired_));
  if (m.steps.empty()) {
    begin_stop("stop", false);
  } else {
    m.stop_requested = true;
    m.stop_requested_again = false;
  }
  section().reason = m.fault;
  return false;
}

std::string Machine::loop_operation(const store::Operation& op) {
  const auto is_over = [this] { return loop_is_limited() && section().loop_count > desired_.max_loop; };
  if (op.verb == store::kCheckLoop) {
    return is_over() && !elapsed_.loop_interval_of_last ? fmt::format("there were more than {}", limit_text(desired_))
                                                       : std::string{kDone};
  }
  if (op.verb == store::kIncLoop && !op.automatic) return "incloop needs the name of who counts: -i NAME";
  say("safekit", op.automatic ? 'C' : 'U', fmt::format("Action {} called by {}", op.verb, op.caller));
  if (op.verb == store::kResetLoop) {
    reset_loop();
    return std::string{kDone};
  }
  add_to_loop();
  return is_over() ? fmt::format("these were more than {}: `safekit stop -i NAME` is what follows", limit_text(desired_))
                   : std::string{kDone};
}

}  // namespace safekit::role
