#include "controllers/role/sequences.h"

#include <initializer_list>

#include <fmt/format.h>

namespace safekit::role {
namespace {

std::string name_of(Role role) { return std::string{status::to_string(role)}; }

/// Builds one transition: the pair of states and the action word are the arguments of all its scripts.
class Builder {
 public:
  Builder(const Desired& desired, Role from, Role to, std::string_view word)
      : desired_(desired), arguments_{name_of(from), name_of(to)} {
    if (!word.empty()) arguments_.emplace_back(word);
  }

  /// Further arguments of the scripts that follow.
  Builder& with(const std::vector<std::string>& more) {
    arguments_.insert(arguments_.end(), more.begin(), more.end());
    return *this;
  }
  Builder& state(Role role, Readiness readiness) {
    steps_.emplace_back(EnterState{role, readiness});
    return *this;
  }
  Builder& run(std::string_view script) { return add(script, false, {}); }
  /// The graceful form only, or any other script that must end.
  Builder& stop(std::string_view script) { return add(script, false, desired_.nice_stop_limit); }
  Builder& stop_forced(std::string_view script) { return add(script, true, desired_.force_stop_limit); }
  Builder& stop_twice(std::string_view script) { return stop(script).stop_forced(script); }
  Builder& watch(std::set<WatchClass> classes) {
    steps_.emplace_back(Watch{std::move(classes)});
    return *this;
  }
  Builder& replica(const ReplicaOrder& order) {
    if (desired_.replicates) steps_.emplace_back(OrderReplica{order});
    return *this;
  }
  Builder& callback(std::string_view event) {
    if (desired_.callbacks) steps_.emplace_back(RunScript{.name = std::string{kCallback}, .arguments = {std::string{event}}});
    return *this;
  }
  Builder& addresses(bool wanted) {
    steps_.emplace_back(SetAddresses{wanted});
    return *this;
  }
  Steps take() { return std::move(steps_); }

 private:
  Builder& add(std::string_view script, bool forced, Duration limit) {
    if (!desired_.scripts) return *this;
    RunScript step{.name = std::string{script}, .limit = limit};
    if (forced) step.arguments.emplace_back("force");
    step.arguments.insert(step.arguments.end(), arguments_.begin(), arguments_.end());
    steps_.emplace_back(std::move(step));
    return *this;
  }

  const Desired& desired_;
  std::vector<std::string> arguments_;
  Steps steps_{};
};

constexpr ReplicaOrder kIdle{.role = ReplicaOrder::Role::Idle};
constexpr ReplicaOrder kSecondary{.role = ReplicaOrder::Role::Secondary};
const std::set<WatchClass> kOnlyPre{WatchClass::Pre};

}  // namespace

std::set<WatchClass> classes_of(Role role) {
  switch (role) {
    case Role::Stop: return {};
    case Role::Wait: return kOnlyPre;
    case Role::Alone: return {WatchClass::Pre, WatchClass::Both, WatchClass::Prim, WatchClass::Sec};
    case Role::Prim: return {WatchClass::Pre, WatchClass::Both, WatchClass::Prim};
    case Role::Second: return {WatchClass::Pre, WatchClass::Both, WatchClass::Second, WatchClass::Sec};
    case Role::Up: return {WatchClass::Pre, WatchClass::Both, WatchClass::Prim, WatchClass::Sec};
  }
  return {};
}

Steps steps_start(const Desired& desired) {
  return Builder{desired, Role::Stop, Role::Wait, "start"}
      .state(Role::Wait, Readiness::Transient)
      .run("transition")
      .run("prestart")
      .watch(kOnlyPre)
      .replica(kIdle)
      .take();
}

Steps steps_to_alone(const Desired& desired, const ReplicaOrder& order) {
  const Role role = desired.mode == Mode::Mirror ? Role::Alone : Role::Up;
  Builder builder{desired, Role::Wait, role, ""};
  return builder.state(role, Readiness::Transient)
      .run("transition")
      .replica(order)
      .addresses(true)
      .run("start_both")
      .run("start_prim")
      .run("start_sec")
      .watch(classes_of(role))
      .state(role, Readiness::Ready)
      .take();
}

Steps steps_to_second(const Desired& desired, const ReplicaOrder& order) {
  return Builder{desired, Role::Wait, Role::Second, ""}
      .state(Role::Second, Readiness::Transient)
      .run("transition")
      .replica(order)
      .callback("_rfs_startsynch")
      .take();
}

Steps steps_second_ready(const Desired& desired, bool run_scripts) {
  Builder builder{desired, Role::Wait, Role::Second, ""};
  if (run_scripts) builder.run("start_both").run("start_second").run("start_sec");
  return builder.watch(classes_of(Role::Second)).state(Role::Second, Readiness::Ready).take();
}

Steps steps_alone_to_prim(const Desired& desired) {
  return Builder{desired, Role::Alone, Role::Prim, ""}
      .replica({.role = ReplicaOrder::Role::Primary})
      .watch({WatchClass::Pre, WatchClass::Both, WatchClass::Prim})
      .stop("stop_sec")
      .run("transition")
      .state(Role::Prim, Readiness::Ready)
      .take();
}

Steps steps_prim_to_alone(const Desired& desired, const ReplicaOrder& order) {
  return Builder{desired, Role::Prim, Role::Alone, ""}
      .replica(order)
      .run("transition")
      .run("start_sec")
      .watch(classes_of(Role::Alone))
      .state(Role::Alone, Readiness::Ready)
      .take();
}

Steps steps_failover(const Desired& desired, const ReplicaOrder& order) {
  return Builder{desired, Role::Second, Role::Alone, ""}
      .state(Role::Second, Readiness::Transient)
      .watch({WatchClass::Pre, WatchClass::Both, WatchClass::Sec})
      .stop("stop_second")
      .state(Role::Alone, Readiness::Transient)
      .run("transition")
      .replica(order)
      .addresses(true)
      .run("start_prim")
      .watch(classes_of(Role::Alone))
      .state(Role::Alone, Readiness::Ready)
      .take();
}

Steps steps_prim_to_second(const Desired& desired) {
  return Builder{desired, Role::Prim, Role::Second, ""}
      .state(Role::Prim, Readiness::Transient)
      .watch({WatchClass::Pre, WatchClass::Both})
      .stop_twice("stop_prim")
      .addresses(false)
      .replica(kIdle)
      .callback("_rfs_pritoscd")
      .run("transition")
      .state(Role::Second, Readiness::Transient)
      .replica(kSecondary)
      .run("start_second")
      .run("start_sec")
      .watch(classes_of(Role::Second))
      .take();
}

Steps steps_second_to_prim(const Desired& desired, const ReplicaOrder& order) {
  return Builder{desired, Role::Second, Role::Prim, ""}
      .state(Role::Second, Readiness::Transient)
      .watch({WatchClass::Pre, WatchClass::Both})
      .stop("stop_sec")
      .stop("stop_second")
      .run("transition")
      .state(Role::Prim, Readiness::Transient)
      .replica(order)
      .addresses(true)
      .run("start_prim")
      .watch(classes_of(Role::Prim))
      .state(Role::Prim, Readiness::Ready)
      .take();
}

Steps steps_restart(const Desired& desired, Role role, const std::vector<std::string>& services) {
  Builder builder{desired, role, role, ""};
  if (!services.empty()) builder.with({"-Services", fmt::format("{}", fmt::join(services, ", "))});
  builder.state(role, Readiness::Transient).watch(kOnlyPre);
  const bool serves = status::is_serving(role);
  const bool sec = role != Role::Prim;
  if (sec) builder.stop_twice("stop_sec");
  builder.stop_twice(serves ? "stop_prim" : "stop_second").stop_twice("stop_both");
  builder.run("start_both").run(serves ? "start_prim" : "start_second");
  if (sec) builder.run("start_sec");
  return builder.watch(classes_of(role)).state(role, Readiness::Ready).take();
}

Steps steps_update(const Desired& desired, Role role) { return Builder{desired, role, role, ""}.stop(kUpdate).take(); }

Steps steps_stop(const Desired& desired, Role role, std::string_view word, const ReplicaOrder& order) {
  Builder builder{desired, role, Role::Wait, word};
  if (role != Role::Wait) {
    builder.state(role, Readiness::Transient).watch(kOnlyPre);
    if (role != Role::Prim) builder.stop("stop_sec");
    builder.stop(status::is_serving(role) ? "stop_prim" : "stop_second").stop("stop_both");
  }
  builder.addresses(false);
  // In WAIT it has had no part yet; a stop must not depend on a replica that perhaps cannot run.
  if (role != Role::Wait) builder.replica(order).run("transition");
  return builder.state(Role::Wait, Readiness::Transient).take();
}

Steps steps_end_stop(const Desired& desired, std::string_view word) {
  return Builder{desired, Role::Wait, Role::Stop, word}
      .stop_forced("stop_sec")
      .stop_forced("stop_prim")
      .stop_forced("stop_second")
      .stop_forced("stop_both")
      .watch({})
      .run("poststop")
      .run("transition")
      .replica({.role = ReplicaOrder::Role::None})
      .state(Role::Stop, Readiness::NotReady)
      .take();
}

}  // namespace safekit::role
