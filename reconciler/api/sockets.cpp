#include "reconciler/api/sockets.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace safekit::api {
namespace {

/// A descriptor that closes itself. A value.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Error io_error(const std::string& what) {
  return Error{Code::Io, fmt::format("{}: {}", what, std::strerror(errno))};
}

/// A socket left by a safekitd that is gone is removed; a living one is not disturbed.
Status clear_socket(const std::string& path, const sockaddr_un& address) {
  const Fd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return Error{Code::Conflict, fmt::format("another safekitd answers on '{}'; stop it first", path)};
  }
  if (errno == ECONNREFUSED && ::unlink(path.c_str()) != 0)
    return io_error("socket '" + path + "' cannot be removed");
  return {};
}

}  // namespace

Result<int> listen_local(const std::string& path, const std::string& group_name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{Code::Invalid, fmt::format("the path of the socket is too long ({} bytes at most): '{}'",
                                            sizeof address.sun_path - 1, path)};
  }
  path.copy(address.sun_path, path.size());
  SK_TRY_VOID(clear_socket(path, address));
  Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  // Closed to others before the name exists, so that nobody gets in between; opened when the group is right.
  if (fd.get() < 0 || ::fchmod(fd.get(), 0600) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return io_error("socket '" + path + "'");
  }
  if (const group* found = ::getgrnam(group_name.c_str()); found != nullptr) {
    (void)::chown(path.c_str(), static_cast<uid_t>(-1),
                  found->gr_gid);  // not root: the socket is the caller's alone
  }
  if (::chmod(path.c_str(), 0660) != 0 || ::listen(fd.get(), SOMAXCONN) != 0)
    return io_error("socket '" + path + "'");
  return fd.release();
}

Result<int> listen_tcp(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0 || found == nullptr) {
    return Error{Code::Invalid, fmt::format("'{}' is not an address to listen on", host)};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> freed{found, ::freeaddrinfo};
  Fd fd{::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (fd.get() < 0 && errno == EAFNOSUPPORT && host == "::")
    return listen_tcp("0.0.0.0", port);  // IPv6 is switched off
  const int on = 1;
  const int off = 0;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on,
                     sizeof on);  // else a restart waits for old connections
  if (found->ai_family == AF_INET6) (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (fd.get() < 0 || ::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    if (errno == EADDRNOTAVAIL && host == "::") return listen_tcp("0.0.0.0", port);  // the same, by sysctl
    return io_error(fmt::format("port {} on '{}'", port, host));
  }
  return fd.release();
}

std::uint16_t port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  // The port stands at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

std::string user_of(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (::getpwuid_r(peer.uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return entry.pw_name;
  return fmt::format("uid{}", peer.uid);
}

std::string address_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
    return "unknown";
  }
  const std::string text = host.data();
  return text.starts_with("::ffff:") ? text.substr(7) : text;
}

}  // namespace safekit::api
