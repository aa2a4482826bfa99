#include "datapath/linux/process_events.h"

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "datapath/linux/files.h"
#include "datapath/linux/netlink.h"

namespace safekit::linux_os {
namespace {

// PROC_EVENT_*: newer headers name them at another place.
constexpr std::uint32_t kFork = 1;
constexpr std::uint32_t kExec = 2;
constexpr std::uint32_t kName = 0x200;
constexpr std::uint32_t kExit = 0x80000000;

// Where they stand in a datagram. Fork: pid and process of the parent, then of the child; the others: pid and process.
constexpr std::size_t kKindAt = sizeof(nlmsghdr) + sizeof(cn_msg);
constexpr std::size_t kDataAt = kKindAt + offsetof(proc_event, event_data);
constexpr std::size_t kChildAt = kDataAt + 8;
constexpr std::size_t kWord = 4;

constexpr std::size_t kDatagramMax = 512;
constexpr int kBufferBytes = 1024 * 1024;  // some thousand events, while the loop is busy
constexpr int kEventsAtOnce = 256;         // then others have their turn

std::optional<std::uint32_t> word_at(BytesView bytes, std::size_t at) {
  if (at + kWord > bytes.size()) return std::nullopt;
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + at, kWord);
  return word;
}

/// Threads, users, sessions and traces do not wake us: the kernel drops them. A filter loads in network order.
Status drop_the_rest(int socket) {
  const auto load = [](std::size_t at) { return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(at)}; };
  const auto if_kind = [](std::uint32_t kind, std::uint8_t skip) { return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, skip, 0, htonl(kind)}; };
  const auto if_same = [](std::uint8_t skip) {  // a process has the number of its first thread
    return sock_filter{BPF_JMP | BPF_JEQ | BPF_X, skip, static_cast<std::uint8_t>(skip + 1), 0};
  };
  const auto end = [](std::uint32_t bytes) { return sock_filter{BPF_RET | BPF_K, 0, 0, bytes}; };
  const sock_filter keep{BPF_MISC | BPF_TAX, 0, 0, 0};
  const std::array program{load(kKindAt),
                           if_kind(kExec, 12),  // take
                           if_kind(kFork, 3),   // the child's
                           if_kind(kName, 6),
                           if_kind(kExit, 5),
                           end(0),
                           load(kChildAt),
                           keep,
                           load(kChildAt + kWord),
                           if_same(4),
                           load(kDataAt),
                           keep,
                           load(kDataAt + kWord),
                           if_same(0),
                           end(kDatagramMax),
                           end(0)};
  const sock_fprog code{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &code, sizeof code) != 0) return error_of(errno, "filter process events");
  return {};
}

Status ask_for_events(int socket) {
  std::array<std::uint8_t, kKindAt + kWord> request{};
  const nlmsghdr header{.nlmsg_len = request.size(), .nlmsg_type = NLMSG_DONE, .nlmsg_flags = 0, .nlmsg_seq = 0, .nlmsg_pid = 0};
  const std::uint32_t id[] = {CN_IDX_PROC, CN_VAL_PROC};
  const std::uint16_t size = kWord;
  const std::uint32_t listen = PROC_CN_MCAST_LISTEN;
  std::memcpy(request.data(), &header, sizeof header);
  std::memcpy(request.data() + sizeof header, id, sizeof id);
  std::memcpy(request.data() + sizeof header + offsetof(cn_msg, len), &size, sizeof size);
  std::memcpy(request.data() + kKindAt, &listen, sizeof listen);
  if (::send(socket, request.data(), request.size(), 0) < 0) return error_of(errno, "ask for process events");
  return {};
}

}  // namespace

std::optional<ProcessEvent> process_event_of(BytesView datagram) {
  const auto kind = word_at(datagram, kKindAt);
  const std::size_t who = kind == kFork ? kChildAt : kDataAt;
  const auto pid = word_at(datagram, who);
  const auto process = word_at(datagram, who + kWord);
  if (!kind || !pid || !process || *pid != *process) return std::nullopt;
  ProcessEvent event{.pid = static_cast<std::int32_t>(*pid)};
  if (*kind == kFork) {
    event.kind = ProcessEvent::Kind::Forked;
    event.parent = static_cast<std::int32_t>(*word_at(datagram, kDataAt + kWord));
  } else if (*kind == kExit) {
    event.kind = ProcessEvent::Kind::Ended;
  } else if (*kind != kExec && *kind != kName) {
    return std::nullopt;
  }
  return event;
}

Status ProcessEvents::watch(Processes::EventTask task) {
  unwatch();
  SK_TRY(Fd socket, open_netlink(NETLINK_CONNECTOR, CN_IDX_PROC));
  SK_TRY_VOID(drop_the_rest(socket.get()));
  // With less buffer events are lost sooner, which is told.
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes);
  SK_TRY_VOID(ask_for_events(socket.get()));
  socket_ = std::move(socket);
  task_ = std::move(task);
  watcher_ = loop_.watch_readable(socket_.get(), [this] { hear(); });
  return {};
}

void ProcessEvents::unwatch() {
  if (watcher_ != 0) loop_.unwatch(watcher_);
  watcher_ = 0;
  socket_ = Fd{};
  task_ = nullptr;
}

void ProcessEvents::hear() {
  std::vector<ProcessEvent> events;
  std::array<std::uint8_t, kDatagramMax> datagram{};
  for (int left = kEventsAtOnce; left > 0; --left) {
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    const ssize_t got = ::recvfrom(socket_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &from_size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      events.push_back({.kind = ProcessEvent::Kind::Lost});
      continue;
    }
    if (got < 0) break;
    if (from.nl_pid != 0) continue;  // no kernel sent this
    if (const auto event = process_event_of(BytesView{datagram}.first(static_cast<std::size_t>(got)))) events.push_back(*event);
  }
  if (events.empty()) return;
  const auto run = task_;  // it may unwatch
  run(events);
}

}  // namespace safekit::linux_os
