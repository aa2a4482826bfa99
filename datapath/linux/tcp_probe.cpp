#include "datapath/linux/tcp_probe.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>


namespace safekit::linux_os {

struct SystemTcpProbe::Attempt {
  std::string host{};
  std::uint16_t port{0};
  std::function<void(Status)> task{};
  Fd socket{};
  /// An epoll set with the socket in it: it is readable when the socket is writable, which is what the loop
  /// can watch.
  Fd ready{};
  WatcherId watcher{0};
  TimerId timer{0};
};

namespace {

Error refused(int error) {
  return Error{Code::Unavailable, std::strerror(error)};
}

}  // namespace

SystemTcpProbe::SystemTcpProbe(Loop& loop) : loop_(loop), resolver_(loop) {}

SystemTcpProbe::~SystemTcpProbe() {
  *alive_ = false;
  for (const auto& [id, attempt] : attempts_) {
    if (attempt->watcher != 0) loop_.unwatch(attempt->watcher);
    if (attempt->timer != 0) loop_.cancel(attempt->timer);
  }
}

void SystemTcpProbe::connect(const std::string& host, std::uint16_t port, Duration timeout,
                             std::function<void(Status)> task) {
  const std::uint64_t id = ++last_id_;
  auto attempt = std::make_shared<Attempt>();
  attempt->host = host;
  attempt->port = port;
  attempt->task = std::move(task);
  attempt->timer = loop_.after(timeout, [this, id] {
    finish(id, Error{Code::Timeout, "no answer in time"});
  });
  attempts_.emplace(id, std::move(attempt));
  if (const auto address = numeric_address(host, port)) return begin(id, *address);
  resolver_.look_up(host, port, [this, id](const Result<SocketAddress>& address) {
    if (address) {
      begin(id, *address);
    } else {
      finish(id, address.error());
    }
  });
}

void SystemTcpProbe::begin(std::uint64_t id, const SocketAddress& address) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;  // too late
  Attempt& attempt = *found->second;
  // An answer on the spot is told from the loop as well: the caller is not called back inside its call.
  const auto tell = [this, id, alive = alive_](Status status) {
    loop_.post([this, id, alive, status] {
      if (*alive) finish(id, status);
    });
  };
  attempt.socket = Fd{::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  attempt.ready = Fd{::epoll_create1(EPOLL_CLOEXEC)};
  if (!attempt.socket || !attempt.ready) return tell(Error{Code::Io, std::strerror(errno)});
  sockaddr_storage storage = address.storage;
  if (::connect(attempt.socket.get(), reinterpret_cast<sockaddr*>(&storage), address.size) == 0)
    return tell(Status{});
  if (errno != EINPROGRESS) return tell(refused(errno));
  epoll_event event{.events = EPOLLOUT, .data = {}};
  if (::epoll_ctl(attempt.ready.get(), EPOLL_CTL_ADD, attempt.socket.get(), &event) != 0) {
    return tell(Error{Code::Io, std::strerror(errno)});
  }
  attempt.watcher = loop_.watch_readable(attempt.ready.get(), [this, id, socket = attempt.socket.get()] {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    finish(id, error == 0 ? Status{} : Status{refused(error)});
  });
}

void SystemTcpProbe::finish(std::uint64_t id, Status status) {
  auto node = attempts_.extract(id);
  if (node.empty()) return;
  Attempt& attempt = *node.mapped();
  if (attempt.watcher != 0) loop_.unwatch(attempt.watcher);
  loop_.cancel(attempt.timer);
  if (!status)
    status.error().what = fmt::format("{} port {}: {}", attempt.host, attempt.port, status.error().what);
  attempt.task(std::move(status));
}

}  // namespace safekit::linux_os
