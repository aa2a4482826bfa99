#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reconciler/store/store.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::engine {

/// Which object a controller shall look at. It carries a key, never an event: lost, repeated and merged wake-ups do not
/// matter.
struct Request {
  std::string name{};  ///< module, or `cluster`
  friend auto operator<=>(const Request&, const Request&) = default;
};

struct Outcome {
  std::optional<Duration> requeue_after{};  ///< look again after this time although nothing may have changed
};

/// One concern of the control plane. Thread: the loop's. `reconcile` never blocks.
class Controller {
 public:
  virtual ~Controller() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Which key, if any, a change concerns.
  [[nodiscard]] virtual std::optional<Request> wants(const store::Change& change) const = 0;
  /// Errors are retried with backoff, except Invalid and Unsupported, which the controller has to turn into a condition.
  virtual Result<Outcome> reconcile(const Request& request) = 0;
};

}  // namespace safekit::engine
