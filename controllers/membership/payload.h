#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/rule/rule.h"
#include "schema/status/module.h"

/// What a heartbeat says of its sender: each of its mirror modules in short. The datagram around it
/// (sequence, authentication) is the heartbeat service's. Shape, little-endian: u8 version, text node, u16
/// modules, each a blob: text name, u8 role, u8 readiness, u32 flags, u64 data generation, u64 pairing asked
/// about, u64 pairing answered, u16 resources, each: text `class.id`, text value (all after the generation may
/// be missing where an older writer has left it out). A reader skips what a newer writer added at the end of a
/// blob or of the whole.
namespace safekit::membership {

/// One module as its node describes it. The members are those of status::PeerSection.
struct ModuleEntry {
  std::string name{};
  status::Role role{status::Role::Stop};
  status::Readiness readiness{status::Readiness::NotReady};
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever_synchronised{false};
  bool has_data{false};
  bool last_primary{false};
  bool replicates{false};
  bool paired{false};
  bool in_service_hand_over{false};
  bool swap_requested{false};
  bool out_of_date_requested{false};
  bool marked_out_of_date{false};
  bool wants_primary{false};
  bool came_from_second{false};
  bool holds_lease{false};
  std::uint64_t generation{0};
  std::uint64_t asked_pairing{0};
  std::uint64_t answered_pairing{0};
  std::map<std::string, std::string> resources{};
  friend bool operator==(const ModuleEntry&, const ModuleEntry&) = default;
};

struct Payload {
  std::string node{};
  std::vector<ModuleEntry> modules{};
  friend bool operator==(const Payload&, const Payload&) = default;
};

inline constexpr std::uint8_t kPayloadVersion = 1;
inline constexpr std::size_t kModulesMax = 1000;  ///< 64 KiB hold more entries of ordinary names
inline constexpr std::size_t kResourcesMax = 32;    ///< of a module; what is above is unknown to the peer
inline constexpr std::size_t kResourceTextMax = 80;  ///< of a name or value; longer ones too
inline constexpr std::size_t kResourceBytesMax = 1024;  ///< of all of a module's, likewise: an entry that is too long is damaged
inline constexpr std::size_t kEntryBytesMax = 4096;

[[nodiscard]] Bytes encode(const Payload& payload);
/// Errors: Corrupt; Unsupported for a version above ours.
[[nodiscard]] Result<Payload> decode(BytesView bytes);

/// Of this node's resources those that the rules, which are the peer's too, name as `remote.`.
[[nodiscard]] std::map<std::string, std::string> resources_for_peer(
    const std::vector<rule::Rule>& rules, const std::map<std::string, status::ResourceValue>& resources);

/// This node's entry for a module. Nothing: what would be said now could mislead the peer, because a
/// controller has not found its state again after a restart of safekitd; the last entry holds, and without
/// one nothing is sent.
[[nodiscard]] std::optional<ModuleEntry> entry_of(const status::Module& module, bool replicates);

}  // namespace safekit::membership
