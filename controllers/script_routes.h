#pragma once

#include <list>
#include <string>

#include "controllers/script/effect.h"
#include "reconciler/api/routes.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit {

/// The API of scripts that people ask for on one node. WHAT is confcheck, state, level; start, stop: the application by hand, while
/// the module is stopped; config: the scripts of the configuration, of which GET tells also when nobody has asked.
///   POST modules/NAME/scripts/WHAT                201 ScriptRun, running
///   GET  modules/NAME/scripts/WHAT?wait=TIME      the last one; waits for its end
/// A service. Thread: the loop's.
class ScriptRoutes {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    script::ScriptController& scripts;
  };
  explicit ScriptRoutes(const Ports& ports);
  ~ScriptRoutes();
  ScriptRoutes(const ScriptRoutes&) = delete;
  ScriptRoutes& operator=(const ScriptRoutes&) = delete;

  void add_routes(api::Routes& routes);

 private:
  struct Waiter {
    std::string module{};
    std::string what{};
    api::Respond respond{};
    TimerId timer{0};
  };
  [[nodiscard]] Status check(const std::string& module, const std::string& what) const;
  api::Response begin(const std::string& module, const std::string& what);
  void show(const api::Request& request, const std::string& module, const std::string& what, const api::Respond& respond);
  [[nodiscard]] api::Response last(const std::string& module, const std::string& what) const;
  [[nodiscard]] bool is_running(const std::string& module, const std::string& what) const;
  void passed(const std::string& module);

  Ports ports_;
  std::list<Waiter> waiters_{};
};

}  // namespace safekit
