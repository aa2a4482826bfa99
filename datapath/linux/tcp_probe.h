#pragma once

#include <map>
#include <memory>

#include "datapath/linux/fd.h"
#include "datapath/linux/resolver.h"
#include "schema/port/loop.h"
#include "schema/port/network.h"

namespace safekit::linux_os {

/// Real TCP probes: non-blocking connect(2) on the loop; a service; what is under way when it goes is given up, and its tasks do not run.
class SystemTcpProbe final : public TcpProbe {
 public:
  explicit SystemTcpProbe(Loop& loop);
  ~SystemTcpProbe() override;
  SystemTcpProbe(const SystemTcpProbe&) = delete;
  SystemTcpProbe& operator=(const SystemTcpProbe&) = delete;
  void connect(const std::string& host, std::uint16_t port, Duration timeout,
               std::function<void(Status)> task) override;

 private:
  struct Attempt;
  void begin(std::uint64_t id, const SocketAddress& address);
  void finish(std::uint64_t id, Status status);

  Loop& loop_;
  std::uint64_t last_id_{0};
  std::map<std::uint64_t, std::shared_ptr<Attempt>> attempts_{};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
  Resolver resolver_;
};

}  // namespace safekit::linux_os
