#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datapath/heartbeat/table.h"
#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/port/clock.h"
#include "schema/port/crypto.h"
#include "schema/port/loop.h"
#include "schema/port/random.h"

namespace safekit::heartbeat {

/// One flow: this node and one other on one network. It serves all modules.
struct Link {
  LanName lan{};
  NodeName peer{};
  std::string local_address{};
  std::string peer_address{};
  Duration
      timeout{};  ///< silence after which the link is Down; 0: only `heard` is told, and the caller judges
  friend auto operator<=>(const Link&, const Link&) = default;
};

struct LinkPlan {
  std::uint16_t port{0};  ///< of both ends
  Duration period{milliseconds{100}};
  std::vector<Link> links{};
  friend bool operator==(const LinkPlan&, const LinkPlan&) = default;
};

/// Silence counts from the later of `heard` and `listening_since` (see LinkTimes).
struct LinkState {
  std::optional<MonoTime> heard{};
  MonoTime listening_since{};
  Health health{Health::Init};
  int error{0};  ///< errno of the socket: EADDRNOTAVAIL while the local address is away, EADDRINUSE,
                 ///< ENETUNREACH, ...
};

/// Sends and hears heartbeats on every link from a thread of its own: real-time where that is permitted, its
/// memory locked as far as that is, allocating nothing while nothing changes. It measures how late it is run,
/// and widens the time-outs by that. A socket whose local address is away is bound again when it comes back.
/// A service. Thread: all calls from the loop's; the destructor ends the thread. Source: docs/wire.md
/// (heartbeats).
class HeartbeatService {
 public:
  struct Options {
    NodeName node{};
    SecretKey key{};   ///< the cluster's heartbeat key; each session's keys are derived from it
    int priority{10};  ///< of SCHED_FIFO
  };
  HeartbeatService(const Options& options, Clock& clock, Random& random, Crypto& crypto, Loop& loop);
  ~HeartbeatService();
  HeartbeatService(const HeartbeatService&) = delete;
  HeartbeatService& operator=(const HeartbeatService&) = delete;

  /// Replaces all links; those that stay go on undisturbed. Errors: Invalid for an address that is none,
  /// Exhausted.
  Status configure(const LinkPlan& plan);
  /// What every heartbeat carries from now on; sent at once on every link as well. Nothing is sent before the
  /// first call. Errors: Exhausted over kPayloadBytesMax.
  Status publish(Bytes payload);
  [[nodiscard]] LinkState state(const LanName& lan, const NodeName& peer) const;
  /// The last payload of a peer, whichever link brought it. Nothing: none since the start.
  [[nodiscard]] std::optional<Bytes> payload(const NodeName& peer) const;
  /// The task runs on the loop soon after a peer's payload changed, after a link was heard again that had
  /// been silent for more than two periods, and after a link went Down.
  void on_change(std::function<void(const NodeName& peer)> task);

  /// How late the thread was run at worst since the last call.
  [[nodiscard]] Duration take_scheduling_delay();
  /// False: no permission for SCHED_FIFO; the thread runs as any other.
  [[nodiscard]] bool is_real_time() const;

  static constexpr std::size_t kLinksMax = 256;

 private:
  class Engine;
  struct Front;
  std::shared_ptr<Front> front_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace safekit::heartbeat
