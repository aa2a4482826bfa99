#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace safekit::sim {

/// Mistakes planted on purpose into the simulated world around the controllers or on the way between them, to see that e2e/sim finds
/// them. None of them is in what the product itself does.
enum class Defect : std::uint8_t {
  None,
  // Of the replica.
  IgnoresGeneration,      ///< copies are taken for equal that are not
  AcknowledgesEarly,      ///< a write is acknowledged before the peer has it
  SecondaryAcksUnsynced,  ///< the peer says that it has it before it is on its disk
  PrimaryAcksUnsynced,    ///< it is acknowledged before it is on the primary's disk
  MarkNotDurable,         ///< the out-of-date mark goes with the power
  GrantIgnoresPairing,    ///< a permission of an earlier loss of the peer is taken
  GoesAloneByItself,      ///< the peer is lost, and no permission is waited for
  CompleteTooEarly,       ///< a copy may be promoted from the beginning of its synchronisation on
  NotInconsistent,        ///< a synchronisation that has not ended leaves a copy that looks old only
  NoNewGeneration,        ///< writes without the peer stay in the old generation
  PairingStays,           ///< the end of a synchronisation is no new pairing
  DropsAcknowledgement,   ///< the peer's acknowledgement gets lost
  LosesAWrite,            ///< the peer acknowledges what it has thrown away
  SaysUpToDate,           ///< its report calls every copy up to date
  // Of the orders to it.
  DropsMark,
  AlwaysAlone,
  // Of the heartbeats.
  SaysUnpaired,
  AnswersAtOnce,          ///< a question about a pairing is answered before the copy is marked
  OldHeartbeat,           ///< an old one is taken for new
  SilentTooSoon,          ///< one lost heartbeat is silence
  ForgetsHandOver,        ///< a swap is not announced
  // Of the node.
  FactsNotDurable,        ///< the store's durable facts go with the power
  BootsUnnoticed,         ///< a boot is taken for a restart of safekitd
  ScriptEndLost,          ///< the end of a script is not told
  AddressStays,           ///< a virtual address is not removed
  // Of rights and leases.
  PromiseForgotten,       ///< a secondary is promoted before what it has promised its primary is over
  RightNeverEnds,         ///< a primary goes on acknowledging though its secondary promises nothing any more
  WitnessGrantsBoth,      ///< the witness looks at nobody's lease
  GuardMissing,           ///< an address answers though the right has ended
  FenceLies,              ///< a program says that the other node is off, and has not switched it off
};
inline constexpr std::size_t kDefects = static_cast<std::size_t>(Defect::FenceLies) + 1;

inline constexpr std::array<std::string_view, kDefects> kDefectNames{
    "none",           "ignores-generation", "acknowledges-early", "secondary-acks-unsynced", "primary-acks-unsynced",
    "mark-not-durable", "grant-ignores-pairing", "goes-alone-by-itself", "complete-too-early", "not-inconsistent", "no-new-generation",
    "pairing-stays",  "drops-acknowledgement", "loses-a-write",   "says-up-to-date",
    "drops-mark",     "always-alone",       "says-unpaired",      "answers-at-once",    "old-heartbeat",           "silent-too-soon",
    "forgets-hand-over", "facts-not-durable", "boots-unnoticed",  "script-end-lost",    "address-stays",
    "promise-forgotten", "right-never-ends", "witness-grants-both", "guard-missing",
    "fence-lies"};
[[nodiscard]] constexpr std::string_view to_string(Defect defect) { return kDefectNames[static_cast<std::size_t>(defect)]; }
[[nodiscard]] constexpr std::optional<Defect> parse_defect(std::string_view name) {
  for (std::size_t i = 0; i < kDefects; ++i) {
    if (kDefectNames[i] == name) return static_cast<Defect>(i);
  }
  return std::nullopt;
}

}  // namespace safekit::sim
