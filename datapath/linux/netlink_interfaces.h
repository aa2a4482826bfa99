#pragma once

#include <map>

#include "datapath/linux/announcement.h"
#include "datapath/linux/fd.h"
#include "schema/port/interfaces.h"
#include "schema/port/loop.h"

namespace safekit::linux_os {

/// Interfaces by raw rtnetlink, packet sockets and sock_diag; needs CAP_NET_ADMIN and CAP_NET_RAW for all but
/// `list` and `on_change`. IPv6 addresses are added without the kernel's own duplicate address detection,
/// which would keep them unusable for a second: `probe` asks before. A service. Thread: the loop's.
class NetlinkInterfaces final : public Interfaces {
 public:
  explicit NetlinkInterfaces(Loop& loop) : loop_(loop) {}
  ~NetlinkInterfaces() override;
  NetlinkInterfaces(const NetlinkInterfaces&) = delete;
  NetlinkInterfaces& operator=(const NetlinkInterfaces&) = delete;

  Result<std::vector<Interface>> list() override;
  Status add_address(int index, const InterfaceAddress& address) override;
  Status remove_address(int index, const InterfaceAddress& address) override;
  Status announce(int index, const IpAddress& address) override;
  Status probe(int index, const IpAddress& address, Duration wait,
               std::function<void(std::optional<MacAddress>)> task) override;
  Status reset_connections(const IpAddress& address) override;
  /// Kernels that lose messages for lack of buffer count as a change. Errors show as no events.
  void on_change(std::function<void()> task) override;

 private:
  struct Probe {
    Fd socket{};
    WatcherId watcher{0};
    TimerId timer{0};
    int index{0};
    IpAddress address{};
    MacAddress mac{};
    Frame question{};
    int questions_left{0};
    Duration gap{};
    std::function<void(std::optional<MacAddress>)> task{};
  };
  void ask(std::uint64_t id);
  void hear(std::uint64_t id);
  void end_probe(std::uint64_t id, std::optional<MacAddress> owner);
  Result<MacAddress> mac_of(int index);

  Loop& loop_;
  std::uint64_t last_probe_{0};
  std::map<std::uint64_t, Probe> probes_{};
  std::vector<std::function<void()>> on_changes_{};
  Fd events_{};
  WatcherId events_watcher_{0};
};

}  // namespace safekit::linux_os
