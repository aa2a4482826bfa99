#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controllers/role/plan.h"

namespace safekit::role {

/// What a node in WAIT knows of a copy of the data: the table below speaks in these words.
enum class Copy {
  Unknown,       ///< its journal has not been read, or the peer has not said
  UpToDate,      ///< may be promoted alone
  Undetermined,  ///< was one of a pair when it went down hard: newest only if the other side says so
  Stale,         ///< known not to be the newest
  Inconsistent,  ///< a synchronisation of it was begun and has not ended: no state that ever was
  New,           ///< never synchronised with anybody, no data
  NewWithData,   ///< never synchronised with anybody, the directories are not empty
};

/// Where the peer's instance of the module is.
enum class PeerPlace {
  Undetermined,  ///< not heard, but its heartbeats have not been silent long enough
  Silent,        ///< every heartbeat is lost
  Stopped,       ///< heard: its module is in STOP, or it does not have it
  Waiting,       ///< heard: in WAIT and trying to start
  Blocked,       ///< heard: in WAIT NotReady, held by something of its own
  Serving,       ///< heard: PRIM or ALONE
  Secondary,     ///< heard: SECOND, so it is about to take over or to stop
};

/// What a witness that grants leases says where the peer is not heard.
enum class WitnessWord {
  NotNeeded,  ///< there is none, or the peer is heard
  Awaited,
  Granted,
  Refused,  ///< the peer has the lease
  Silent,
};

enum class StartOutcome {
  Hold,             ///< not enough is known yet, or the peer comes first: stay WAIT Transient
  BecomeAlone,
  BecomeSecond,
  WaitForData,      ///< WAIT NotReady, notuptodate_server
  WaitForChoice,    ///< WAIT NotReady: two different first copies, `safekit prim` must choose
  WaitForConsent,   ///< WAIT NotReady: data here that was never synchronised would be replaced by the primary's
  AskWitness,       ///< stay WAIT until it has granted a lease
  AbortLease,       ///< `prim`: the peer has the witness's lease
  AbortPrimary,     ///< `prim`: the peer is primary already
  AbortInconsistent,  ///< `prim`: half-synchronised data, which `primforce` takes as it is
  AbortSecond,      ///< `second`: no primary to follow
};

struct StartInput {
  Intent intent{Intent::Automatic};
  Copy local{Copy::Unknown};
  Copy remote{Copy::Unknown};
  PeerPlace peer{PeerPlace::Undetermined};
  bool peer_wants_primary{false};
  /// Between equals: this node goes first (last primary, then defaultprim, then the order of the nodes).
  bool local_preferred{false};
  /// Both copies are of one data generation. A node takes a new one, durably, before it acknowledges its first write without
  /// the peer: so both have everything that was ever acknowledged, whatever they were marked as.
  bool same_generation{false};
  /// `syncDelta`: the peer is absent from every network, and this copy was equal to its own less than that ago.
  bool forced_up_to_date{false};
  bool may_replace_data{false};  ///< `second fullsync`, a date or a backup was named: whatever is here, take the primary's copy
  /// It is PRIM, in the belief that this node is its secondary, and this copy was written to alone since.
  bool peer_is_behind{false};
  bool local_restorable{false};  ///< the local copy is inconsistent, and `prim` puts the last consistent one in its place
  WitnessWord witness{WitnessWord::NotNeeded};
  friend bool operator==(const StartInput&, const StartInput&) = default;
};

/// spec/runtime.md 1.6 and design.md 11 (first start). Total.
[[nodiscard]] StartOutcome decide_start(const StartInput& input);
[[nodiscard]] std::string_view to_string(StartOutcome outcome);
/// By what right it becomes ALONE, where that is the outcome.
[[nodiscard]] AloneBy right_of(const StartInput& input);
/// What the decision rests on, one fact each, for people.
[[nodiscard]] std::vector<std::string> evidence_of(const StartInput& input);

/// Between two nodes with equal rights: last primary, then defaultprim, then the order of the nodes. Both sides come to
/// opposite answers from the same facts.
[[nodiscard]] bool prefers_local(const Desired& desired, const Observed& observed);
[[nodiscard]] StartInput start_input(const Desired& desired, const Observed& observed, const Memory& memory);

}  // namespace safekit::role
