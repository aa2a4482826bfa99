#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::peer {

using ReplyTask = std::function<void(Result<std::string>)>;

/// Where a node listens for its peers.
struct Member {
  NodeName node{};
  std::vector<std::string> addresses{};  ///< in order of preference; of this node itself: those of its interfaces
  std::uint16_t port{0};
  friend bool operator==(const Member&, const Member&) = default;
};

/// Requests between nodes whose names are proved (mutual TLS). All tasks run on the loop. Thread: the loop's.
class Transport {
 public:
  /// Called for each request of a peer; `reply` is called once, now or later.
  using Handler = std::function<void(const NodeName& from, const std::string& path, std::string body, ReplyTask reply)>;
  virtual ~Transport() = default;
  /// Who may connect, whom we reach where, and where we listen. Called again whenever that changes.
  virtual void set_members(const Member& self, const std::vector<Member>& peers) = 0;
  /// Errors: what the peer's handler answered; Unavailable when it cannot be reached; Timeout; Denied when the other end
  /// is of another cluster; Exhausted when too many requests wait; NotFound for a node that is no member.
  virtual void request(const NodeName& peer, const std::string& path, std::string body, Duration limit, ReplyTask reply) = 0;
  virtual void on_request(Handler handler) = 0;
  /// What keeps this node from listening, or who was refused lately; for people.
  [[nodiscard]] virtual std::vector<std::string> problems() const = 0;
};

}  // namespace safekit::peer
