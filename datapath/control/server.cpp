#include "datapath/control/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace safekit::control {

namespace {
constexpr int kSendMilliseconds = 1000;  ///< safekitd takes reports at once; one that does not is hung and reconnects later
}

Server::~Server() {
  close_client();
  if (listener_ >= 0) {
    ::close(listener_);
    ::unlink(path_.c_str());
  }
  if (event_ >= 0) ::close(event_);
}

Status Server::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::Invalid, fmt::format("socket path '{}' is too long", path)};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  path_ = path;
  event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  ::unlink(path.c_str());  // the journal's lock has shown that no other replica uses it
  const mode_t mask = ::umask(0177);
  const bool bound = listener_ >= 0 && event_ >= 0 &&
                     ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(listener_, 4) == 0;
  const int failed = errno;
  ::umask(mask);
  if (!bound) return Error{Code::Io, fmt::format("control socket '{}': {}", path, std::strerror(failed))};
  return {};
}

void Server::wake() const {
  const std::uint64_t one = 1;
  (void)!::write(event_, &one, sizeof one);  // a full counter wakes as well
}

bool Server::take_connected() { return std::exchange(connected_, false); }

void Server::close_client() {
  if (client_ >= 0) ::close(client_);
  client_ = -1;
  buffer_.clear();
}

void Server::accept_client() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  close_client();
  client_ = fd;
  connected_ = true;
}

Result<std::optional<Message>> Server::next(Duration timeout) {
  if (client_ >= 0) {
    auto message = take_message(buffer_);
    if (!message) {
      close_client();
    } else if (*message) {
      return message;
    }
  }
  std::array<pollfd, 3> fds{pollfd{event_, POLLIN, 0}, pollfd{listener_, POLLIN, 0}, pollfd{client_, POLLIN, 0}};
  const auto wait = std::chrono::duration_cast<milliseconds>(timeout).count();
  if (::poll(fds.data(), client_ >= 0 ? 3 : 2, static_cast<int>(wait)) < 0 && errno != EINTR) {
    return Error{Code::Io, fmt::format("poll: {}", std::strerror(errno))};
  }
  std::uint64_t count = 0;
  if ((fds[0].revents & POLLIN) != 0) (void)!::read(event_, &count, sizeof count);
  if (client_ >= 0 && fds[2].revents != 0) {
    std::array<std::uint8_t, 16384> piece{};
    const ssize_t got = ::recv(client_, piece.data(), piece.size(), 0);
    if (got > 0) {
      buffer_.insert(buffer_.end(), piece.begin(), piece.begin() + got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      close_client();
    }
  }
  if ((fds[1].revents & POLLIN) != 0) accept_client();
  if (client_ < 0) return std::optional<Message>{};
  auto message = take_message(buffer_);
  if (message) return message;
  close_client();
  return std::optional<Message>{};
}

void Server::send(const Message& message) {
  if (client_ < 0) return;
  const Bytes bytes = encode(message);
  BytesView rest{bytes};
  while (!rest.empty()) {
    const ssize_t done = ::send(client_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (done > 0) {
      rest = rest.subspan(static_cast<std::size_t>(done));
      continue;
    }
    if (done < 0 && errno == EINTR) continue;
    pollfd ready{client_, POLLOUT, 0};
    if (done < 0 && errno == EAGAIN && ::poll(&ready, 1, kSendMilliseconds) == 1) continue;
    close_client();
    return;
  }
}

}  // namespace safekit::control
