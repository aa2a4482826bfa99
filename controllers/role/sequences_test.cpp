#include "controllers/role/sequences.h"

#include <gtest/gtest.h>

namespace safekit::role {
namespace {

/// The script calls of a transition as the table of spec/runtime.md 1.5 writes them: `T` for transition, a doubled
/// (graceful, then forced) stop as `name2`, a forced one as `name!`.
std::string scripts_of(const Steps& steps) {
  std::vector<std::string> calls;
  for (const Step& step : steps) {
    const auto* script = std::get_if<RunScript>(&step);
    if (script == nullptr) continue;
    const bool forced = !script->arguments.empty() && script->arguments.front() == "force";
    if (forced && !calls.empty() && calls.back() == script->name) {
      calls.back() += "2";
    } else {
      calls.push_back((script->name == "transition" ? "T" : script->name) + (forced ? "!" : ""));
    }
  }
  return fmt::format("{}", fmt::join(calls, " "));
}

template <class T>
std::ptrdiff_t index_of(const Steps& steps, const std::function<bool(const T&)>& match) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (const T* step = std::get_if<T>(&steps[i]); step != nullptr && match(*step)) return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

const Desired kMirror{.replicates = true};
const Desired kLight{.mode = Mode::Light};
const ReplicaOrder kPrimary{.role = ReplicaOrder::Role::Primary};
const ReplicaOrder kIdleOrder{.role = ReplicaOrder::Role::Idle};

}  // namespace

TEST(Sequences, CallTheScriptsOfTheReferenceInItsOrder) {
  EXPECT_EQ(scripts_of(steps_start(kMirror)), "T prestart");
  EXPECT_EQ(scripts_of(steps_to_alone(kMirror, kPrimary)), "T start_both start_prim start_sec");
  EXPECT_EQ(scripts_of(steps_to_alone(kLight, {})), "T start_both start_prim start_sec");
  EXPECT_EQ(scripts_of(steps_to_second(kMirror, {})), "T");
  EXPECT_EQ(scripts_of(steps_second_ready(kMirror, true)), "start_both start_second start_sec");
  EXPECT_EQ(scripts_of(steps_second_ready(kMirror, false)), "");
  EXPECT_EQ(scripts_of(steps_alone_to_prim(kMirror)), "stop_sec T");
  EXPECT_EQ(scripts_of(steps_prim_to_alone(kMirror, kPrimary)), "T start_sec");
  EXPECT_EQ(scripts_of(steps_failover(kMirror, kPrimary)), "stop_second T start_prim");
  EXPECT_EQ(scripts_of(steps_prim_to_second(kMirror)), "stop_prim2 T start_second start_sec");
  EXPECT_EQ(scripts_of(steps_second_to_prim(kMirror, kPrimary)), "stop_sec stop_second T start_prim");
  const Desired calls{.replicates = true, .callbacks = true};
  EXPECT_EQ(scripts_of(steps_to_second(calls, {})), "T _rfs_callback");
  EXPECT_EQ(scripts_of(steps_prim_to_second(calls)), "stop_prim2 _rfs_callback T start_second start_sec");
  EXPECT_EQ(scripts_of(steps_restart(kMirror, Role::Alone)), "stop_sec2 stop_prim2 stop_both2 start_both start_prim start_sec");
  EXPECT_EQ(scripts_of(steps_restart(kLight, Role::Up)), "stop_sec2 stop_prim2 stop_both2 start_both start_prim start_sec");
  EXPECT_EQ(scripts_of(steps_restart(kMirror, Role::Prim)), "stop_prim2 stop_both2 start_both start_prim");
  EXPECT_EQ(scripts_of(steps_restart(kMirror, Role::Second)),
            "stop_sec2 stop_second2 stop_both2 start_both start_second start_sec");
  EXPECT_EQ(scripts_of(steps_stop(kMirror, Role::Prim, "stop", kIdleOrder)), "stop_prim stop_both T");
  EXPECT_EQ(scripts_of(steps_stop(kMirror, Role::Alone, "stop", kIdleOrder)), "stop_sec stop_prim stop_both T");
  EXPECT_EQ(scripts_of(steps_stop(kLight, Role::Up, "stop", kIdleOrder)), "stop_sec stop_prim stop_both T");
  EXPECT_EQ(scripts_of(steps_stop(kMirror, Role::Second, "stop", kIdleOrder)), "stop_sec stop_second stop_both T");
  EXPECT_EQ(scripts_of(steps_end_stop(kMirror, "stop")), "stop_sec! stop_prim! stop_second! stop_both! poststop T");
}

TEST(Sequences, GiveScriptsTheirStatesAndAction) {
  const auto arguments = [](const Steps& steps, std::string_view name) {
    for (const Step& step : steps) {
      if (const auto* script = std::get_if<RunScript>(&step); script != nullptr && script->name == name) return script->arguments;
    }
    return std::vector<std::string>{"no such script"};
  };
  using Arguments = std::vector<std::string>;
  EXPECT_EQ(arguments(steps_start(kMirror), "transition"), (Arguments{"STOP", "WAIT", "start"}));
  EXPECT_EQ(arguments(steps_to_alone(kMirror, kPrimary), "start_prim"), (Arguments{"WAIT", "ALONE"}));
  EXPECT_EQ(arguments(steps_restart(kMirror, Role::Alone), "start_prim"), (Arguments{"ALONE", "ALONE"}));
  EXPECT_EQ(arguments(steps_restart(kMirror, Role::Alone, {"db", "web"}), "start_prim"), (Arguments{"ALONE", "ALONE", "-Services", "db, web"}));
  EXPECT_EQ(arguments(steps_stop(kMirror, Role::Prim, "stopwait", kIdleOrder), "stop_prim"), (Arguments{"PRIM", "WAIT", "stopwait"}));
  EXPECT_EQ(arguments(steps_end_stop(kMirror, "stop"), "stop_prim"), (Arguments{"force", "WAIT", "STOP", "stop"}));
}

TEST(Sequences, SetTheAddressBeforeTheApplicationAndTakeItAwayAfterIt) {
  for (const Steps& steps : {steps_to_alone(kMirror, kPrimary), steps_failover(kMirror, kPrimary), steps_second_to_prim(kMirror, kPrimary)}) {
    const auto address = index_of<SetAddresses>(steps, [](const auto& step) { return step.wanted; });
    const auto application = index_of<RunScript>(steps, [](const auto& step) { return step.name == "start_prim"; });
    const auto data = index_of<OrderReplica>(steps, [](const auto& step) { return step.order.role == ReplicaOrder::Role::Primary; });
    EXPECT_TRUE(data >= 0 && data < address && address < application);
  }
  for (const Steps& steps : {steps_stop(kMirror, Role::Prim, "stop", kIdleOrder), steps_prim_to_second(kMirror)}) {
    const auto application = index_of<RunScript>(steps, [](const auto& step) { return step.name == "stop_prim"; });
    const auto address = index_of<SetAddresses>(steps, [](const auto& step) { return !step.wanted; });
    const auto data = index_of<OrderReplica>(steps, [](const auto& step) { return step.order.role == ReplicaOrder::Role::Idle; });
    const auto published = index_of<EnterState>(
        steps, [](const auto& step) { return step.role == Role::Wait || step.role == Role::Second; });
    EXPECT_TRUE(application >= 0 && application < address && address < data && data < published);
  }
}

TEST(Sequences, WatchOnlyWhileTheScriptsOfTheRoleHaveRun) {
  const Steps start = steps_to_alone(kMirror, kPrimary);
  EXPECT_GT(index_of<Watch>(start, [](const auto& step) { return step.classes.contains(WatchClass::Prim); }),
            index_of<RunScript>(start, [](const auto& step) { return step.name == "start_prim"; }));
  const Steps stop = steps_stop(kMirror, Role::Prim, "stop", kIdleOrder);
  EXPECT_LT(index_of<Watch>(stop, [](const auto& step) { return !step.classes.contains(WatchClass::Prim); }),
            index_of<RunScript>(stop, [](const auto& step) { return step.name == "stop_prim"; }));
}

TEST(Sequences, RunNoScriptWithoutAUserSection) {
  EXPECT_EQ(scripts_of(steps_to_alone({.scripts = false}, kPrimary)), "");
}

}  // namespace safekit::role
