#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reconciler/store/store.h"

namespace safekit::membership {

/// A port of safekitd that another program has.
struct TakenPort {
  std::string transport{};  ///< `TCP`, `UDP`
  std::uint16_t port{0};
  std::string address{};
  std::string holder{};  ///< `nginx (pid 812)`; empty: not found
  std::string effect{};  ///< what does not work meanwhile
  friend bool operator==(const TakenPort&, const TakenPort&) = default;
};

/// What is wrong, what does not work, and the fix.
[[nodiscard]] std::string to_text(const TakenPort& taken);

/// Tells of ports that safekitd could not open: an event of the node when it begins and when it is over, and the condition
/// `PortsOpen` of each module of this node. A service.
class PortWatch {
 public:
  explicit PortWatch(store::Store& store) : store_(store) {}
  /// All that are taken now. To be called again and again: modules come and go.
  void update(const std::vector<TakenPort>& taken, WallTime now);
  /// For the list of nodes; empty: all are open.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  store::Store& store_;
  std::vector<TakenPort> taken_{};
  std::string problem_{};
};

}  // namespace safekit::membership
