#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"
#include "schema/status/condition.h"
#include "schema/status/resource_value.h"
#include "schema/status/role.h"
#include "schema/status/timeline.h"

/// What one node sees of one module, in sections. Each section has exactly one writer, the controller it is named after;
/// the others read it. This is how controllers speak to each other (style.md 3): through the store, never directly.
namespace safekit::status {

/// Not a script: ends every process that scripts of the module have started, with SIGTERM and, after a while, SIGKILL.
inline constexpr std::string_view kEndProcesses = "_end_processes";

/// A role script to be run once (spec/runtime.md 2). `run` is new for each execution, also of the same script.
struct ScriptOrder {
  std::uint64_t run{0};
  std::string name{};                    ///< `start_prim`
  std::vector<std::string> arguments{};  ///< `force` first where forced, then current state, next state, action
  Duration time_limit{};                 ///< 0: none
  friend bool operator==(const ScriptOrder&, const ScriptOrder&) = default;
};

/// Which processes and checkers are watched now (spec/config.md 2.11, the table of classes).
enum class WatchClass { Pre, Prim, Both, Second, Sec };

/// What the replica of this module shall be; control::Want without its number.
struct ReplicaOrder {
  enum class Role { None, Idle, Primary, Secondary };  ///< None: no process
  Role role{Role::None};
  bool may_be_alone{false};
  bool mark_out_of_date{false};
  std::uint64_t pairing{0};
  bool force_up_to_date{false};
  bool full_resync{false};
  bool by_lease{false};
  bool peer_left{false};
  friend bool operator==(const ReplicaOrder&, const ReplicaOrder&) = default;
};

/// What the role wants of the module's witness (docs/leases.md).
enum class LeaseNeed {
  None,       ///< nothing: a lease is not renewed, and a verdict forgotten
  GivenBack,  ///< as None, and the witness is to hold nothing of this node: the pair is complete
  Forgone,    ///< as None, also without a witness: this node gives way to the other one, and what it has begun comes to nothing
  Stands,  ///< nothing is asked, what was said stands: in WAIT, and while the role is being left
  Wanted,  ///< active without the peer, which cannot take over: the lease is asked for, and nothing follows where it is refused
  Needed,  ///< active without the peer, or about to be, by the lease alone
};

/// Writer: role. State, and what the other controllers shall bring about.
struct RoleSection {
  Role role{Role::Stop};
  Readiness readiness{Readiness::NotReady};
  WallTime since{};
  WallTime serving_since{};           ///< the application was started last, by a start, restart, failover or swap; zero: it does not run here
  std::string reason{};               ///< why it is in this state, one sentence
  std::string waiting_for{};          ///< in WAIT NotReady: label of the rule that holds it (`notuptodate_server`)
  std::vector<std::string> evidence{};  ///< with waiting_for: what it rests on, one fact each, beside the verdict of a failover rule
  /// This copy last worked as one of a connected pair and has not been parted from it in an orderly way: whether it is
  /// the newest cannot be known before the peer is seen (spec/runtime.md 1.6, double power loss). Kept over power loss.
  bool paired{false};
  bool in_service_hand_over{false};   ///< a swap is under way: the peer may take the primary role without this node's stop
  bool wants_primary{false};          ///< started by `prim`: the peer shall not take the role meanwhile
  bool came_from_second{false};       ///< this ALONE began as a failover: it gives way after a split brain
  bool swap_requested{false};         ///< this secondary asks its primary to swap
  bool out_of_date_requested{false};  ///< this primary lost the replication stream and asks the peer to mark itself
  std::uint64_t asked_pairing{0};     ///< with out_of_date_requested: ReplicationSection::pairing that it is about
  std::optional<ScriptOrder> script{};
  ReplicaOrder replica{};
  bool addresses_wanted{false};
  LeaseNeed lease{LeaseNeed::None};
  bool may_fence{false};  ///< with Needed: a witness that is a program may switch the other node off (docs/witness.md)
  bool lease_by_hand{false};  ///< with Wanted: by a person's word it takes the place of a holder whose lease has run out
  std::set<WatchClass> watched{};
  std::uint32_t loop_count{0};        ///< corrective actions inside loop_interval
  friend bool operator==(const RoleSection&, const RoleSection&) = default;
};

/// A program that runs while its checker is watched; with an interval, again and again; once, for a handler. Ordered by checker
/// and errd, run by script.
struct CheckerProgram {
  std::string exec{};                    ///< absolute, or relative to the module's `bin`
  std::vector<std::string> arguments{};
  std::optional<Duration> interval{};
  Duration timeout{};                    ///< of one run, with an interval
  std::uint64_t once{0};                 ///< not 0: one run, which has this number
  friend bool operator==(const CheckerProgram&, const CheckerProgram&) = default;
};
/// How the last run of a checker with an interval, or of a handler, ended.
struct CheckerRun {
  std::uint64_t count{0};  ///< of runs that have ended; of a handler CheckerProgram::once
  bool fine{false};        ///< exit code 0, in time
  friend bool operator==(const CheckerRun&, const CheckerRun&) = default;
};

/// Writer: script. What became of the last order, and of the programs of checkers.
struct ScriptSection {
  std::uint64_t run{0};       ///< of the order it speaks of
  bool running{false};
  bool finished{false};
  bool timed_out{false};
  bool missing{false};        ///< there is no such script: that counts as success
  int exit_code{0};           ///< 128 + signal for a script that was killed
  std::string output_file{};
  std::map<std::string, CheckerRun> checkers{};  ///< by resource; only those with an interval, and handlers
  bool left_running{false};    ///< processes that scripts have started are there
  std::uint64_t configured{0};  ///< store::version_of the spec for which `config` and `postconfig` have run, or were not there
  std::string unconfigured{};   ///< which of them failed, and how
  bool by_hand{false};          ///< the application runs by AM_start_wrapper: its addresses are to be here in STOP
  friend bool operator==(const ScriptSection&, const ScriptSection&) = default;
};

/// Writer: replication. A copy of the replica's report (control::Report), and of the process itself.
struct ReplicationSection {
  bool configured{false};        ///< the module replicates directories; false: everything below is meaningless
  ReplicaOrder order{};          ///< the order that `settled` speaks of
  bool alive{false};             ///< the process runs and answers
  /// The process died under a Primary or Secondary role, and none could take its place; stays until the role is Idle/None.
  bool died{false};
  bool hung{false};              ///< the replicated file system of this primary does not answer (`checkTimeout`)
  std::uint32_t successors{0};   ///< processes that followed one that died, one after the other, until one is steady
  bool settled{false};
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever_synchronised{false};
  bool has_data{false};
  bool last_primary{false};
  bool connected{false};
  bool peer_synchronised{false};
  bool unverified{false};        ///< Secondary: its copy has all, and the primary still compares it
  bool restorable{false};        ///< the last consistent copy is kept, and `prim` puts it in the place of an inconsistent one
  bool waiting_for_alone{false};
  bool diverged{false};
  std::string phase{};
  std::uint64_t files_total{0};
  std::uint64_t files_done{0};
  std::uint64_t bytes_copied{0};
  std::uint64_t generation{0};
  std::uint64_t pairing{0};
  bool frozen{false};               ///< Primary, with a witness that grants leases: it has no right to acknowledge anything now
  std::uint64_t outside_writes{0};  ///< Secondary: changes of its copy by others, as far as they were found
  std::string outside_last{};
  // How the next synchronisation is to be made (spec/operations.md 1.11, Policy resources).
  std::string sync_mode{"default"};  ///< `default`, `full`, `external`, `date`
  std::string sync_role{"default"};  ///< of external: `prim`, `second`; of date: `second`
  std::string sync_uid{"default"};   ///< of external; of date: the date
  bool sync_ready{true};             ///< what was chosen has been acted upon
  std::string problem{};
  bool fatal{false};
  friend bool operator==(const ReplicationSection&, const ReplicationSection&) = default;
};

/// Where a virtual address is, or would be set.
struct AddressPlace {
  std::string address{};
  std::string interface {};
  friend bool operator==(const AddressPlace&, const AddressPlace&) = default;
};

/// Writer: vip.
struct AddressSection {
  bool all_set{false};    ///< every virtual address is on its interface
  bool all_unset{true};   ///< none is
  std::string problem{};  ///< address already in use by 'mac', no interface found ...
  bool in_use_elsewhere{false};  ///< the probe at module start found another machine with an address
  bool probed{false};            ///< the probe of the start has been made
  std::vector<AddressPlace> places{};  ///< of every virtual address of a mirror module, in every role; without those that fit nowhere
  friend bool operator==(const AddressSection&, const AddressSection&) = default;
};

/// A corrective action that a detector asks for. `id` grows; the role controller notes the last one it acted upon.
struct ActionRequest {
  std::uint64_t id{0};
  std::string action{};  ///< `restart`, `stopstart`, `stop`, `wait`, `swap`
  std::string by{};      ///< `errd`, or the label of a failover rule
  bool from_rule{false};
  std::vector<std::string> services{};  ///< restart: only these, in start order; none: all
  friend bool operator==(const ActionRequest&, const ActionRequest&) = default;
};

/// Writer: errd.
struct ErrdSection {
  std::set<WatchClass> watched{};  ///< what it has taken up of RoleSection::watched
  std::optional<ActionRequest> request{};
  std::map<std::string, CheckerProgram> handlers{};  ///< by a name of their own: what shall run now
  friend bool operator==(const ErrdSection&, const ErrdSection&) = default;
};

/// Writer: checker. What it finds is in the resources.
struct CheckerSection {
  std::set<WatchClass> watched{};
  std::set<std::string> awaited{};  ///< resources that are looked at and have no value yet
  std::map<std::string, CheckerProgram> programs{};  ///< by resource: what shall run now
  friend bool operator==(const CheckerSection&, const CheckerSection&) = default;
};

/// One failover rule as it stands, for people.
struct RuleVerdict {
  std::string condition{};
  std::string action{};
  std::string holds{};                 ///< `holds`, `does not hold`, `is not known yet`, `is switched off`
  std::vector<std::string> because{};  ///< `tcp.web is down`: what decides it
  WallTime since{};
  friend bool operator==(const RuleVerdict&, const RuleVerdict&) = default;
};

/// Writer: lease. What the module's witness says to RoleSection::lease.
struct LeaseSection {
  enum class Witness {
    None,
    Reachable,  ///< one that only answers (SafeKit's `ping`): who reaches it may go on, and both may
    Grants,     ///< one that grants a lease to one node at a time
  };
  enum class Answer {
    NotAsked,
    Asked,    ///< and nothing has come back yet
    Granted,
    Refused,  ///< the peer holds the lease
    Silent,   ///< the witness was not reached
  };
  Witness witness{Witness::None};
  Answer answer{Answer::NotAsked};
  /// With Grants and Granted: when the lease ends, by this node's CLOCK_BOOTTIME and counted from before the witness was
  /// asked. It moves on with each renewal; what this node alone may do (acknowledge writes, own addresses) ends before it.
  MonoTime until{};
  /// It was granted for a node that is off, and that node was heard since: it is good for what was begun with it, while that goes on,
  /// and for nothing that begins with another silence.
  bool spent{false};
  [[nodiscard]] bool lets_begin() const { return answer == Answer::Granted && !spent; }
  std::string detail{};  ///< for people: who holds it, why it was not reached
  friend bool operator==(const LeaseSection&, const LeaseSection&) = default;
};

/// Writer: failover.
struct FailoverSection {
  std::set<WatchClass> watched{};  ///< CheckerSection::watched that it speaks of
  std::optional<ActionRequest> request{};
  std::vector<std::string> wait_rules_true{};  ///< labels of the wait rules that are true now
  bool wait_rule_init{false};                  ///< some resource of a wait rule has no value yet
  std::map<std::string, RuleVerdict> verdicts{};  ///< by label
  friend bool operator==(const FailoverSection&, const FailoverSection&) = default;
};

/// Writer: membership. The peer's instance, as its heartbeats say. Mirror only.
struct PeerSection {
  NodeName name{};
  bool heard{false};      ///< some network's heartbeat is up
  bool silence_known{false};  ///< not heard, and every network has been silent for its time-out: decisions may rest on it
  bool absence_known{false};  ///< and so is every network of the cluster that carries no heartbeat of this module
  std::map<std::string, bool> heartbeats{};  ///< by ident
  bool module_known{false};   ///< the peer has this module (same name) configured
  Role role{Role::Stop};
  Readiness readiness{Readiness::NotReady};
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever_synchronised{false};
  bool has_data{false};
  bool last_primary{false};
  bool replicates{false};          ///< its journal has been read: the flags above mean something
  bool paired{false};              ///< RoleSection::paired over there
  bool in_service_hand_over{false};
  bool swap_requested{false};
  bool out_of_date_requested{false};
  bool marked_out_of_date{false};  ///< its copy is marked, durably, as not to be promoted
  std::uint64_t asked_pairing{0};     ///< RoleSection::asked_pairing over there
  /// What is said here was said after the peer heard this node ask about that pairing: a Second has marked its copy since.
  std::uint64_t answered_pairing{0};
  bool wants_primary{false};       ///< RoleSection::wants_primary over there
  bool came_from_second{false};    ///< RoleSection::came_from_second over there
  bool holds_lease{false};         ///< of the module's witness
  std::uint64_t generation{0};     ///< data generation
  std::map<std::string, std::string> resources{};  ///< values there of those that failover rules here name, by `class.id`
  MonoTime last_heard{};  ///< with silence_known: when the last heartbeat came
  friend bool operator==(const PeerSection&, const PeerSection&) = default;
};

/// Settings changed by commands; they persist until changed again or until the module is applied anew.
struct Settings {
  bool errd{true};
  bool checker{true};
  bool failover{true};
  std::optional<bool> boot{};
  friend bool operator==(const Settings&, const Settings&) = default;
};

struct Module {
  ModuleName name{};
  RoleSection role{};
  ScriptSection script{};
  ReplicationSection replication{};
  AddressSection addresses{};
  ErrdSection errd{};
  CheckerSection checker{};
  FailoverSection failover{};
  LeaseSection lease{};
  PeerSection peer{};
  std::optional<Timeline> last_move{};  ///< writer: role; of the last time this node took the primary role from the other
  Settings settings{};
  std::map<std::string, ResourceValue> resources{};  ///< `class.id` -> value; each has one writer
  std::vector<Condition> conditions{};
  std::uint64_t observed_generation{0};  ///< metadata.generation of the spec that the role acted on last
  friend bool operator==(const Module&, const Module&) = default;
};

}  // namespace safekit::status
