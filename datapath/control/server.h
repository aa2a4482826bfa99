#pragma once

#include <functional>
#include <optional>
#include <string>

#include "datapath/control/codec.h"

namespace safekit::control {

/// The replica's end of the local socket. One connection at a time: a new one replaces the old one, whose owner has
/// restarted. While nobody is connected the replica goes on with what it was told last. Thread: the one that calls. A
/// service. Errors: Io.
class Server {
 public:
  Server() = default;
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Replaces a socket left over by an earlier process. Readable and writable by root only.
  Status open(const std::string& path);
  /// Waits for a message at most so long, or until `wake` is called. Nothing then.
  Result<std::optional<Message>> next(Duration timeout);
  /// A replica that cannot send is no reason to stop: a broken connection is closed.
  void send(const Message& message);
  /// `next` returns soon. Thread: any; also from a signal handler.
  void wake() const;
  /// True once after each new connection, which has not heard anything yet.
  [[nodiscard]] bool take_connected();

 private:
  void close_client();
  void accept_client();

  std::string path_{};
  int listener_{-1};
  int client_{-1};
  int event_{-1};
  bool connected_{false};
  Bytes buffer_{};
};

}  // namespace safekit::control
