#pragma once

#include <string>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::status {

/// A line of the module log (spec/runtime.md 7). Levels U user, C critical, E event, S script, I information, W warning,
/// D debug; the short log has U C E S. A transition's line is its event.
struct Event {
  WallTime time{};
  NodeName node{};
  ModuleName module{};      ///< empty: of the node itself
  std::string component{};  ///< `heart`, `userplug`, `rfsplug`, `vipplug`, `errd`, `tcpcheck`, `safekit` ...
  char level{'I'};
  std::string text{};       ///< the message catalogue of spec/runtime.md 7.3
  friend bool operator==(const Event&, const Event&) = default;
};

}  // namespace safekit::status
