#pragma once

#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "reconciler/store/object.h"
#include "schema/base/time.h"
#include "schema/status/module.h"

/// The state machine of a module on one node: spec/runtime.md 1.1 to 1.8, extended by design.md 6.
///
///            start              decided           peer Ready
///   STOP ------------> WAIT ------------> ALONE <------------> PRIM
///     ^                 | |                 ^  ^                 |
///     |                 | +---> SECOND -----+  +---- swap -------+ (PRIM <-> SECOND)
///     +--- end of stop -+          failover
///
/// A transition is a list of steps (scripts, replica, addresses, watching); `decide` works the list off as the other
/// controllers report each step done, and takes the next decision when it is empty. Everything it must find again after
/// a restart of the daemon is in Memory.
namespace safekit::role {

using status::LeaseNeed;
using status::Readiness;
using status::ReplicaOrder;
using status::Role;
using status::WatchClass;

enum class Mode { Mirror, Farm, Light };

/// What the user wants of the module, as far as roles depend on it.
struct Desired {
  bool exists{true};  ///< false: the module was deleted, or no longer names this node
  Mode mode{Mode::Mirror};
  bool replicates{false};
  std::string directories{};  ///< the replicated ones, as a message names them
  bool scripts{true};  ///< there is a <user> section
  bool callbacks{false};  ///< kCallback is run
  bool failover{true};
  status::LeaseSection::Witness witness{status::LeaseSection::Witness::None};
  enum class DefaultPrimary { Alone, LastPrim, ThisNode, OtherNode };
  DefaultPrimary default_primary{DefaultPrimary::Alone};
  bool first_named{false};  ///< this node comes first in the module's list of nodes: the last tie-break
  std::uint32_t max_loop{3};
  Duration loop_interval{hours{24}};  ///< 0: no limit
  bool automatic_reboot{false};       ///< a detector's stopstart reboots the node
  Duration nice_stop_limit{seconds{300}};
  Duration force_stop_limit{seconds{300}};
  Duration sync_delta{};  ///< up to a minute: only an up-to-date copy starts
  std::string sync_at{};  ///< crontab fields; empty: a secondary stays one
  std::string boot{"off"};  ///< `usersetting.boot` before any command
  std::uint64_t generation{0};
  friend bool operator==(const Desired&, const Desired&) = default;
};

/// Which lengths of time are over, as elapsed.h measures them.
struct Elapsed {
  bool reconnect_grace{false};  ///< in this state
  bool report_grace{false};     ///< since Memory::doubted
  bool doubt_is_ahead{false};   ///< the clock was set back meanwhile: measured anew
  bool loop_interval{false};    ///< since the first corrective action that counts
  bool loop_interval_of_last{false};  ///< since the last one
  friend bool operator==(const Elapsed&, const Elapsed&) = default;
};

/// What is seen. Copies of the sections that other controllers write.
struct Observed {
  status::ScriptSection script{};
  status::ReplicationSection replication{};
  status::AddressSection addresses{};
  status::ErrdSection errd{};
  status::FailoverSection failover{};
  status::LeaseSection lease{};
  status::PeerSection peer{};
  status::Settings settings{};
  std::string unconfigured{};  ///< the scripts of the configuration have failed, or run still: why a person cannot start it
  std::vector<store::Operation> operations{};  ///< pending, oldest first
  bool synced{false};                          ///< see synced.h
  bool sync_date{false};                       ///< a date of `syncAt` has passed since Memory::sync_looked, see sync_at.h
  WallTime sync_looked{};
  Elapsed elapsed{};
  WallTime wall_now{};  ///< only to be noted: nothing is decided by it
};

// Steps of a transition. Each says what must become true; the next one starts when it is.
struct EnterState {
  Role role{Role::Stop};
  Readiness readiness{Readiness::Transient};
  friend bool operator==(const EnterState&, const EnterState&) = default;
};
struct RunScript {
  std::string name{};
  std::vector<std::string> arguments{};
  Duration limit{};
  friend bool operator==(const RunScript&, const RunScript&) = default;
};
struct Watch {  ///< these classes and no others
  std::set<WatchClass> classes{};
  friend bool operator==(const Watch&, const Watch&) = default;
};
struct OrderReplica {
  ReplicaOrder order{};
  friend bool operator==(const OrderReplica&, const OrderReplica&) = default;
};
struct SetAddresses {
  bool wanted{false};
  friend bool operator==(const SetAddresses&, const SetAddresses&) = default;
};
using Step = std::variant<EnterState, RunScript, Watch, OrderReplica, SetAddresses>;

/// A line for the module log.
struct Say {
  std::string component{"heart"};
  char level{'E'};
  std::string text{};
  friend bool operator==(const Say&, const Say&) = default;
};
/// By what right this node is active without its peer.
enum class AloneBy {
  Peer,     ///< the peer was heard, and cannot take over; also while there is a peer
  Witness,  ///< the witness's word, for the peer was not heard
  Hand,     ///< a person's, who started it as primary where neither was heard
};

/// How the module was started: by itself finding its role, or told.
enum class Intent { Automatic, Prim, Second, PrimForce };

/// Everything the machine keeps between two decisions. A value; text form in memory_text.h.
struct Memory {
  status::RoleSection section{};
  std::deque<Step> steps{};       ///< the first one is under way
  bool started{false};            ///< between the start and the end of a stop
  bool stopping{false};
  bool start_again{false};        ///< the second half of stopstart and wait
  Intent intent{Intent::Automatic};
  bool full_resync{false};
  bool head_begun{false};         ///< the first step has been set going
  bool last_primary{false};       ///< this node's last stable role was PRIM or ALONE
  bool held_by_failover_off{false};
  bool newcomer{false};           ///< started and not yet Ready as SECOND: defaultprim is asked then
  bool newcomer_was_primary{false};  ///< its last stable role before that start was primary (`lastprim`)
  bool split_brain_noted{false};
  WallTime doubted{};             ///< ALONE: since when a SECOND is heard that takes its copy for complete; 0: it is not
  std::string stop_word{"stop"};  ///< third argument of the stop scripts: stop, stopstart, stopwait
  std::uint64_t runs{0};          ///< script executions so far
  std::uint64_t errd_seen{0};     ///< last ActionRequest acted upon
  std::uint64_t failover_seen{0};
  WallTime loop_began{};          ///< the counter was set to 0, or its first action came
  bool stop_requested{false};     ///< a stop arrived during a transition: done before its next step
  bool stop_requested_again{false};  ///< that stop is a stopstart
  bool forced{false};             ///< forcestop: each step is begun, and waited for no longer than the replica's end
  std::string fault{};            ///< what made it stop, when no command did: the reason shown until the next start
  bool sync_due{false};           ///< rfs.syncat: a date of `syncAt` has come, and no synchronisation has ended since
  WallTime sync_looked{};         ///< the dates up to here have been looked at; 0: not yet
  WallTime loop_last{};           ///< the last action that was counted, or the counter was set to 0
  bool loop_exceeded{false};      ///< it was stopped at the limit
  bool reboot{false};             ///< between the halves of a stopstart the node is rebooted
  AloneBy alone_by{AloneBy::Peer};
  bool gives_way{false};          ///< to the other node, which served meanwhile: what has begun here comes to nothing
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct FinishedOperation {
  std::uint64_t id{0};
  std::string outcome{};
  friend bool operator==(const FinishedOperation&, const FinishedOperation&) = default;
};

struct Plan {
  Memory memory{};
  std::vector<Say> lines{};                     ///< for the module log, in order
  std::vector<FinishedOperation> finished{};
  bool reboot{false};                           ///< the module has stopped, and its second half follows the reboot
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// What is left of a kept Memory after a boot of the node: nothing runs any more, and only what is known about the data
/// and the past stays, and a stopstart whose reboot this was. `paired` is the durable mark (RoleSection::paired).
[[nodiscard]] Memory after_boot(const Memory& before, bool paired);

/// Total: any combination of inputs gives a plan. Deciding again with the same inputs changes nothing.
[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, const Memory& memory);

}  // namespace safekit::role
