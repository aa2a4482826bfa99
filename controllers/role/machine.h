#pragma once

#include "controllers/role/plan.h"
#include "controllers/role/start.h"

/// The inside of `decide`: one pass over operations, detectors' requests, steps and the rules of a stable state. Only
/// plan.cpp and its parts (operations.cpp, loop.cpp, partner.cpp, lease.cpp, rules.cpp, rest_wait.cpp, rest_second.cpp) include this.
namespace safekit::role {

/// The outcome of a command that was taken; any other one says why it was refused.
inline constexpr std::string_view kDone = "done";

class Machine {
 public:
  Machine(const Desired& desired, const Observed& observed, const Memory& memory)
      : desired_(desired), observed_(observed), elapsed_(observed.elapsed), plan_{.memory = memory} {}

  void take_dates();
  void drop_dates();
  void take_operations();
  /// Acts upon what detectors ask for, each request once. Returns whether anything moved.
  bool take_requests();
  /// A primary whose peer no longer has everything may go on alone as soon as the peer cannot take over with old data.
  /// Also asked in the middle of a transition, because its scripts may be what waits for the disk.
  bool let_go_alone();
  bool note_partner();
  /// Sets the first step going or finishes it. Returns whether anything moved.
  bool advance();
  /// Decides in a stable state, with no step left. Returns whether anything moved.
  bool at_rest();
  /// Says what is wanted of the witness, when nothing moves any more.
  void settle_lease();
  Plan take() { return std::move(plan_); }

 private:
  Memory& memory() { return plan_.memory; }
  status::RoleSection& section() { return plan_.memory.section; }
  [[nodiscard]] const status::RoleSection& section() const { return plan_.memory.section; }
  [[nodiscard]] bool is_ready() const { return section().readiness == Readiness::Ready; }
  [[nodiscard]] bool is_running() const { return section().role != Role::Stop && section().role != Role::Wait; }
  [[nodiscard]] bool failover_on() const { return desired_.failover && observed_.settings.failover; }

  void say(std::string_view component, char level, std::string text);
  void enter(Role role, Readiness readiness);
  void begin(std::deque<Step> steps);
  void begin_start(Intent intent);
  void begin_stop(std::string_view word, bool start_again);
  /// One that was asked for during a transition.
  bool stop_as_requested();
  /// A stop that nobody asked for; `cause` stays readable in STOP.
  void stop_for_fault(std::string cause);
  [[nodiscard]] bool peer_leaves_too() const;
  [[nodiscard]] bool peer_takes_over() const;
  void settle_leaving(ReplicaOrder& order);
  [[nodiscard]] ReplicaOrder order_when_leaving() const;
  // The limit of corrective actions.
  [[nodiscard]] bool loop_is_limited() const;
  [[nodiscard]] bool is_last_action() const;  ///< the next one is one too many
  void reset_loop();
  void add_to_loop();
  /// Counts a corrective action; at the limit it stops the module instead and returns false.
  bool count_action();
  std::string loop_operation(const store::Operation& op);
  /// The stopstart that has begun was a detector's (`automaticReboot`).
  void reboot_between();
  void act(const status::ActionRequest& request);

  // Operations (spec/operations.md 1.13). Each returns the outcome.
  std::string operation(const store::Operation& operation);
  std::string carry_out(const store::Operation& operation);
  std::string start_operation(const store::Operation& operation, Intent intent);
  std::string stop_operation(const store::Operation& operation, bool start_again);
  std::string force_stop_operation();
  std::string restart_operation();
  std::string swap_operation();
  std::string update_operation();
  [[nodiscard]] bool is_updating() const;
  std::string sync_now_operation();

  // Steps. `begin_step` sets it going; `is_done` looks; `has_failed` ends the transition.
  void begin_step(const Step& step);
  [[nodiscard]] bool is_done(const Step& step) const;
  void end_step(const Step& step);
  [[nodiscard]] std::optional<std::string> failure_of(const Step& step) const;
  /// Why a callback that has ended forbids to go on; nothing when it does not.
  [[nodiscard]] std::optional<std::string> refusal_of(const Step& step) const;

  // The witness (lease.cpp).
  [[nodiscard]] bool has_granting_witness() const { return desired_.witness == status::LeaseSection::Witness::Grants; }
  /// The peer is not heard: may this node be active without it?
  [[nodiscard]] bool witness_allows() const;
  void go_alone_by(AloneBy right) { memory().alone_by = right; }
  [[nodiscard]] bool is_by_lease() const { return has_granting_witness() && plan_.memory.alone_by == AloneBy::Witness; }
  [[nodiscard]] bool takes_role() const;
  [[nodiscard]] bool is_beaten() const;
  [[nodiscard]] LeaseNeed need_of_lease() const;
  [[nodiscard]] LeaseNeed need_at_start() const;

  // Stable states.
  bool rest_wait();
  /// `evidence`: what the verdict of a failover rule does not say.
  bool block(std::string_view label, std::string reason, std::vector<Say> lines, std::vector<std::string> evidence = {});
  void say_forced();
  bool wait_for_date();
  bool start_decided();
  bool give_up(StartOutcome outcome);
  bool rest_serving();
  bool replica_failed();
  bool split_brain();
  /// PRIM of a pair whose stream is gone, and no leave to go on without it yet.
  [[nodiscard]] bool is_parted() const;
  [[nodiscard]] bool is_passed_over() const;
  bool passed_over();
  void give_way();
  bool rest_alone();
  bool rest_prim();
  [[nodiscard]] bool peer_cannot_take_over() const;
  /// The peer is a stable secondary that has every acknowledged write.
  [[nodiscard]] bool peer_is_complete() const;
  bool rest_second();
  bool join_primary();
  bool second_synchronising();
  bool second_ready();
  /// `syncAt`: synchronised, it waits for the next date.
  bool leave_until_next_date();
  bool fail_over(std::string_view why);
  bool fail_over_from_dead(std::string_view why);
  bool default_primary_swap();

  const Desired& desired_;
  const Observed& observed_;
  Elapsed elapsed_;  ///< each ends when its moment is noted anew
  Plan plan_;
};

}  // namespace safekit::role
