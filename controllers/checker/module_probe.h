#pragma once

#include <functional>
#include <string>

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::checker {

/// How another module is, where it is asked for.
struct ModuleState {
  bool in_service{false};  ///< PRIM, ALONE or UP, Ready
  std::string instance{};  ///< with in_service: another one when the application was started anew, here or on another node
  friend bool operator==(const ModuleState&, const ModuleState&) = default;
};

/// Asks for the state of a module of this cluster. Thread: the loop's.
class ModuleProbe {
 public:
  virtual ~ModuleProbe() = default;
  /// `address`: of this node (127.0.0.1, localhost), of another node, or a virtual address of that module. The task runs once, on the
  /// loop. Errors: Timeout, Unavailable, NotFound (no such module there), Invalid for an address that is nobody's in this cluster.
  virtual void ask(const ModuleName& module, const std::string& address, Duration timeout, std::function<void(Result<ModuleState>)> task) = 0;
};

}  // namespace safekit::checker
