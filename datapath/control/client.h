#pragma once

#include <functional>
#include <string>

#include "datapath/control/codec.h"
#include "schema/port/loop.h"

namespace safekit::control {

/// safekitd's end of the local socket of one replica. Thread: the loop's. A service.
class Client {
 public:
  using ReportTask = std::function<void(const Report&)>;
  using InspectionTask = std::function<void(Inspection&&)>;
  using ClosedTask = std::function<void(const std::string& reason)>;

  explicit Client(Loop& loop) : loop_(loop) {}
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Reports come from now on, the first at once. `on_closed` runs once when the other end is gone (not after `close`);
  /// connect again then. Errors: Unavailable when nobody listens; Io.
  Status connect(const std::string& path, ReportTask on_report, ClosedTask on_closed, InspectionTask on_inspection = {});
  [[nodiscard]] bool is_connected() const { return fd_ >= 0; }
  /// Never blocks: messages are small and the replica always reads. Errors: Unavailable when the connection is gone.
  Status send(const Configure& configure) { return send_bytes(encode(configure)); }
  Status send(const Want& want) { return send_bytes(encode(want)); }
  Status send(const Lease& lease) { return send_bytes(encode(lease)); }
  Status send(const Inspect& inspect) { return send_bytes(encode(inspect)); }
  void close();

 private:
  Status send_bytes(const Bytes& bytes);
  void receive();
  void lost(const std::string& reason);

  Loop& loop_;
  int fd_{-1};
  WatcherId watcher_{0};
  Bytes buffer_{};
  ReportTask on_report_{};
  InspectionTask on_inspection_{};
  ClosedTask on_closed_{};
};

}  // namespace safekit::control
