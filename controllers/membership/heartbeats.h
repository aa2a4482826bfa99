#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::membership {

/// One flow: this node and one other on one network. It serves all modules.
struct Link {
  LanName lan{};
  NodeName peer{};
  std::string local_address{};
  std::string peer_address{};
  friend auto operator<=>(const Link&, const Link&) = default;
};

struct LinkPlan {
  std::uint16_t port{0};
  Duration period{milliseconds{100}};
  std::vector<Link> links{};  ///< sorted
  friend bool operator==(const LinkPlan&, const LinkPlan&) = default;
};

/// When a link was heard. `listening_since`: silence before it counts for nothing; it moves forward when this
/// node itself did not run for a while (a suspended machine, a starved thread), so that its own absence is no
/// loss of the peer. Nothing: nobody listens yet.
struct LinkState {
  std::optional<MonoTime> heard{};
  std::optional<MonoTime> listening_since{};
  int error{0};  ///< errno of this node's own socket; 0: it works
  friend bool operator==(const LinkState&, const LinkState&) = default;
};

/// What membership needs of the heartbeat service. Thread: the loop's (the service has its own thread for the
/// rest).
class Heartbeats {
 public:
  virtual ~Heartbeats() = default;
  /// Replaces all links; those that stay go on undisturbed.
  virtual Status configure(const LinkPlan& plan) = 0;
  /// What every heartbeat carries from now on; sent at once on every link as well. Nothing is sent before the
  /// first call.
  virtual Status publish(Bytes payload) = 0;
  [[nodiscard]] virtual LinkState state(const LanName& lan, const NodeName& peer) const = 0;
  /// The last payload of a peer, whichever link brought it. Nothing: none since the start.
  [[nodiscard]] virtual std::optional<Bytes> payload(const NodeName& peer) const = 0;
  /// The task runs on the loop soon after a peer's payload changed, and after a link was heard again that had
  /// been silent for more than two periods.
  virtual void on_change(std::function<void(const NodeName& peer)> task) = 0;
};

}  // namespace safekit::membership
