#include "controllers/membership/payload.h"

#include <algorithm>
#include <array>

namespace safekit::membership {
namespace {

/// Bit i of the flags is entry i. New ones are added at the end.
constexpr std::array kFlags{
    &ModuleEntry::up_to_date,
    &ModuleEntry::inconsistent,
    &ModuleEntry::ever_synchronised,
    &ModuleEntry::has_data,
    &ModuleEntry::last_primary,
    &ModuleEntry::replicates,
    &ModuleEntry::paired,
    &ModuleEntry::in_service_hand_over,
    &ModuleEntry::swap_requested,
    &ModuleEntry::out_of_date_requested,
    &ModuleEntry::marked_out_of_date,
    &ModuleEntry::wants_primary,
    &ModuleEntry::came_from_second,
    &ModuleEntry::holds_lease,
};
static_assert(kFlags.size() <= 32);

constexpr std::uint8_t kRoleMax = static_cast<std::uint8_t>(status::Role::Up);
constexpr std::uint8_t kReadinessMax = static_cast<std::uint8_t>(status::Readiness::Ready);

Result<ModuleEntry> decode_entry(BytesView bytes) {
  ByteReader in{bytes};
  ModuleEntry entry;
  entry.name = in.text(256);
  const std::uint8_t role = in.u8();
  const std::uint8_t readiness = in.u8();
  const std::uint32_t flags = in.u32();
  entry.generation = in.u64();
  if (!in.at_end()) {
    entry.asked_pairing = in.u64();
    entry.answered_pairing = in.u64();
  }
  const std::size_t count = in.at_end() ? 0 : in.u16();
  if (count > kResourcesMax) return Error{Code::Corrupt, "module entry of a heartbeat is damaged"};
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    std::string name = in.text(kResourceTextMax);
    entry.resources.insert_or_assign(std::move(name), in.text(kResourceTextMax));
  }
  if (!in.ok() || role > kRoleMax || readiness > kReadinessMax) {
    return Error{Code::Corrupt, "module entry of a heartbeat is damaged"};
  }
  entry.role = static_cast<status::Role>(role);
  entry.readiness = static_cast<status::Readiness>(readiness);
  for (std::size_t i = 0; i < kFlags.size(); ++i) entry.*kFlags[i] = (flags >> i & 1U) != 0;
  return entry;
}

/// The pairing that the peer asks about, once all that the entry says is newer than the question. A node that is in STOP or
/// WAIT says so itself; a copy in use answers by its mark, which is on its disk before the replica's report names the order.
std::uint64_t answered_pairing(const status::Module& module) {
  using OrderRole = status::ReplicaOrder::Role;
  const status::ReplicationSection& replica = module.replication;
  const std::uint64_t asked =
      module.peer.heard && module.peer.out_of_date_requested ? module.peer.asked_pairing : 0;
  const auto is_active = [](const status::ReplicaOrder& order) {
    return order.role == OrderRole::Primary || order.role == OrderRole::Secondary;
  };
  if (module.role.role == status::Role::Stop || module.role.role == status::Role::Wait) {
    return is_active(module.role.replica) || is_active(replica.order) ? 0 : asked;
  }
  const bool marked = replica.alive && replica.settled && replica.order.mark_out_of_date &&
                      replica.order.pairing == asked && !replica.up_to_date;
  return marked ? asked : 0;
}

}  // namespace

Bytes encode(const Payload& payload) {
  ByteWriter out;
  out.u8(kPayloadVersion);
  out.text(payload.node);
  const std::size_t count = std::min(payload.modules.size(), kModulesMax);
  out.u16(static_cast<std::uint16_t>(count));
  for (std::size_t m = 0; m < count; ++m) {
    const ModuleEntry& entry = payload.modules[m];
    std::uint32_t flags = 0;
    for (std::size_t i = 0; i < kFlags.size(); ++i) flags |= std::uint32_t{entry.*kFlags[i]} << i;
    ByteWriter blob;
    blob.text(entry.name);
    blob.u8(static_cast<std::uint8_t>(entry.role));
    blob.u8(static_cast<std::uint8_t>(entry.readiness));
    blob.u32(flags);
    blob.u64(entry.generation);
    blob.u64(entry.asked_pairing);
    blob.u64(entry.answered_pairing);
    if (!entry.resources.empty()) {
      blob.u16(static_cast<std::uint16_t>(entry.resources.size()));
      for (const auto& [name, value] : entry.resources) {
        blob.text(name);
        blob.text(value);
      }
    }
    out.blob(blob.bytes());
  }
  return out.take();
}

Result<Payload> decode(BytesView bytes) {
  ByteReader in{bytes};
  const std::uint8_t version = in.u8();
  if (in.ok() && version > kPayloadVersion) {
    return Error{Code::Unsupported,
                 "heartbeat of version '" + std::to_string(version) + "': update this node"};
  }
  Payload payload;
  payload.node = in.text(256);
  const std::uint16_t count = in.u16();
  if (!in.ok() || version == 0 || count > kModulesMax) return Error{Code::Corrupt, "heartbeat is damaged"};
  for (std::uint16_t i = 0; i < count; ++i) {
    const BytesView blob = in.blob(kEntryBytesMax);
    if (!in.ok()) return Error{Code::Corrupt, "heartbeat is cut short"};
    SK_TRY(auto entry, decode_entry(blob));
    payload.modules.push_back(std::move(entry));
  }
  return payload;
}

std::map<std::string, std::string> resources_for_peer(const std::vector<rule::Rule>& rules,
                                                      const std::map<std::string, status::ResourceValue>& resources) {
  constexpr std::size_t kLengths = 8;  // of two texts
  std::map<std::string, std::string> found;
  std::size_t bytes = 0;
  const auto add = [&](const std::string& name, const status::ResourceValue& value) {
    const std::size_t size = name.size() + value.value.size() + kLengths;
    const bool fits = name.size() <= kResourceTextMax && value.value.size() <= kResourceTextMax && bytes + size <= kResourceBytesMax;
    if (!fits || found.size() >= kResourcesMax || !found.emplace(name, value.value).second) return;
    bytes += size;
  };
  for (const rule::Rule& rule : rules) {
    for (const rule::Resource& wanted : rule::resources_of(rule.condition)) {
      if (!wanted.remote) continue;
      const bool is_group = wanted.id == "?" || wanted.id == "*";
      const std::string begin = wanted.of_class + ".";
      for (auto one = resources.lower_bound(begin); one != resources.end() && one->first.starts_with(begin); ++one) {
        if (is_group || one->first.substr(begin.size()) == wanted.id) add(one->first, one->second);
      }
    }
  }
  return found;
}

std::optional<ModuleEntry> entry_of(const status::Module& module, bool replicates) {
  const status::RoleSection& role = module.role;
  const status::ReplicationSection& replica = module.replication;
  if (role.since == WallTime{}) return std::nullopt;
  const bool has_a_part = role.role != status::Role::Stop && role.role != status::Role::Wait;
  if (replicates && has_a_part && !replica.alive && !replica.died) return std::nullopt;

  ModuleEntry entry;
  entry.name = module.name.str();
  entry.role = role.role;
  entry.readiness = role.readiness;
  entry.paired = role.paired;
  entry.in_service_hand_over = role.in_service_hand_over;
  entry.swap_requested = role.swap_requested;
  entry.out_of_date_requested = role.out_of_date_requested;
  entry.wants_primary = role.wants_primary;
  entry.came_from_second = role.came_from_second;
  using Lease = status::LeaseSection;
  entry.holds_lease = module.lease.witness == Lease::Witness::Grants && module.lease.answer == Lease::Answer::Granted;
  using OrderRole = status::ReplicaOrder::Role;
  const bool active = replica.order.role == OrderRole::Primary || replica.order.role == OrderRole::Secondary;
  entry.replicates = replicates && replica.configured && replica.alive && (replica.settled || active);
  entry.has_data = replica.has_data;
  entry.last_primary = replica.last_primary;
  entry.ever_synchronised = replica.ever_synchronised;
  entry.generation = replica.generation;
  entry.asked_pairing = role.asked_pairing;
  entry.answered_pairing = answered_pairing(module);
  if (entry.replicates) {
    entry.up_to_date = replica.up_to_date;
    entry.inconsistent = replica.inconsistent;
    entry.marked_out_of_date = !replica.up_to_date;
  }
  return entry;
}

}  // namespace safekit::membership
