#pragma once

#include <map>
#include <memory>

#include "datapath/linux/fd.h"
#include "schema/port/loop.h"
#include "schema/port/network.h"

namespace safekit::linux_os {

/// Real TCP probes: non-blocking connect(2) on the loop; names are looked up on a thread of their own. A
/// service; what is under way when it goes is given up, and its tasks do not run.
class SystemTcpProbe final : public TcpProbe {
 public:
  explicit SystemTcpProbe(Loop& loop);
  ~SystemTcpProbe() override;
  SystemTcpProbe(const SystemTcpProbe&) = delete;
  SystemTcpProbe& operator=(const SystemTcpProbe&) = delete;
  void connect(const std::string& host, std::uint16_t port, Duration timeout,
               std::function<void(Status)> task) override;

  static constexpr int kLookUpsMax = 8;  ///< a resolver that hangs must not collect threads without end

 private:
  struct Address;
  struct Attempt;
  struct Shared;
  void begin(std::uint64_t id, const Address& address);
  void finish(std::uint64_t id, Status status);
  void look_up(std::uint64_t id, const std::string& host, std::uint16_t port);

  Loop& loop_;
  std::uint64_t last_id_{0};
  std::map<std::uint64_t, std::shared_ptr<Attempt>> attempts_{};
  std::shared_ptr<Shared> shared_;
};

}  // namespace safekit::linux_os
