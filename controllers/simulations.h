#pragma once

#include <string>
#include <thread>

#include "controllers/simulate/forecast.h"
#include "reconciler/api/routes.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/store.h"
#include "schema/port/interfaces.h"
#include "schema/port/loop.h"

namespace safekit {

/// The API of forecasts.
///   GET  modules/NAME/situation                                   this node, as a forecast begins (simulate/tree.h)
///   POST modules/NAME/simulate?what=WHAT&name=NAME&on=NODE        Simulation; WHAT as sim::parse_happening, of `apply` the file is the body
/// A forecast takes tens of milliseconds of a thread of its own, one at a time. A service. Thread: the loop's.
class Simulations {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    Interfaces& interfaces;
    peer::Peers& peers;
  };
  explicit Simulations(const Ports& ports) : ports_(ports) {}

  void add_routes(api::Routes& routes);

 private:
  [[nodiscard]] Result<sim::NodeNow> here(const std::string& module) const;
  [[nodiscard]] Result<sim::Happening> happening_of(const api::Request& request, const std::string& module) const;
  [[nodiscard]] Result<spec::Module> spec_of(const api::Request& request, const std::string& module) const;
  void simulate(const api::Request& request, const std::string& module, const api::Respond& respond);
  void heard(sim::Situation situation, std::size_t other, const sim::Happening& what, const Result<std::string>& reply, const api::Respond& respond);
  void begin(const sim::Situation& situation, const sim::Happening& what, const api::Respond& respond);

  Ports ports_;
  bool busy_{false};
  std::jthread thread_{};  ///< ends by itself soon; joined by its successor or the end
};

}  // namespace safekit
