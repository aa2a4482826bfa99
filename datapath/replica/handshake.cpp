#include "datapath/replica/handshake.h"

namespace safekit::replica {

namespace {
constexpr std::size_t kReadBytes = 64U << 10;
constexpr std::size_t kActivityBytesMax = 1U << 20;  ///< in one frame, and one entry
}

bool is_exact(const journal::State& state, const std::string& boot_id) {
  return state.exact && (state.exact_in_boot.empty() || state.exact_in_boot == boot_id);
}

wire::Hello make_hello(const Settings& settings, const journal::State& state, bool primary) {
  return {.cluster_id = settings.cluster_id,
          .module = settings.module,
          .node = settings.node,
          .primary = primary,
          .current = state.generations.current,
          .base = state.generations.base,
          .history = state.generations.history,
          .exact = is_exact(state, settings.boot_id),
          .up_to_date = state.up_to_date,
          .inconsistent = state.inconsistent,
          .full_wanted = state.since == 0 && (state.full_wanted || state.peer != settings.peer),
          .sync_durable = settings.sync_durable,
          .zone_bytes = settings.zone_bytes,
          .root_count = settings.root_count,
          .base_log = {state.base_log.id, state.base_log.checkpoint},
          .own_log = {state.own_log.id, state.own_log.checkpoint},
          .since = state.since};
}

Status check_hello(const Settings& settings, const wire::Hello& peer, bool primary) {
  if (peer.protocol < wire::kProtocolOldest || peer.oldest > wire::kProtocolVersion) {
    return Error{Code::Unsupported, fmt::format("node '{}' speaks replication protocol {} to {}, this one {} to {}; upgrade "
                                                "the older one, one release at a time", settings.peer, peer.oldest,
                                                peer.protocol, wire::kProtocolOldest, wire::kProtocolVersion)};
  }
  if (peer.cluster_id != settings.cluster_id) return Error{Code::Denied, "the peer belongs to another cluster"};
  if (peer.module != settings.module) {
    return Error{Code::Denied, fmt::format("the peer replicates module '{}', not '{}'; give each module its own port",
                                           peer.module, settings.module)};
  }
  if (peer.node != settings.peer) {
    return Error{Code::Denied, fmt::format("the peer is node '{}', expected '{}'", peer.node, settings.peer)};
  }
  if (peer.primary == primary) return Error{Code::Conflict, primary ? "both nodes are primary" : "neither node is primary"};
  if (peer.zone_bytes != settings.zone_bytes || peer.root_count != settings.root_count) {
    return Error{Code::Conflict, "the nodes have different replication settings (directories or zone size); apply the "
                                 "module again"};
  }
  return {};
}

Status send_activity(Stream& stream, std::vector<wire::ActiveEntry> entries, Duration timeout) {
  wire::Active part{.last = false};
  std::size_t bytes = 0;
  for (wire::ActiveEntry& entry : entries) {
    bytes += entry.at.path.size() + 64 + entry.groups.size() * 16;
    for (const std::string& name : entry.trees) bytes += name.size() + 4;
    part.entries.push_back(std::move(entry));
    if (bytes < kActivityBytesMax) continue;
    SK_TRY_VOID(send_message(stream, part, timeout));
    part.entries.clear();
    bytes = 0;
  }
  part.last = true;
  return send_message(stream, part, timeout);
}

Result<wire::Message> read_message(Stream& stream, wire::FrameReader& frames, Duration timeout) {
  for (;;) {
    SK_TRY(const auto frame, frames.next());
    if (frame) {
      BytesView data;
      return wire::decode(*frame, data);
    }
    SK_TRY(const std::size_t got, stream.read(frames.space(kReadBytes), timeout));
    if (got == 0) return Error{Code::Timeout, "the peer does not answer"};
    frames.commit(got);
  }
}

Status send_message(Stream& stream, const wire::Message& message, Duration timeout) {
  Bytes out;
  wire::append_message(out, message);
  return stream.write(out, timeout);
}

}  // namespace safekit::replica
