#pragma once

#include <memory>
#include <string>

#include "reconciler/api/connection.h"
#include "reconciler/api/request.h"
#include "reconciler/api/watch_stream.h"

namespace safekit::api {

/// Who answers what comes in at the doors. Thread: any, several at a time.
class Answerer {
 public:
  virtual ~Answerer() = default;
  virtual Response ask(Request request) = 0;
  virtual Result<std::shared_ptr<WatchStream>> watch(const Request& request) = 0;
  virtual std::string user_of_token(const std::string& token) = 0;  ///< empty: nobody's
  [[nodiscard]] virtual bool is_stopped() const = 0;
};

/// One door: an HTTP server on a socket of ours, with a thread for each connection and bounds on what a stranger may send. Thread:
/// the one that made it. A service; its end waits for the requests under way.
class Listener {
 public:
  Listener(std::shared_ptr<Answerer> answerer, Door door, std::size_t connections_max);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();
  /// For the next connections. Door::Https takes none without.
  void set_identity(std::shared_ptr<TlsIdentity> identity);
  /// Takes over a listening socket.
  void run(int listening);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit::api
