#include "controllers/role/start.h"

#include <fmt/format.h>

namespace safekit::role {
namespace {

/// A promise that the copy is at least as new as anything its owner ever acknowledged.
bool is_stronger(Copy a, Copy b) {
  const auto rank = [](Copy copy) {
    switch (copy) {
      case Copy::UpToDate: return 3;
      case Copy::Undetermined: return 2;
      case Copy::NewWithData: return 1;
      case Copy::New:
      case Copy::Stale:
      case Copy::Inconsistent:
      case Copy::Unknown: return 0;
    }
    return 0;
  };
  return rank(a) > rank(b);
}

bool is_stale(Copy copy) { return copy == Copy::Stale || copy == Copy::Inconsistent; }

bool never_synchronised(Copy copy) { return copy == Copy::New || copy == Copy::NewWithData; }

/// Nobody to ask: only a copy that is up to date beyond doubt starts.
StartOutcome without_peer(Copy local) {
  if (local == Copy::Unknown) return StartOutcome::Hold;
  return local == Copy::UpToDate ? StartOutcome::BecomeAlone : StartOutcome::WaitForData;
}

/// The peer may have acknowledged writes since that are not here: who sets `syncDelta` takes that for the service. What never was
/// one state of the data, or never equal to the peer's, is no copy to go on with.
StartOutcome in_silence(const StartInput& in) {
  const bool old = in.local == Copy::Undetermined || in.local == Copy::Stale;
  return old && in.forced_up_to_date ? StartOutcome::BecomeAlone : without_peer(in.local);
}

/// Both are in WAIT and say what they have.
StartOutcome both_waiting(const StartInput& in) {
  if (in.local == Copy::Unknown || in.remote == Copy::Unknown) return StartOutcome::Hold;
  if (in.peer_wants_primary) return StartOutcome::Hold;
  if (in.local == Copy::NewWithData && in.remote == Copy::NewWithData) return StartOutcome::WaitForChoice;
  // Both were stopped at once, each in the belief that the other one goes on: two marked copies with nothing between them.
  if (in.local == Copy::Stale && in.remote == Copy::Stale && in.same_generation) {
    if (in.local_preferred) return StartOutcome::BecomeAlone;
    return in.peer == PeerPlace::Blocked ? StartOutcome::WaitForData : StartOutcome::Hold;
  }
  // Nobody has the newest data: two stale copies, or one beside a copy that never took part.
  if (is_stale(in.local) && (is_stale(in.remote) || never_synchronised(in.remote))) return StartOutcome::WaitForData;
  if (is_stale(in.remote) && never_synchronised(in.local)) return StartOutcome::WaitForData;
  if (is_stronger(in.remote, in.local)) {
    // The better side is held back by a checker of its own; without its data this node cannot start either.
    return in.peer == PeerPlace::Blocked ? StartOutcome::WaitForData : StartOutcome::Hold;
  }
  if (is_stronger(in.local, in.remote)) return StartOutcome::BecomeAlone;
  if (in.local_preferred) return StartOutcome::BecomeAlone;
  if (in.peer == PeerPlace::Blocked && in.local == Copy::UpToDate) return StartOutcome::BecomeAlone;
  return StartOutcome::Hold;
}

/// The peer serves. Data that never took part in the replication is nobody's old copy: it is not replaced unasked.
StartOutcome follow(const StartInput& in) {
  if (in.peer_is_behind) return StartOutcome::Hold;  // it gives way when it hears of that
  if (in.may_replace_data) return StartOutcome::BecomeSecond;
  if (in.local == Copy::Unknown) return StartOutcome::Hold;
  // It takes the role and has not got it yet, and will not with such a copy: this one, marked for it, might be the only whole one.
  if (is_stale(in.remote)) return StartOutcome::Hold;
  return in.local == Copy::NewWithData ? StartOutcome::WaitForConsent : StartOutcome::BecomeSecond;
}

StartOutcome start_automatic(const StartInput& in) {
  switch (in.peer) {
    case PeerPlace::Undetermined: return StartOutcome::Hold;
    case PeerPlace::Serving: return follow(in);
    // It takes over now, or stops: either way it is the next to speak.
    case PeerPlace::Secondary: return StartOutcome::Hold;
    case PeerPlace::Silent: return in_silence(in);
    case PeerPlace::Stopped: return without_peer(in.local);
    case PeerPlace::Waiting:
    case PeerPlace::Blocked: return both_waiting(in);
  }
  return StartOutcome::Hold;
}

StartOutcome start_prim(const StartInput& in) {
  if (in.peer == PeerPlace::Serving) return StartOutcome::AbortPrimary;
  if (in.local == Copy::Unknown || in.peer == PeerPlace::Undetermined || in.peer == PeerPlace::Secondary) {
    return StartOutcome::Hold;
  }
  const bool usable = in.local != Copy::Inconsistent || in.local_restorable || in.intent == Intent::PrimForce;
  if (!usable) return StartOutcome::AbortInconsistent;
  return StartOutcome::BecomeAlone;
}

StartOutcome start_second(const StartInput& in) {
  switch (in.peer) {
    case PeerPlace::Serving: return follow(in);
    case PeerPlace::Undetermined: return StartOutcome::Hold;
    // By the rule between two that wait the other one lets this one go first, which is told not to: they would wait for ever.
    case PeerPlace::Waiting:
      return both_waiting(in) == StartOutcome::BecomeAlone ? StartOutcome::AbortSecond : StartOutcome::Hold;
    case PeerPlace::Silent:
    case PeerPlace::Stopped:
    case PeerPlace::Blocked:
    case PeerPlace::Secondary: return StartOutcome::AbortSecond;
  }
  return StartOutcome::AbortSecond;
}

/// The copy may start. A person who says `prim` has seen to it that the other node is down, unless the witness knows better.
StartOutcome with_witness(const StartInput& in, StartOutcome outcome) {
  if (outcome != StartOutcome::BecomeAlone) return outcome;
  const bool by_hand = in.intent != Intent::Automatic;
  switch (in.witness) {
    case WitnessWord::NotNeeded:
    case WitnessWord::Granted: return outcome;
    case WitnessWord::Awaited: return StartOutcome::AskWitness;
    case WitnessWord::Refused: return by_hand ? StartOutcome::AbortLease : StartOutcome::AskWitness;
    case WitnessWord::Silent: return by_hand ? outcome : StartOutcome::AskWitness;
  }
  return StartOutcome::AskWitness;
}

std::string_view text_of(Copy copy) {
  switch (copy) {
    case Copy::Unknown: return "is not known yet";
    case Copy::UpToDate: return "is up to date";
    case Copy::Undetermined: return "was one of a pair when this node went down: the other one may be newer";
    case Copy::Stale: return "is known to be old";
    case Copy::Inconsistent: return "is half synchronised";
    case Copy::New: return "is empty and was never synchronised";
    case Copy::NewWithData: return "has data and was never synchronised";
  }
  return "";
}

std::string_view text_of(PeerPlace place) {
  switch (place) {
    case PeerPlace::Undetermined: return "the other node is not heard, for less than the time-out of its heartbeats";
    case PeerPlace::Silent: return "the other node is not heard on any network";
    case PeerPlace::Stopped: return "the module is stopped on the other node";
    case PeerPlace::Waiting: return "the other node is starting";
    case PeerPlace::Blocked: return "the other node waits as well";
    case PeerPlace::Serving: return "the other node is primary";
    case PeerPlace::Secondary: return "the other node is secondary";
  }
  return "";
}

struct CopyMarks {
  bool known{false};
  bool ever{false};
  bool up_to_date{false};
  bool inconsistent{false};
  bool paired{false};
  bool has_data{false};
};

Copy classify(const CopyMarks& marks) {
  if (!marks.known) return Copy::Unknown;
  if (marks.inconsistent) return Copy::Inconsistent;
  if (marks.up_to_date) return marks.paired ? Copy::Undetermined : Copy::UpToDate;
  if (marks.ever) return Copy::Stale;
  return marks.has_data ? Copy::NewWithData : Copy::New;
}

PeerPlace place_of(const status::PeerSection& peer) {
  if (!peer.heard) return peer.silence_known ? PeerPlace::Silent : PeerPlace::Undetermined;
  if (!peer.module_known) return PeerPlace::Stopped;
  switch (peer.role) {
    case Role::Stop: return PeerPlace::Stopped;
    case Role::Wait: return peer.readiness == Readiness::NotReady ? PeerPlace::Blocked : PeerPlace::Waiting;
    case Role::Alone:
    case Role::Prim:
    case Role::Up: return PeerPlace::Serving;
    // A swap in progress: the side that handed over will follow whoever takes the role.
    case Role::Second: return PeerPlace::Secondary;
  }
  return PeerPlace::Undetermined;
}

WitnessWord word_of(const Desired& desired, const Observed& observed) {
  const bool is_silent = place_of(observed.peer) == PeerPlace::Silent;
  if (desired.witness != status::LeaseSection::Witness::Grants || !is_silent) return WitnessWord::NotNeeded;
  using Answer = status::LeaseSection::Answer;
  switch (observed.lease.answer) {
    case Answer::NotAsked:
    case Answer::Asked: return WitnessWord::Awaited;
    case Answer::Granted: return observed.lease.lets_begin() ? WitnessWord::Granted : WitnessWord::Silent;
    case Answer::Refused: return WitnessWord::Refused;
    case Answer::Silent: return WitnessWord::Silent;
  }
  return WitnessWord::Awaited;
}

}  // namespace

bool prefers_local(const Desired& desired, const Observed& observed) {
  const bool last_primary = observed.replication.last_primary;
  if (last_primary != observed.peer.last_primary) return last_primary;
  if (desired.default_primary == Desired::DefaultPrimary::ThisNode) return true;
  if (desired.default_primary == Desired::DefaultPrimary::OtherNode) return false;
  return desired.first_named;
}

StartOutcome decide_start(const StartInput& input) {
  switch (input.intent) {
    case Intent::Automatic: return with_witness(input, start_automatic(input));
    case Intent::Prim:
    case Intent::PrimForce: return with_witness(input, start_prim(input));
    case Intent::Second: return start_second(input);
  }
  return StartOutcome::Hold;
}

AloneBy right_of(const StartInput& input) {
  switch (input.witness) {
    case WitnessWord::NotNeeded: return AloneBy::Peer;
    case WitnessWord::Granted: return AloneBy::Witness;
    case WitnessWord::Awaited:
    case WitnessWord::Refused:
    case WitnessWord::Silent: return AloneBy::Hand;
  }
  return AloneBy::Peer;
}

std::string_view to_string(StartOutcome outcome) {
  switch (outcome) {
    case StartOutcome::Hold: return "Hold";
    case StartOutcome::BecomeAlone: return "BecomeAlone";
    case StartOutcome::BecomeSecond: return "BecomeSecond";
    case StartOutcome::WaitForData: return "WaitForData";
    case StartOutcome::WaitForChoice: return "WaitForChoice";
    case StartOutcome::WaitForConsent: return "WaitForConsent";
    case StartOutcome::AskWitness: return "AskWitness";
    case StartOutcome::AbortLease: return "AbortLease";
    case StartOutcome::AbortPrimary: return "AbortPrimary";
    case StartOutcome::AbortInconsistent: return "AbortInconsistent";
    case StartOutcome::AbortSecond: return "AbortSecond";
  }
  return "Unknown";
}

std::vector<std::string> evidence_of(const StartInput& input) {
  std::vector<std::string> facts{fmt::format("the copy here {}", text_of(input.local))};
  facts.emplace_back(text_of(input.peer));
  const bool waits = input.peer == PeerPlace::Waiting || input.peer == PeerPlace::Blocked;
  if (waits) facts.push_back(fmt::format("the copy there {}", text_of(input.remote)));
  return facts;
}

StartInput start_input(const Desired& desired, const Observed& observed, const Memory& memory) {
  const auto& local = observed.replication;
  const auto& peer = observed.peer;
  StartInput input{.intent = memory.intent,
                   .peer = place_of(peer),
                   .peer_wants_primary = peer.wants_primary,
                   .local_preferred = prefers_local(desired, observed),
                   .same_generation = local.generation != 0 && local.generation == peer.generation,
                   .forced_up_to_date = observed.synced && peer.absence_known,
                   .may_replace_data = memory.full_resync || local.sync_role == "second",
                   .witness = word_of(desired, observed)};
  if (desired.replicates) {
    input.local = classify({.known = local.settled && local.alive,
                            .ever = local.ever_synchronised,
                            .up_to_date = local.up_to_date,
                            .inconsistent = local.inconsistent,
                            .paired = memory.section.paired,
                            .has_data = local.has_data});
    input.local_restorable = local.restorable;
    input.remote = classify({.known = peer.replicates,
                             .ever = peer.ever_synchronised,
                             .up_to_date = peer.up_to_date,
                             .inconsistent = peer.inconsistent,
                             .paired = peer.paired,
                             .has_data = peer.has_data});
    const bool parted = local.generation != 0 && peer.generation != 0 && local.generation != peer.generation;
    input.peer_is_behind = peer.heard && peer.role == Role::Prim && peer.paired && input.local == Copy::UpToDate && parted;
  } else {
    // Without replicated data every node is always eligible (spec/runtime.md 1.6).
    input.local = input.remote = Copy::UpToDate;
  }
  return input;
}

}  // namespace safekit::role
