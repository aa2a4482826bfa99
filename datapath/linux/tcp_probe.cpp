#include "datapath/linux/tcp_probe.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "schema/port/interfaces.h"

namespace safekit::linux_os {

struct SystemTcpProbe::Address {
  sockaddr_storage storage{};
  socklen_t size{0};
};

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

/// What a look-up's thread may touch; it can outlive the probe.
struct SystemTcpProbe::Shared {
  std::mutex mutex{};
  bool alive{true};
  int look_ups{0};
};

namespace {

sockaddr_storage address_of(const IpAddress& ip, std::uint16_t port, socklen_t& size) {
  sockaddr_storage storage{};
  if (ip.v6) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    std::memcpy(&in6.sin6_addr, ip.bytes.data(), 16);
    std::memcpy(&storage, &in6, sizeof in6);
    size = sizeof in6;
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.bytes.data(), 4);
    std::memcpy(&storage, &in, sizeof in);
    size = sizeof in;
  }
  return storage;
}

Error refused(int error) {
  return Error{Code::Unavailable, std::strerror(error)};
}

}  // namespace

SystemTcpProbe::SystemTcpProbe(Loop& loop) : loop_(loop), shared_(std::make_shared<Shared>()) {}

SystemTcpProbe::~SystemTcpProbe() {
  const std::lock_guard lock{shared_->mutex};
  shared_->alive = false;
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
  if (const auto ip = parse_ip(host == "localhost" ? "127.0.0.1" : host)) {
    Address address;
    address.storage = address_of(*ip, port, address.size);
    begin(id, address);
  } else {
    look_up(id, host, port);
  }
}

void SystemTcpProbe::begin(std::uint64_t id, const Address& address) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;  // too late
  Attempt& attempt = *found->second;
  // An answer on the spot is told from the loop as well: the caller is not called back inside its call.
  const auto tell = [this, id, shared = shared_](Status status) {
    loop_.post([this, id, shared, status] {
      if (shared->alive) finish(id, status);
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

void SystemTcpProbe::look_up(std::uint64_t id, const std::string& host, std::uint16_t port) {
  {
    const std::lock_guard lock{shared_->mutex};
    if (shared_->look_ups >= kLookUpsMax) return;  // the attempt ends by its time-out
    ++shared_->look_ups;
  }
  std::thread{[this, id, host, port, shared = shared_] {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    std::optional<Address> address;
    if (error == 0) {
      address.emplace();
      std::memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
      address->size = found->ai_addrlen;
      ::freeaddrinfo(found);
    }
    const std::lock_guard lock{shared->mutex};
    --shared->look_ups;
    if (!shared->alive) return;
    loop_.post([this, id, shared, address, why = std::string{error == 0 ? "" : ::gai_strerror(error)}] {
      if (!shared->alive) return;
      if (address)
        begin(id, *address);
      else
        finish(id, Error{Code::NotFound, why});
    });
  }}.detach();
}

}  // namespace safekit::linux_os
