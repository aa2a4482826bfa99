#pragma once

#include "controllers/role/plan.h"

/// What the peer's section says, in the words of the rules. Pure.
namespace safekit::role {

/// It is heard, and neither serves nor follows.
[[nodiscard]] bool is_gone(const status::PeerSection& peer);
/// Every heartbeat is lost, and so is the replication stream, which counts as one (design.md 6).
[[nodiscard]] bool is_dead(const status::PeerSection& peer, const status::ReplicationSection& replica);
[[nodiscard]] bool serves(const status::PeerSection& peer);
/// Nothing is heard of it, on no network and over no stream; for how long already, is not said.
[[nodiscard]] bool is_silent(const status::PeerSection& peer, const status::ReplicationSection& replica);
/// It serves no more, and has served alone since this node was its pair: only then is a copy beyond doubt.
[[nodiscard]] bool is_ahead(const status::PeerSection& peer, const status::ReplicationSection& replica);
/// It serves without this copy, or did before it stopped, says its heartbeat: it may have heard nothing of us, and then has not asked
/// that the copy be marked.
[[nodiscard]] bool has_left_us(const status::PeerSection& peer, const status::ReplicationSection& replica);

}  // namespace safekit::role
