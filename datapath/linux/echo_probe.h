#pragma once

#include <map>

#include "datapath/linux/fd.h"
#include "datapath/linux/resolver.h"
#include "schema/port/loop.h"
#include "schema/port/network.h"

namespace safekit::linux_os {

/// Real echoes (ICMP, RFC 792; ICMPv6, RFC 4443) over one raw socket of each family, which is opened when it
/// is first needed: the process needs CAP_NET_RAW. A reply is known by the random token that it brings back.
/// A service; what is under way when it goes is given up, and its tasks do not run.
class SystemEchoProbe final : public EchoProbe {
 public:
  explicit SystemEchoProbe(Loop& loop) : loop_(loop), resolver_(loop) {}
  ~SystemEchoProbe() override;
  SystemEchoProbe(const SystemEchoProbe&) = delete;
  SystemEchoProbe& operator=(const SystemEchoProbe&) = delete;
  void echo(const std::string& host, Duration timeout, std::function<void(Status)> task) override;

 private:
  struct Attempt {
    std::string host{};
    std::function<void(Status)> task{};
    TimerId timer{0};
  };
  struct Door {
    Fd socket{};
    WatcherId watcher{0};
  };
  void send(std::uint64_t token, const SocketAddress& address);
  Status open(Door& door, bool v6);
  void read(const Door& door, bool v6);
  void finish(std::uint64_t token, Status status);

  Loop& loop_;
  std::map<std::uint64_t, Attempt> attempts_{};  ///< by token
  std::uint16_t sequence_{0};
  Door v4_{};
  Door v6_{};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
  Resolver resolver_;
};

}  // namespace safekit::linux_os
