#include "datapath/linux/echo_probe.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "schema/base/bytes.h"

namespace safekit::linux_os {
namespace {

/// Header and token: both families lay them out alike.
struct Packet {
  std::uint8_t type{0};
  std::uint8_t code{0};
  std::uint16_t checksum{0};
  std::uint16_t identifier{0};
  std::uint16_t sequence{0};
  std::uint64_t token{0};
};
static_assert(sizeof(Packet) == 16);

/// RFC 1071. For ICMPv6 the kernel fills it in.
std::uint16_t checksum_of(const Packet& packet) {
  std::array<std::uint16_t, sizeof(Packet) / 2> words{};
  std::memcpy(words.data(), &packet, sizeof packet);
  std::uint32_t sum = 0;
  for (const std::uint16_t word : words) sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// Of an IPv4 datagram, which a raw socket gives with its header.
std::size_t header_bytes(BytesView datagram) {
  return datagram.empty() ? 0 : std::size_t{datagram[0] & 0x0fU} * 4;
}

}  // namespace

SystemEchoProbe::~SystemEchoProbe() {
  *alive_ = false;
  for (const auto& [token, attempt] : attempts_) loop_.cancel(attempt.timer);
  for (const Door* door : {&v4_, &v6_}) {
    if (door->watcher != 0) loop_.unwatch(door->watcher);
  }
}

void SystemEchoProbe::echo(const std::string& host, Duration timeout, std::function<void(Status)> task) {
  std::uint64_t token = 0;
  while (token == 0 || attempts_.contains(token)) {
    SK_ASSERT(::getrandom(&token, sizeof token, 0) == sizeof token);
  }
  const TimerId timer = loop_.after(timeout, [this, token] {
    finish(token, Error{Code::Timeout, "no answer in time"});
  });
  attempts_.emplace(token, Attempt{host, std::move(task), timer});
  if (const auto address = numeric_address(host, 0)) return send(token, *address);
  resolver_.look_up(host, 0, [this, token](const Result<SocketAddress>& address) {
    if (address) {
      send(token, *address);
    } else {
      finish(token, address.error());
    }
  });
}

void SystemEchoProbe::send(std::uint64_t token, const SocketAddress& address) {
  const bool v6 = address.storage.ss_family == AF_INET6;
  Door& door = v6 ? v6_ : v4_;
  const auto sent = [&]() -> Status {
    SK_TRY_VOID(open(door, v6));
    Packet packet{.type = v6 ? std::uint8_t{ICMP6_ECHO_REQUEST} : std::uint8_t{ICMP_ECHO}, .token = token};
    packet.sequence = htons(++sequence_);
    if (!v6) packet.checksum = checksum_of(packet);
    SocketAddress to = address;
    if (::sendto(door.socket.get(), &packet, sizeof packet, MSG_NOSIGNAL,
                 reinterpret_cast<sockaddr*>(&to.storage), to.size) < 0) {
      return Error{Code::Unavailable, std::strerror(errno)};
    }
    return {};
  }();
  if (sent) return;
  // Told from the loop: the caller is not called back inside its call.
  loop_.post([this, token, sent, alive = alive_] {
    if (*alive) finish(token, sent);
  });
}

Status SystemEchoProbe::open(Door& door, bool v6) {
  if (door.socket) return {};
  Fd made{::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                   v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP})};
  if (!made) return Error{Code::Io, fmt::format("a raw socket: {}", std::strerror(errno))};
  // Nothing but replies; without the filter they are only found among more.
  if (v6) {
    icmp6_filter filter{};
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    (void)::setsockopt(made.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  } else {
    const icmp_filter filter{.data = ~(1U << ICMP_ECHOREPLY)};
    (void)::setsockopt(made.get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  }
  door.socket = std::move(made);
  door.watcher = loop_.watch_readable(door.socket.get(), [this, &door, v6] { read(door, v6); });
  return {};
}

void SystemEchoProbe::read(const Door& door, bool v6) {
  std::array<std::uint8_t, 2048> buffer{};
  const ssize_t got = ::recv(door.socket.get(), buffer.data(), buffer.size(), 0);
  if (got <= 0) return;
  const BytesView datagram = BytesView{buffer}.first(static_cast<std::size_t>(got));
  const std::size_t header = v6 ? 0 : header_bytes(datagram);
  Packet packet;
  if (datagram.size() < header + sizeof packet) return;
  std::memcpy(&packet, datagram.data() + header, sizeof packet);
  if (packet.type == (v6 ? std::uint8_t{ICMP6_ECHO_REPLY} : std::uint8_t{ICMP_ECHOREPLY}))
    finish(packet.token, Status{});
}

void SystemEchoProbe::finish(std::uint64_t token, Status status) {
  auto node = attempts_.extract(token);
  if (node.empty()) return;  // too late, or somebody else's
  loop_.cancel(node.mapped().timer);
  if (!status) status.error().what = fmt::format("{}: {}", node.mapped().host, status.error().what);
  node.mapped().task(std::move(status));
}

}  // namespace safekit::linux_os
