#include "controllers/role/move_watch.h"

#include <algorithm>

#include "controllers/role/partner.h"

namespace safekit::role {
namespace {

using status::Phase;
using Kind = status::Timeline::Kind;

std::optional<MonoTime>& end_of(status::Moments& moments, Phase phase) { return moments.ends[static_cast<std::size_t>(phase)]; }

/// On its way to serve, in a list of steps that ends so.
bool is_taking(const Memory& memory) {
  if (memory.steps.empty() || memory.stopping) return false;
  const auto* last = std::get_if<EnterState>(&memory.steps.back());
  return last != nullptr && (last->role == Role::Alone || last->role == Role::Prim) && last->readiness == Readiness::Ready;
}

bool has_arrived(const Memory& memory) {
  const auto& section = memory.section;
  return (section.role == Role::Alone || section.role == Role::Prim) && section.readiness == Readiness::Ready;
}

/// What this pass sees of the other node's way out of the role; nothing: it is there.
std::optional<Kind> loss_of(const Memory& memory, const Observed& observed) {
  const auto& peer = observed.peer;
  if (memory.section.swap_requested || (peer.heard && peer.in_service_hand_over)) return Kind::Swap;
  if (is_dead(peer, observed.replication)) return Kind::Failover;
  const bool leaves = peer.heard && peer.role == Role::Prim && peer.readiness == Readiness::Transient;
  if (leaves || is_gone(peer)) return Kind::HandOver;
  return std::nullopt;
}

void begin_loss(MoveWatch& watch, Kind kind, const Observed& observed, MonoTime now) {
  const MonoTime heard = observed.peer.last_heard;
  const bool silent = kind == Kind::Failover && heard != MonoTime{} && heard < now;
  watch = MoveWatch{.moments = {.kind = kind, .last_sign = silent ? heard : now}, .losing = true};
  watch.moments.began = WallTime{observed.wall_now.ns - (now - watch.moments.last_sign).count()};
  end_of(watch.moments, Phase::Detect) = now;
  if (kind != Kind::Failover) end_of(watch.moments, Phase::Decide) = now;
}

}  // namespace

std::optional<status::Timeline> watch_move(MoveWatch& watch, const Memory& before, const Memory& after, const Observed& observed, MonoTime now) {
  if (!watch.taking) {
    const auto loss = before.section.role == Role::Second ? loss_of(before, observed) : std::nullopt;
    if (!loss) {
      watch = MoveWatch{};
      return std::nullopt;
    }
    // A peer that dies while it leaves is lost: its last sign of life counts.
    if (!watch.losing || (*loss == Kind::Failover && watch.moments.kind != Kind::Failover)) begin_loss(watch, *loss, observed, now);
    if (after.section.lease == LeaseNeed::Needed && !watch.lease_asked) watch.lease_asked = now;
    if (!is_taking(after) && !has_arrived(after)) return std::nullopt;
    watch.taking = true;
    if (!end_of(watch.moments, Phase::Decide)) end_of(watch.moments, Phase::Decide) = watch.lease_asked.value_or(now);
    end_of(watch.moments, Phase::Fence) = now;
  }
  const auto is_switch = [](const Step& step) { return std::holds_alternative<SetAddresses>(step) || std::holds_alternative<OrderReplica>(step); };
  if (!watch.switched && std::ranges::none_of(after.steps, is_switch)) {
    watch.switched = true;
    end_of(watch.moments, Phase::Switch) = now;
  }
  if (has_arrived(after)) {
    end_of(watch.moments, Phase::Application) = now;
    const status::Timeline timeline = status::timeline_of(watch.moments);
    watch = MoveWatch{};
    return timeline;
  }
  if (!is_taking(after)) watch = MoveWatch{};  // it stops, or something failed on the way
  return std::nullopt;
}

}  // namespace safekit::role
