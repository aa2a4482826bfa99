#include "datapath/control/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace safekit::control {

Status Client::connect(const std::string& path, ReportTask on_report, ClosedTask on_closed, InspectionTask on_inspection) {
  close();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::Invalid, fmt::format("socket path '{}' is too long", path)};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Error{Code::Io, fmt::format("socket: {}", std::strerror(errno))};
  // A local connect does not wait: it is in the queue of the listener, or refused.
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int failed = errno;
    ::close(fd);
    return Error{Code::Unavailable, fmt::format("replica's socket '{}': {}", path, std::strerror(failed))};
  }
  fd_ = fd;
  on_report_ = std::move(on_report);
  on_closed_ = std::move(on_closed);
  on_inspection_ = std::move(on_inspection);
  watcher_ = loop_.watch_readable(fd_, [this] { receive(); });
  return {};
}

void Client::close() {
  if (fd_ < 0) return;
  loop_.unwatch(watcher_);
  ::close(fd_);
  fd_ = -1;
  buffer_.clear();
}

void Client::lost(const std::string& reason) {
  close();
  const ClosedTask task = std::move(on_closed_);
  on_closed_ = {};
  if (task) task(reason);
}

Status Client::send_bytes(const Bytes& bytes) {
  if (fd_ < 0) return Error{Code::Unavailable, "the replica is not connected"};
  const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (done == static_cast<ssize_t>(bytes.size())) return {};
  // Half a message would spoil all later ones. The watcher tells of the end.
  ::shutdown(fd_, SHUT_RDWR);
  return Error{Code::Unavailable, "the replica takes no messages"};
}

void Client::receive() {
  std::array<std::uint8_t, 16384> piece{};
  const ssize_t got = ::recv(fd_, piece.data(), piece.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    lost(got == 0 ? "the replica has closed the connection" : std::strerror(errno));
    return;
  }
  buffer_.insert(buffer_.end(), piece.begin(), piece.begin() + got);
  while (fd_ >= 0) {
    auto message = take_message(buffer_);
    if (!message) {
      lost(message.error().what);
      return;
    }
    if (!*message) return;
    // The task may close or reconnect us.
    if (const auto* report = std::get_if<Report>(&**message)) {
      const ReportTask task = on_report_;
      task(*report);
    } else if (auto* inspection = std::get_if<Inspection>(&**message)) {
      const InspectionTask task = on_inspection_;
      if (task) task(std::move(*inspection));
    }
  }
}

}  // namespace safekit::control
