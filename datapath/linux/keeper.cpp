#include "datapath/linux/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

extern char** environ;

namespace safekit {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr const char* kSocketName = "keeper.sock";
constexpr timeval kAnswerMax{.tv_sec = 2, .tv_usec = 0};

enum class What : std::uint32_t { Keep = 1, Drop, Fetch, Release, Kept, End, Incomplete };

struct Message {
  std::uint32_t version{kVersion};
  What what{What::End};
  std::uint64_t key{0};
};
static_assert(sizeof(Message) == 16);

union Control {
  cmsghdr header;
  char room[CMSG_SPACE(sizeof(int))];
};

Error failed(const std::string& what) { return Error{Code::Io, fmt::format("{}: {}", what, std::strerror(errno))}; }

bool send_message(int socket, const Message& message, int descriptor = -1) {
  iovec part{const_cast<Message*>(&message), sizeof message};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  Control control{};
  if (descriptor >= 0) {
    head.msg_control = control.room;
    head.msg_controllen = sizeof control.room;
    cmsghdr* one = CMSG_FIRSTHDR(&head);
    one->cmsg_level = SOL_SOCKET;
    one->cmsg_type = SCM_RIGHTS;
    one->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(one), &descriptor, sizeof descriptor);
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket, &head, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof message);
}

struct Received {
  Message message{};
  Fd descriptor{};
};

/// Nothing at the end of the connection and for what is no message.
std::optional<Received> receive_message(int socket) {
  Received got;
  iovec part{&got.message, sizeof got.message};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  Control control{};
  head.msg_control = control.room;
  head.msg_controllen = sizeof control.room;
  ssize_t size = -1;
  do {
    size = ::recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  const cmsghdr* one = size > 0 ? CMSG_FIRSTHDR(&head) : nullptr;
  if (one != nullptr && one->cmsg_level == SOL_SOCKET && one->cmsg_type == SCM_RIGHTS) {
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(one), sizeof descriptor);
    got.descriptor.reset(descriptor);
  }
  if (size != static_cast<ssize_t>(sizeof got.message)) return std::nullopt;
  return got;
}

/// Through the directory's descriptor: the path of a socket may be too long for its address.
struct Address {
  Fd directory{};
  sockaddr_un name{};
};
Result<Address> address_of(const std::string& directory) {
  Address address{.directory = Fd{::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)}};
  if (!address.directory) return failed(directory);
  address.name.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", address.directory.get(), kSocketName);
  std::memcpy(address.name.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<Fd> listen_at(const Address& address) {
  (void)::unlinkat(address.directory.get(), kSocketName, 0);  // of one that is gone
  Fd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  const auto* name = reinterpret_cast<const sockaddr*>(&address.name);
  if (!listener || ::fchmod(listener.get(), 0600) != 0 || ::bind(listener.get(), name, sizeof address.name) != 0 ||
      ::listen(listener.get(), 4) != 0) {
    return failed("socket of the keeper");
  }
  return listener;
}

/// The listener is its descriptor 3; everything else of ours is closed by the exec.
Result<pid_t> spawn(const std::string& program, const std::string& directory, int listener) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, listener, 3);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  std::array<std::string, 3> words{program, "--for", directory};
  std::array<char*, 4> argv{words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t pid = 0;
  const int refused = ::posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (refused != 0) return Error{Code::Io, fmt::format("cannot start '{}': {}", program, std::strerror(refused))};
  return pid;
}

Result<Fd> connect_to(const Address& address) {
  Fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  if (!socket) return failed("socket");
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kAnswerMax, sizeof kAnswerMax);
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerMax, sizeof kAnswerMax);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), sizeof address.name) != 0) {
    const bool absent = errno == ENOENT || errno == ECONNREFUSED;
    return absent ? Error{Code::NotFound, "nobody keeps the mounts of the process before"} : failed("socket of the keeper");
  }
  return socket;
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::start(const std::string& program, const std::string& directory) {
  SK_TRY(const Address address, address_of(directory));
  SK_TRY(const Fd listener, listen_at(address));
  SK_TRY(const pid_t child, spawn(program, directory, listener.get()));
  auto socket = connect_to(address);  // it waits in the queue of the listener
  if (!socket) {
    (void)::kill(child, SIGTERM);
    (void)::waitpid(child, nullptr, 0);
    return socket.error();
  }
  return std::unique_ptr<Keeper>{new Keeper{std::move(*socket), child}};
}

Result<std::unique_ptr<Keeper>> Keeper::find(const std::string& directory) {
  SK_TRY(const Address address, address_of(directory));
  SK_TRY(Fd socket, connect_to(address));
  return std::unique_ptr<Keeper>{new Keeper{std::move(socket), 0}};
}

Keeper::~Keeper() {
  if (child_ > 0) (void)::waitpid(child_, nullptr, WNOHANG);
}

/// It says nothing unasked.
bool Keeper::is_gone() const {
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

Status Keeper::keep(std::uint64_t key, int descriptor) {
  if (send_message(socket_.get(), {.what = What::Keep, .key = key}, descriptor)) return {};
  (void)::shutdown(socket_.get(), SHUT_RDWR);
  return Error{Code::Unavailable, "safekit-keeper is gone"};
}

Status Keeper::drop(std::uint64_t key) {
  if (send_message(socket_.get(), {.what = What::Drop, .key = key})) return {};
  (void)::shutdown(socket_.get(), SHUT_RDWR);
  return Error{Code::Unavailable, "safekit-keeper is gone"};
}

Result<std::map<std::uint64_t, Fd>> Keeper::fetch() {
  std::map<std::uint64_t, Fd> kept;
  if (!send_message(socket_.get(), {.what = What::Fetch})) return Error{Code::Unavailable, "safekit-keeper is gone"};
  for (;;) {
    auto got = receive_message(socket_.get());
    if (!got) return Error{Code::Unavailable, "safekit-keeper does not answer"};
    if (got->message.version != kVersion) return Error{Code::Unsupported, "safekit-keeper is of another release"};
    if (got->message.what == What::End) return kept;
    if (got->message.what != What::Kept || !got->descriptor) {
      return Error{Code::Conflict, "not all that is open could be kept: too many open files"};
    }
    kept[got->message.key] = std::move(got->descriptor);
  }
}

void Keeper::release() {
  if (send_message(socket_.get(), {.what = What::Release})) (void)receive_message(socket_.get());  // the end, when all is closed
  if (child_ > 0) {
    (void)::kill(child_, SIGKILL);  // it has let all go, or is stopped, or hangs
    (void)::waitpid(child_, nullptr, 0);
  }
  child_ = 0;
}

namespace {

/// What the keeper holds; a connection's messages are taken one by one.
class Kept {
 public:
  enum class Then { GoOn, Disconnect, End };
  Then take(int client, Received&& got) {
    switch (got.message.version == kVersion ? got.message.what : What::End) {
      case What::Keep:
        incomplete_ = incomplete_ || !got.descriptor;
        held_[got.message.key] = std::move(got.descriptor);
        return Then::GoOn;
      case What::Drop: held_.erase(got.message.key); return Then::GoOn;
      case What::Fetch: return give(client) ? Then::GoOn : Then::Disconnect;
      case What::Release: return Then::End;
      case What::Kept:
      case What::End:
      case What::Incomplete: return Then::Disconnect;
    }
    return Then::Disconnect;
  }

 private:
  bool give(int client) {
    for (const auto& [key, descriptor] : held_) {
      if (descriptor && !send_message(client, {.what = What::Kept, .key = key}, descriptor.get())) return false;
    }
    return send_message(client, {.what = incomplete_ ? What::Incomplete : What::End});
  }

  std::map<std::uint64_t, Fd> held_{};
  bool incomplete_{false};  ///< there was no room for a descriptor
};

}  // namespace

int serve_keeper(Fd listener, Duration wait_max) {
  Fd client;
  Kept kept;  // closed before the client hears of the end
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{listener.get(), POLLIN, 0}, pollfd{client.get(), POLLIN, 0}};
    const auto wait = client ? -1 : static_cast<int>(std::chrono::duration_cast<milliseconds>(wait_max).count());
    const int ready = ::poll(fds.data(), client ? 2 : 1, wait);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return ready == 0 ? 0 : 1;
    // First what the old client still said before its end.
    if (client && fds[1].revents != 0) {
      auto got = receive_message(client.get());
      const auto then = got ? kept.take(client.get(), std::move(*got)) : Kept::Then::Disconnect;
      if (then == Kept::Then::End) return 0;
      if (then == Kept::Then::Disconnect) client.reset();
      continue;
    }
    if ((fds[0].revents & POLLIN) != 0) {
      client.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      (void)::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &kAnswerMax, sizeof kAnswerMax);
    }
  }
}

}  // namespace safekit
