#include "e2e/model/state.h"

#include <cstring>

namespace safekit::model {

/// FNV-1a over words with a final mix (splitmix64): states differ in few bits.
std::uint64_t hash_of(const State& state) {
  std::array<std::uint32_t, sizeof(State) / 4> words{};
  std::memcpy(words.data(), &state, sizeof state);
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::uint32_t word : words) {
    hash = (hash ^ word) * 0x100000001b3ULL;
    hash ^= hash >> 32;
  }
  hash ^= hash >> 30;
  hash *= 0xbf58476d1ce4e5b9ULL;
  hash ^= hash >> 27;
  hash *= 0x94d049bb133111ebULL;
  hash ^= hash >> 31;
  return hash == 0 ? 1 : hash;
}

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::Send: return "is sent a heartbeat";
    case Kind::Hear: return "hears its peer";
    case Kind::Silence: return "finds its peer silent";
    case Kind::EndScript: return "script ends";
    case Kind::TakeOrder: return "replica acts upon its order";
    case Kind::Connect: return "primary's stream begins, with a synchronisation";
    case Kind::ConnectSame: return "primary's stream begins, the copies are equal";
    case Kind::EndSync: return "secondary's copy is complete";
    case Kind::LearnEnd: return "primary hears that the copy is complete";
    case Kind::Verified: return "secondary's copy has been compared";
    case Kind::Write: return "acknowledges a write";
    case Kind::TimePasses: return "time passes";
    case Kind::FindReplica: return "safekitd finds its replica again";
    case Kind::SeeNeed: return "lease controller sees what is needed";
    case Kind::Answered: return "is answered by the witness";
    case Kind::Unanswered: return "finds the witness silent";
    case Kind::Judge: return "failover judges what the witness said";
    case Kind::LeaseEnds: return "believes in its lease no longer";
    case Kind::GiveBack: return "gives its lease back";
    case Kind::Crash: return "*** power loss";
    case Kind::Boot: return "*** boot";
    case Kind::RestartDaemon: return "*** safekitd restarts";
    case Kind::KillReplica: return "*** the replica dies";
    case Kind::CutStream: return "*** stream cut";
    case Kind::CutHeartbeats: return "*** heartbeats cut";
    case Kind::CutWitness: return "*** way to the witness cut";
    case Kind::HealWitness: return "*** way to the witness healed";
    case Kind::HealStream: return "*** stream healed";
    case Kind::HealHeartbeats: return "*** heartbeats healed";
    case Kind::Start: return "command start";
    case Kind::Stop: return "command stop";
    case Kind::StopStart: return "command stopstart";
    case Kind::Swap: return "command swap";
    case Kind::Restart: return "command restart";
    case Kind::Prim: return "command prim";
    case Kind::PrimForce: return "command primforce";
    case Kind::Second: return "command second";
    case Kind::ForceStop: return "command forcestop";
  }
  return "?";
}

}  // namespace safekit::model
