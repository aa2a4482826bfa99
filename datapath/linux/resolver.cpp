#include "datapath/linux/resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <mutex>
#include <thread>

#include "schema/port/interfaces.h"

namespace safekit::linux_os {

/// What a look-up's thread may touch; it can outlive the resolver.
struct Resolver::Shared {
  std::mutex mutex{};
  bool alive{true};
  int look_ups{0};
};

std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port) {
  const auto ip = parse_ip(host == "localhost" ? "127.0.0.1" : host);
  if (!ip) return std::nullopt;
  SocketAddress address;
  if (ip->v6) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    std::memcpy(&in6.sin6_addr, ip->bytes.data(), 16);
    std::memcpy(&address.storage, &in6, sizeof in6);
    address.size = sizeof in6;
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip->bytes.data(), 4);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

Resolver::Resolver(Loop& loop) : loop_(loop), shared_(std::make_shared<Shared>()) {}

Resolver::~Resolver() {
  const std::lock_guard lock{shared_->mutex};
  shared_->alive = false;
}

void Resolver::look_up(const std::string& host, std::uint16_t port,
                       std::function<void(Result<SocketAddress>)> task) {
  {
    const std::lock_guard lock{shared_->mutex};
    if (shared_->look_ups >= kLookUpsMax) return;
    ++shared_->look_ups;
  }
  std::thread{[&loop = loop_, host, port, task = std::move(task), shared = shared_] {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    Result<SocketAddress> result = Error{Code::NotFound, error == 0 ? "" : ::gai_strerror(error)};
    if (error == 0) {
      SocketAddress address;
      std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
      address.size = found->ai_addrlen;
      result = address;
      ::freeaddrinfo(found);
    }
    const std::lock_guard lock{shared->mutex};
    --shared->look_ups;
    if (!shared->alive) return;
    loop.post([task, shared, result] {
      if (shared->alive) task(result);
    });
  }}.detach();
}

}  // namespace safekit::linux_os
