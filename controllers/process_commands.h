#pragma once

#include "controllers/errd/effect.h"
#include "reconciler/api/routes.h"

namespace safekit {

/// What `safekit errd list|enable|disable` and `safekit kill` ask of a node (spec/operations.md 1.8). A service. Thread: the loop's.
class ProcessCommands {
 public:
  struct Ports {
    store::Store& store;
    Processes& processes;
    errd::ErrdController& errd;
  };
  explicit ProcessCommands(const Ports& ports) : ports_(ports) {}
  ///   GET  modules/NAME/processes     what errd watches of the module, and what there is of it
  ///   POST modules/NAME/errd-classes  {class, enabled}
  ///   POST processes                  {name, argRegex, signal}: the processes; those that get the signal, unless it is 0
  void add_routes(api::Routes& routes);

 private:
  [[nodiscard]] api::Response list(const std::string& module) const;
  api::Response set_class(const api::Request& request, const std::string& module);
  api::Response signal(const api::Request& request);

  Ports ports_;
};

}  // namespace safekit
