#pragma once

#include <functional>

#include "reconciler/api/request.h"
#include "schema/base/time.h"

namespace safekit::api {

/// Asks a safekitd. Thread: one.
class Client {
 public:
  virtual ~Client() = default;
  /// The answer, also one that tells of a failure. Errors: Unavailable when nobody answers, Timeout, Denied
  /// for a certificate that does not hold.
  virtual Result<Response> call(const Request& request) = 0;
  /// Called with each event of a watch; false ends it.
  using OnEvent = std::function<bool(std::string_view type, const doc::Node& data)>;
  /// Ends when `on_event` wants so (fine), the server closes (Unavailable), or after `limit` without an end
  /// (Timeout).
  virtual Status watch(const Request& request, Duration limit, const OnEvent& on_event) = 0;
  /// As people know it: `https://10.0.0.1:9453`.
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace safekit::api
