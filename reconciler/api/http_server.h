#pragma once

#include <memory>
#include <string>

#include "reconciler/api/routes.h"
#include "schema/port/crypto.h"
#include "schema/port/log.h"

namespace safekit::api {

struct ServerOptions {
  std::string socket_path{kSocketFile};
  std::string socket_group{"safekit"};  ///< its members may use the socket too, where the group exists
  std::string https_host{"::"};
  std::uint16_t https_port{kHttpsPort};  ///< 0: any free one (tests)
  std::string probe_host{"::"};
  std::uint16_t probe_port{kProbePort};
  bool probe{true};
  std::size_t connections_max{128};  ///< of each of the three doors; more wait in the kernel's queue
};

/// The API of a node on its Unix socket, on HTTPS once there is a certificate, and the probe for load
/// balancers. Connections have threads of their own; they hold no state and ask the routes on the loop.
/// Thread: the loop's. A service; `stop` before the store goes.
class Server {
 public:
  /// Whose token this is; empty: nobody's. Runs on the loop.
  using Authenticate = std::function<std::string(const std::string& token)>;
  Server(Loop& loop, store::Store& store, const Clock& clock, Log& log, ServerOptions options,
         Callbacks callbacks, Authenticate authenticate = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();
  /// Errors: Conflict when another safekitd answers on the socket, Io. A probe port that is taken is only
  /// logged.
  Status start();
  /// Opens HTTPS, or gives its next connections the new certificate. Errors: Invalid, Io (port taken).
  Status set_identity(const Identity& identity);
  void stop();
  [[nodiscard]] Routes& routes();  ///< for requests of other nodes, and further routes
  [[nodiscard]] std::uint16_t https_port() const;
  [[nodiscard]] std::uint16_t probe_port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit::api
