#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "datapath/control/message.h"
#include "datapath/lost/manifest.h"
#include "schema/base/time.h"
#include "schema/port/process.h"
#include "schema/spec/cluster.h"
#include "schema/spec/module.h"
#include "schema/status/condition.h"
#include "schema/status/module.h"

/// The replica of a mirror module: a process of its own that outlives safekitd and is told what to do over a
/// local socket. The order comes from RoleSection::replica; what the replica says goes into
/// ReplicationSection.
///
///   no process --Start--> running --Connect--> connected --Configure, Want--> settled
///        ^                   |  order None: SIGTERM, after kStopLimit SIGKILL
///        +---- exited -------+  exited under Secondary: started again. Under Primary: another one takes its mounts over
///                               (docs/takeover.md). Where that cannot be, or not kSuccessorsMax of them held in a row:
///                               `died`, the mounts are let go, and no new start until the order is Idle or None, because
///                               the application has to be stopped before its directories are touched
namespace safekit::replication {

/// What must be found again after a restart of safekitd.
struct Memory {
  std::optional<ProcessIdentity> process{};
  MonoTime started{};
  std::uint64_t number{0};               ///< of `wish`, in control::Want::order
  status::ReplicaOrder wish{};           ///< the last order given
  std::optional<MonoTime> terminated{};  ///< SIGTERM was sent then
  bool killed{false};
  bool died{false};
  bool taking_over{false};          ///< the process was started for that and has not said that it is done
  std::uint32_t successors{0};      ///< started one after the other for one that had died; a steady one ends the row
  bool heard{false};                ///< by this safekitd in its active role: it has seen all that happened since; not kept
  std::string untaken{};            ///< with `died`: why its mounts were not taken over; not kept
  std::uint64_t replacing{0};       ///< the operation that had it told to make room for another one; 0: none
  bool replaced{false};             ///< with `replacing`: it has
  std::uint32_t early_exits{0};  ///< ends one after the other without a word to safekitd; not kept
  status::ReplicationSection last{};  ///< the journal's marks as last reported; only those flags are kept
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Desired {
  bool configured{false};  ///< the module replicates directories
  status::ReplicaOrder order{};
  std::optional<control::Configure>
      configure{};  ///< nothing: it cannot be said (see `problem`), the last one holds
  std::optional<control::Lease> lease{};
  std::string problem{};
  std::uint64_t replace{0};  ///< operation `upgrade-datapath` that is waiting; 0: none
  friend bool operator==(const Desired&, const Desired&) = default;
};

struct Observed {
  bool running{false};    ///< the process of the memory
  bool reported{false};   ///< this safekitd has heard it: the marks in the memory are current
  bool connected{false};  ///< its socket
  std::optional<control::Configure> sent_configure{};  ///< on this connection
  std::uint64_t sent_number{0};                        ///< on this connection; 0: none
  std::optional<control::Lease> sent_lease{};          ///< on this connection
  std::optional<control::Report> report{};             ///< the last one of this connection
  std::string last_words{};                            ///< why a replica that ended early did so
  bool hung{false};       ///< its mount does not answer (probe.h)
  bool not_taken{false};  ///< the process that has ended said that it cannot take the mounts over
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct StartProcess {
  bool take_over{false};
  friend bool operator==(const StartProcess&, const StartProcess&) = default;
};
struct Connect {
  friend bool operator==(const Connect&, const Connect&) = default;
};
struct SendConfigure {
  control::Configure configure{};
  friend bool operator==(const SendConfigure&, const SendConfigure&) = default;
};
struct SendLease {
  control::Lease lease{};
  friend bool operator==(const SendLease&, const SendLease&) = default;
};
struct SendWant {
  control::Want want{};
  friend bool operator==(const SendWant&, const SendWant&) = default;
};
/// The mounts of one that died end, so that no call waits for them.
struct LetGo {
  friend bool operator==(const LetGo&, const LetGo&) = default;
};
/// It ends and leaves its mounts to the next process (SIGHUP).
struct HandOver {
  friend bool operator==(const HandOver&, const HandOver&) = default;
};
struct SignalProcess {
  bool kill{false};
  friend bool operator==(const SignalProcess&, const SignalProcess&) = default;
};
using Action = std::variant<StartProcess, Connect, SendConfigure, SendLease, SendWant, LetGo, HandOver, SignalProcess>;

struct FinishedOperation {
  std::uint64_t id{0};
  std::string outcome{};
  friend bool operator==(const FinishedOperation&, const FinishedOperation&) = default;
};

struct Plan {
  Memory memory{};  ///< to be stored before the actions are done
  std::vector<Action> actions{};
  std::optional<FinishedOperation> finished{};
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// A replica flushes and unmounts before it goes; a busy mount may need the holders stopped.
inline constexpr Duration kStopLimit = seconds{30};
inline constexpr Duration kRestartPause = seconds{1};
/// What ends one after the other with none of them steady has a cause that another start does not mend.
inline constexpr std::uint32_t kSuccessorsMax = 5;
inline constexpr std::uint32_t kSuccessorsAtOnce = 2;  ///< the next ones after kRestartPause
inline constexpr Duration kSteady = seconds{10};       ///< or when the peer has everything again
/// A replica that ended so often before it could be asked anything does not run at all: a fault that ends the start.
inline constexpr std::uint32_t kEarlyExits = 3;
inline constexpr Duration kConnectPause = milliseconds{20};
inline constexpr Duration kStartTime =
    seconds{5};  ///< of quick tries; who does not listen then is not asked so often

[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, const Memory& memory,
                          MonoTime now);

[[nodiscard]] control::Lease lease_of(const status::LeaseSection& lease, status::LeaseNeed need);

/// `alive` from the first report on, and while a process that was told to stop is not gone. Until then a
/// reader must not act upon the marks: they may be older than the journal.
[[nodiscard]] status::ReplicationSection section_of(const Desired& desired, const Observed& observed,
                                                    const Memory& memory);

/// A line for the module log.
struct Line {
  std::string component{};
  char level{'E'};
  std::string text{};
  friend bool operator==(const Line&, const Line&) = default;
};
/// What the change from one section to the next is worth saying (spec/runtime.md 7.3).
[[nodiscard]] std::vector<Line> lines_between(const status::ReplicationSection& before,
                                              const status::ReplicationSection& after,
                                              const std::vector<std::string>& directories);
/// Values of the class `rfs` (spec/runtime.md 3.4).
[[nodiscard]] std::vector<std::pair<std::string, std::string>> resources_of(
    const status::ReplicationSection& section);

/// What is to be said of the sets of lost writes that lie here.
struct LostNews {
  std::vector<Line> lines{};
  std::string told{};  ///< sets that were told of, for the next time
  std::optional<status::Condition> condition{};
  friend bool operator==(const LostNews&, const LostNews&) = default;
};
/// Each set is told of once, when it is complete; the condition stands as long as there is one.
[[nodiscard]] LostNews lost_news(const std::string& module, const std::vector<lost::Summary>& sets, const std::string& told);

inline constexpr const char* kWrittenOutside = "WrittenOutside";
/// Of a secondary whose copy others have changed; stands as long as it is in this role. Pure.
[[nodiscard]] std::optional<status::Condition> outside_condition(const status::ReplicationSection& section);

inline constexpr const char* kOldCopyKept = "OldCopyKept";
/// Of a node whose last consistent copy is kept beside one that a synchronisation has not completed. Pure.
[[nodiscard]] std::optional<status::Condition> old_copy_condition(const std::string& module, const status::ReplicationSection& section);

inline constexpr const char* kCopiesDiffer = "CopiesDiffer";
/// What is to be said of the last verification. `told`: what the one before this call gave, kept on disk.
struct VerifyNews {
  std::vector<Line> lines{};
  std::string told{};
  std::optional<status::Condition> condition{};
  friend bool operator==(const VerifyNews&, const VerifyNews&) = default;
};
/// Each verification is told of once, when it is complete; the condition stands until one finds no difference. Pure.
[[nodiscard]] VerifyNews verify_news(const std::string& module, const std::optional<control::Inspection>& inspection,
                                     const std::string& told);

/// When the next verification of `verifyEvery` begins.
struct ScheduleInput {
  Duration every{};  ///< 0: never
  bool able{false};  ///< this node is PRIM, and the secondary has everything
  bool busy{false};  ///< a verification or estimate is under way
  std::optional<WallTime> last{};  ///< when the last one that was completed had begun; kept on disk
  std::optional<MonoTime> failed{};  ///< when one was given up; not kept
  friend bool operator==(const ScheduleInput&, const ScheduleInput&) = default;
};
struct ScheduleStep {
  bool begin{false};
  std::optional<WallTime> last{};  ///< to be kept in place of the old one
  std::optional<Duration> recheck_after{};
  friend bool operator==(const ScheduleStep&, const ScheduleStep&) = default;
};
/// The first time counts from when the setting is first seen. One that was given up is tried again after kVerifyAgain, or after
/// `every` if that is less. Never two at once; one that is due waits until it can begin. Pure.
[[nodiscard]] ScheduleStep schedule(const ScheduleInput& input, WallTime wall_now, MonoTime now);
inline constexpr Duration kVerifyAgain = hours{1};

/// What a node needs to prove to its peer who it is; PEM files.
struct ClusterIdentity {
  std::string cluster_id{};
  std::string certificate_file{};
  std::string key_file{};
  std::string authority_file{};
};
/// Errors: Invalid, with what to change, when the specs do not say how the two nodes reach each other.
[[nodiscard]] Result<control::Configure> configure_of(const spec::Cluster& cluster,
                                                      const spec::Module& module, const NodeName& node,
                                                      const ClusterIdentity& identity);

/// Memory as text and back; nothing for a text that cannot be read.
[[nodiscard]] std::string encode(const Memory& memory);
[[nodiscard]] std::optional<Memory> decode(const std::string& text);

}  // namespace safekit::replication
