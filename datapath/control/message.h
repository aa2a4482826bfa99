#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::control {

/// Which part a replica plays now. Idle: the journal is open, nothing is mounted, no peer is spoken to.
enum class ReplicaRole : std::uint8_t { Idle, Primary, Secondary };

enum class Durability : std::uint8_t { Barrier, Fsync, Write };
enum class SecondaryAck : std::uint8_t { Received, Durable };
/// When the last consistent copy is kept during a synchronisation: where blocks can be shared; Always: else it is copied.
enum class Snapshot : std::uint8_t { Never, Auto, Always };

/// `notReplicated`: exactly one of the two is set. What they mean: datapath/replica/exclusion.h.
struct NotReplicated {
  std::string path{};
  std::string regex{};
  friend bool operator==(const NotReplicated&, const NotReplicated&) = default;
};

struct ReplicaDirectory {
  std::string path{};                        ///< absolute, the same on both nodes
  std::vector<std::string> must_exist{};     ///< `tocheck`: relative paths that must exist before replication starts
  std::vector<NotReplicated> not_replicated{};
  friend bool operator==(const ReplicaDirectory&, const ReplicaDirectory&) = default;
};

/// Of Configure::write_flags, as SafeKit numbers them.
inline constexpr std::uint32_t kLogsWrites = 0x10;
inline constexpr std::uint32_t kStopsForWrites = 0x10000;
/// How the next synchronisation is to be made, as a person chose it (`safekit rfssync`); until it has ended.
struct SyncPolicy {
  enum class Mode : std::uint8_t {
    Default,
    Full,             ///< everything is compared
    BackupPrimary,    ///< a backup is taken of this copy, and the other one is made from it
    BackupSecondary,  ///< this copy was made from it
    Date,             ///< as a secondary: only files that were changed since `chosen` are looked into
  };
  std::uint64_t number{0};  ///< of each choice another one
  Mode mode{Mode::Default};
  std::string uid{};        ///< of the backup
  bool detect{true};        ///< look for what others change between the choice and the start
  std::int64_t chosen{0};   ///< when, ns of 1970; Date: the date
  std::int64_t setting{0};  ///< of the clock then: CLOCK_REALTIME - CLOCK_BOOTTIME
  friend bool operator==(const SyncPolicy&, const SyncPolicy&) = default;
};

/// A virtual address and the interface that it is set on when the node is primary.
struct GuardedAddress {
  std::string address{};
  std::string interface{};
  friend bool operator==(const GuardedAddress&, const GuardedAddress&) = default;
};

/// All that a replica must know to work; sent at connection and after each change. Repeating it is harmless.
struct Configure {
  std::string module{};
  std::string node{};
  std::string peer{};           ///< the certificate of the other side must carry this name
  std::string cluster_id{};     ///< both sides must have the same
  std::string listen_address{};  ///< address and port on the replication network
  std::string peer_address{};
  std::uint16_t port{0};
  std::vector<ReplicaDirectory> directories{};
  Durability durability{Durability::Barrier};
  SecondaryAck secondary_ack{SecondaryAck::Durable};
  bool verify_after_resync{false};  ///< a primary compares the copies after each synchronisation that copied or compared something
  bool write_back{false};  ///< writes stay in the kernel's cache until it writes them back
  Duration send_timeout{seconds{30}};  ///< a frame not taken by the peer for so long: the peer is lost
  Duration lock_timeout{seconds{100}};  ///< an operation not acknowledged for so long: the peer is lost
  Duration resync_timeout{seconds{150}};  ///< no answer to a synchronisation for so long: it is begun again
  std::uint32_t zone_bytes{1 << 16};
  std::uint32_t resync_workers{6};
  std::uint32_t write_flags{kLogsWrites};  ///< what a secondary does about writes of others to its copy; 0: it does not look
  std::uint64_t lost_bytes_max{0};  ///< of lost writes that are set aside
  SyncPolicy policy{};
  std::uint64_t resync_rate{0};  ///< bytes of content a second that a synchronisation sends at most; 0: no limit
  bool uses_zones{true};         ///< false: each synchronisation compares everything
  bool resync_detail{false};     ///< each file that it copied something of is told in the log
  Snapshot snapshot{Snapshot::Auto};
  std::uint32_t connections{1};  ///< over which a primary sends the stream
  /// Silence of the stream that confirms what heartbeats say of the peer; a third of it lies between two words.
  Duration silence{milliseconds{750}};
  /// The module has a witness that grants leases: nothing is acknowledged without a right to (docs/leases.md), and who was
  /// secondary is primary no earlier than so long after its last promise to the one before.
  bool leased{false};
  Duration promise{milliseconds{1000}};
  std::vector<GuardedAddress> guarded{};  ///< with leased: silent while there is no right
  bool idle_poll{true};  ///< processors are kept awake while calls come one after another
  std::string certificate_file{};  ///< PEM files of this node
  std::string key_file{};
  std::string authority_file{};
  friend bool operator==(const Configure&, const Configure&) = default;
};

/// What the control plane wants now. Level-triggered: the replica drives itself there and says so in Report.
/// `order` numbers each new wish, so that a report can say which one it speaks of.
struct Want {
  std::uint64_t order{0};
  ReplicaRole role{ReplicaRole::Idle};
  /// Primary only: the node may acknowledge writes although the peer has not. Given when the peer is known to be dead
  /// (by all heartbeats) or has answered that it is marked out of date; a primary that loses its peer waits for it, at
  /// most `send_timeout`.
  bool may_be_alone{false};
  /// This copy must not be promoted until it has been resynchronised (the peer goes on without it). Made durable.
  bool mark_out_of_date{false};
  /// With may_be_alone: only while Report::pairing is this one, or the permission is for a loss that is over; 0: for any.
  /// With mark_out_of_date: what the peer asked about. It means nothing here; it makes each request a new wish.
  std::uint64_t pairing{0};
  /// `safekit prim`: the administrator says that this copy is the valid one. Made durable before role Primary.
  bool force_up_to_date{false};
  /// `prim fullsync`, `second fullsync`: the next synchronisation copies everything.
  bool full_resync{false};
  /// With may_be_alone, where the module is leased: only while the lease lasts. Else the peer cannot take over, or a person has
  /// said that it is not there.
  bool by_lease{false};
  /// Primary, of one that was secondary: the peer was heard to have left the role in order; no promise to it counts any more.
  bool peer_left{false};
  friend bool operator==(const Want&, const Want&) = default;
};

/// The lease of this node, sent at connection and after each change. Repeating it is harmless.
struct Lease {
  MonoTime until{};     ///< CLOCK_BOOTTIME; 0: there is none
  /// The witness has said no, or nothing for too long, or this node gives way: calls that wait for a right, or for a peer that is lost,
  /// end with an error. Also where the module is not leased.
  bool refused{false};
  friend bool operator==(const Lease&, const Lease&) = default;
};

/// Order of the journal's marks matters to nobody; see runtime.md 1.3 and 1.6.
enum class SyncPhase : std::uint8_t { None, Connecting, Comparing, Copying, Done };

/// What has gone through a replica. Each grows until its process, or this primary, begins anew.
struct Traffic {
  std::uint64_t written{0};   ///< Primary: bytes of the application's writes that were put into the stream
  std::uint64_t received{0};  ///< bytes that came from the peer, of any kind
  std::uint64_t sent{0};
  friend bool operator==(const Traffic&, const Traffic&) = default;
};

/// What the replica is. Sent after each change, at least every second while connected.
struct Report {
  std::uint64_t order{0};  ///< the last Want acted upon; `role` is reached for it when `settled`
  ReplicaRole role{ReplicaRole::Idle};
  bool settled{false};       ///< mounts, journal and role are as wanted
  bool configured{false};
  bool up_to_date{false};    ///< this copy may be promoted
  bool inconsistent{false};  ///< a synchronisation of this copy was begun and has not ended
  bool ever_synchronised{false};  ///< false: the first start; no generation yet
  bool has_data{false};      ///< some replicated directory is not empty (looked at when idle)
  bool last_primary{false};  ///< this copy's last active role was Primary
  bool connected{false};     ///< a stream with the peer's replica lives
  bool peer_synchronised{false};  ///< Primary: the peer has all, mirroring is on. Secondary: this copy has all
  bool waiting_for_alone{false};  ///< Primary: the peer is lost and writers wait for `may_be_alone`
  bool diverged{false};      ///< on contact: both sides wrote; the one told to be Secondary will be overwritten
  SyncPhase phase{SyncPhase::None};
  std::uint64_t files_total{0};
  std::uint64_t files_done{0};
  std::uint64_t bytes_copied{0};
  std::uint64_t zones_dirty{0};
  DataGeneration generation{};
  /// Primary, never 0: changes whenever the peer's copy may have become complete (ResyncEnd). What is asked of the peer
  /// when it is lost is asked about this one, so that an older answer cannot be taken for it.
  std::uint64_t pairing{0};
  std::uint64_t bytes_compared{0};  ///< by digests, in this synchronisation
  std::string problem{};     ///< why it is not settled or cannot synchronise, for people; empty when all is well
  std::uint64_t outside_writes{0};  ///< Secondary: changes by others that were found since the role was taken up
  std::string outside_last{};       ///< the last one, for people
  bool fatal{false};         ///< with `problem`: going on needs a new start of the module
  bool unverified{false};    ///< Secondary: this copy has all, and the primary still compares it (`verifyAfterResync`)
  std::uint64_t policy{0};   ///< number of the last SyncPolicy that was acted upon, or refused
  std::string policy_refused{};  ///< why it was
  bool full_wanted{false};   ///< the next synchronisation compares everything
  std::string backup{};      ///< uid of the one whose synchronisation is to come; empty: none
  Traffic traffic{};
  // Primary, of the synchronisation that runs or was the last:
  bool scanning{false};                ///< there are directories to be listed; until then the totals grow
  std::uint64_t directories_total{0};  ///< found so far
  std::uint64_t directories_done{0};   ///< listed
  std::uint64_t bytes_total{0};        ///< size of the files found so far, of which something is looked into
  std::uint64_t bytes_done{0};         ///< of these: compared, or sent
  bool replaceable{false};   ///< another process could take its mounts over, or it has none
  /// The last consistent copy is kept, and `force_up_to_date` puts it back in the place of an inconsistent one.
  bool restorable{false};
  bool frozen{false};  ///< Primary, leased: it has no right to acknowledge anything now
  friend bool operator==(const Report&, const Report&) = default;
};

/// A look at the copies that a primary is to take; it changes neither.
struct Inspect {
  enum class Kind : std::uint8_t {
    Verify,    ///< compare both copies
    Estimate,  ///< what the next synchronisation would copy
    Stop,      ///< end what is under way
  };
  enum class Cause : std::uint8_t {
    Asked,     ///< by a person
    Schedule,  ///< `verifyEvery`; gives way to one that a person asks for
    Resync,    ///< `verifyAfterResync`: begun by the primary itself
  };
  std::uint64_t number{0};  ///< says which one an Inspection speaks of; a number that came last is not begun again
  Kind kind{Kind::Verify};
  Cause cause{Cause::Asked};
  std::uint64_t bytes_per_second{0};  ///< Verify: read on each node at most; 0: no limit
  friend bool operator==(const Inspect&, const Inspect&) = default;
};

struct CopyDifference {
  std::string path{};  ///< absolute
  std::string what{};  ///< `mode, owner`
  friend bool operator==(const CopyDifference&, const CopyDifference&) = default;
};

/// How the last look that was asked for goes; sent after each change.
struct Inspection {
  enum class State : std::uint8_t { Running, Done, Failed };
  std::uint64_t number{0};
  Inspect::Kind kind{Inspect::Kind::Verify};
  Inspect::Cause cause{Inspect::Cause::Asked};
  State state{State::Running};
  std::string reason{};  ///< Failed: why. Done, of a Resync: what is done about the differences
  std::uint64_t files{0};        ///< Verify: compared. Estimate: that have something to copy or compare
  std::uint64_t directories{0};  ///< Verify: compared. Estimate: to be listed
  std::uint64_t bytes{0};        ///< Verify: compared. Estimate: to be copied
  bool ended_early{false};       ///< there are more differences than these
  std::vector<CopyDifference> differences{};
  // Estimate:
  bool everything{false};     ///< all would be compared: what differs is not known
  bool compares_more{false};  ///< and what lies in some directories, whose size is not known
  std::uint64_t compared_bytes{0};     ///< would be compared by digests
  std::uint64_t bytes_per_second{0};   ///< of the last synchronisation; 0: not known
  friend bool operator==(const Inspection&, const Inspection&) = default;
};

}  // namespace safekit::control
