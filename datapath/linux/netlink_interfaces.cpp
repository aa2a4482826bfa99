#include "datapath/linux/netlink_interfaces.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "datapath/linux/files.h"
#include "datapath/linux/netlink.h"

namespace safekit::linux_os {
namespace {

constexpr int kDumpTries = 10;           // each is interrupted only by a change of that very moment
constexpr int kProbeQuestions = 3;       // RFC 5227 PROBE_NUM
constexpr unsigned kLowerUp = 1U << 16;  // IFF_LOWER_UP of <linux/if.h>, which <net/if.h> excludes
constexpr std::size_t kPacketBytesMax = 2048;

template <class T>
T read_struct(BytesView bytes) {
  T value{};
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

BytesView bytes_of(const IpAddress& address) {
  return BytesView{address.bytes}.first(address.v6 ? 16 : 4);
}

Interface read_link(BytesView body) {
  const auto header = read_struct<ifinfomsg>(body);
  Interface link{.index = header.ifi_index,
                 .up = (header.ifi_flags & IFF_UP) != 0,
                 .carrier = (header.ifi_flags & kLowerUp) != 0,
                 .loopback = (header.ifi_flags & IFF_LOOPBACK) != 0};
  each_attribute(body.subspan(sizeof header), [&](std::uint16_t type, BytesView value) {
    if (type == IFLA_IFNAME && !value.empty()) link.name = as_text(value.first(value.size() - 1));
    if (type == IFLA_ADDRESS && value.size() == link.mac.size()) std::ranges::copy(value, link.mac.begin());
  });
  return link;
}

void read_address(BytesView body, std::vector<Interface>& links) {
  const auto header = read_struct<ifaddrmsg>(body);
  const auto link = std::ranges::find(links, static_cast<int>(header.ifa_index), &Interface::index);
  if (link == links.end() || (header.ifa_family != AF_INET && header.ifa_family != AF_INET6)) return;
  InterfaceAddress address{.ip = {.v6 = header.ifa_family == AF_INET6},
                           .prefix_length = header.ifa_prefixlen};
  bool local = false;  // on point-to-point links IFA_ADDRESS is the other end
  each_attribute(body.subspan(sizeof header), [&](std::uint16_t type, BytesView value) {
    if (value.size() != (address.ip.v6 ? 16U : 4U)) return;
    if (type != IFA_LOCAL && (type != IFA_ADDRESS || local)) return;
    std::ranges::copy(value, address.ip.bytes.begin());
    local = type == IFA_LOCAL;
  });
  link->addresses.push_back(address);
}

Status dump(std::uint16_t type, std::uint16_t answer, std::size_t header_bytes,
            const std::function<void(BytesView)>& each) {
  const rtgenmsg all{.rtgen_family = AF_UNSPEC};
  SK_TRY(const int error, talk_netlink(NETLINK_ROUTE, NetlinkRequest{type, NLM_F_DUMP}.fixed(all),
                                       [&](const NetlinkMessage& message) {
                                         if (message.type == answer && message.body.size() >= header_bytes) {
                                           each(message.body);
                                         }
                                       }));
  if (error != 0)
    return Error{error == EINTR ? Code::Unavailable : Code::Io,
                 fmt::format("list interfaces: {}", ::strerrordesc_np(error))};
  return {};
}

Result<int> change_address(std::uint16_t type, std::uint16_t flags, int index,
                           const InterfaceAddress& address) {
  const ifaddrmsg header{.ifa_family = static_cast<std::uint8_t>(address.ip.v6 ? AF_INET6 : AF_INET),
                         .ifa_prefixlen = address.prefix_length,
                         .ifa_flags = 0,
                         .ifa_scope = RT_SCOPE_UNIVERSE,
                         .ifa_index = static_cast<std::uint32_t>(index)};
  NetlinkRequest request{type, static_cast<std::uint16_t>(NLM_F_ACK | flags)};
  request.fixed(header)
      .attribute(IFA_LOCAL, bytes_of(address.ip))
      .attribute(IFA_ADDRESS, bytes_of(address.ip));
  if (type == RTM_NEWADDR && address.ip.v6) {
    const std::uint32_t no_detection = IFA_F_NODAD;
    request.attribute(IFA_FLAGS, {reinterpret_cast<const std::uint8_t*>(&no_detection), sizeof no_detection});
  }
  if (type == RTM_NEWADDR && !address.ip.v6 && address.prefix_length < 31) {
    std::array<std::uint8_t, 4> broadcast{};
    for (unsigned bit = 0; bit < 32; ++bit) {
      const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
      const bool set = bit >= address.prefix_length || (address.ip.bytes[bit / 8] & mask) != 0;
      if (set) broadcast[bit / 8] |= mask;
    }
    request.attribute(IFA_BROADCAST, broadcast);
  }
  return talk_netlink(NETLINK_ROUTE, std::move(request), [](const NetlinkMessage&) {});
}

/// A packet socket on one interface that hears only what `probe` wants to see.
Result<Fd> open_packet_socket(int index, std::uint16_t protocol) {
  // Without protocol it hears nothing until filter and bind are in place.
  Fd socket{::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) return error_of(errno, "open a packet socket");
  if (protocol == ETH_P_IPV6) {  // next header ICMPv6, type neighbour solicitation or advertisement
    sock_filter program[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 6},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 58},
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 40},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 135},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 136},
        {BPF_RET | BPF_K, 0, 0, 0xffff},
        {BPF_RET | BPF_K, 0, 0, 0},
    };
    const sock_fprog filter{.len = std::size(program), .filter = program};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
      return error_of(errno, "filter a packet socket");
    }
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = index;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return error_of(errno, "bind a packet socket");
  }
  return socket;
}

Status send_frame(int socket, int index, const Frame& frame) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(frame.protocol);
  to.sll_ifindex = index;
  to.sll_halen = static_cast<unsigned char>(frame.destination.size());
  std::ranges::copy(frame.destination, to.sll_addr);
  if (::sendto(socket, frame.payload.data(), frame.payload.size(), 0, reinterpret_cast<const sockaddr*>(&to),
               sizeof to) < 0) {
    if (errno == ENOBUFS) return Error{Code::Unavailable, "send a frame: kept back by a packet filter or a full queue"};
    return error_of(errno, "send a frame");
  }
  return {};
}

}  // namespace

NetlinkInterfaces::~NetlinkInterfaces() {
  if (events_watcher_ != 0) loop_.unwatch(events_watcher_);
  for (const auto& [id, probe] : probes_) {
    loop_.unwatch(probe.watcher);
    loop_.cancel(probe.timer);
  }
}

Result<std::vector<Interface>> NetlinkInterfaces::list() {
  for (int left = kDumpTries;; --left) {
    std::vector<Interface> links;
    auto done = dump(RTM_GETLINK, RTM_NEWLINK, sizeof(ifinfomsg),
                     [&](BytesView body) { links.push_back(read_link(body)); });
    if (done)
      done = dump(RTM_GETADDR, RTM_NEWADDR, sizeof(ifaddrmsg),
                  [&](BytesView body) { read_address(body, links); });
    if (done) return links;
    if (done.error().code != Code::Unavailable || left == 1) return std::move(done).error();
  }
}

Status NetlinkInterfaces::add_address(int index, const InterfaceAddress& address) {
  SK_TRY(const int error, change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address));
  if (error == 0 || error == EEXIST) return {};
  if (error == ENODEV) return Error{Code::NotFound, fmt::format("no interface '{}'", index)};
  return error_of(error, fmt::format("add address '{}/{}'", to_string(address.ip), address.prefix_length));
}

Status NetlinkInterfaces::remove_address(int index, const InterfaceAddress& address) {
  SK_TRY(const int error, change_address(RTM_DELADDR, 0, index, address));
  if (error == 0 || error == EADDRNOTAVAIL || error == ENODEV) return {};
  return error_of(error, fmt::format("remove address '{}/{}'", to_string(address.ip), address.prefix_length));
}

Result<MacAddress> NetlinkInterfaces::mac_of(int index) {
  SK_TRY(const auto all, list());
  const auto found = std::ranges::find(all, index, &Interface::index);
  if (found == all.end()) return Error{Code::NotFound, fmt::format("no interface '{}'", index)};
  return found->mac;
}

Status NetlinkInterfaces::announce(int index, const IpAddress& address) {
  SK_TRY(const auto mac, mac_of(index));
  const Fd socket{::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) return error_of(errno, "open a packet socket");
  return send_frame(socket.get(), index, announcement_of(address, mac));
}

Status NetlinkInterfaces::probe(int index, const IpAddress& address, Duration wait,
                                std::function<void(std::optional<MacAddress>)> task) {
  SK_TRY(const auto mac, mac_of(index));
  Probe probe{.index = index,
              .address = address,
              .mac = mac,
              .question = question_about(address, mac),
              .questions_left = kProbeQuestions,
              .gap = wait / kProbeQuestions,
              .task = std::move(task)};
  SK_TRY(probe.socket, open_packet_socket(index, probe.question.protocol));
  SK_TRY_VOID(send_frame(probe.socket.get(), index, probe.question));
  --probe.questions_left;
  const std::uint64_t id = ++last_probe_;
  probe.watcher = loop_.watch_readable(probe.socket.get(), [this, id] { hear(id); });
  probe.timer = loop_.after(probe.gap, [this, id] { ask(id); });
  probes_.emplace(id, std::move(probe));
  return {};
}

void NetlinkInterfaces::ask(std::uint64_t id) {
  Probe& probe = probes_.at(id);
  if (probe.questions_left == 0) return end_probe(id, std::nullopt);
  --probe.questions_left;
  (void)send_frame(probe.socket.get(), probe.index,
                   probe.question);  // a link gone down: nobody answers, as said
  probe.timer = loop_.after(probe.gap, [this, id] { ask(id); });
}

void NetlinkInterfaces::hear(std::uint64_t id) {
  Probe& probe = probes_.at(id);
  std::array<std::uint8_t, kPacketBytesMax> packet{};
  sockaddr_ll from{};
  socklen_t from_size = sizeof from;
  const ssize_t got = ::recvfrom(probe.socket.get(), packet.data(), packet.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &from_size);
  if (got < 0 || from.sll_pkttype == PACKET_OUTGOING || from.sll_halen != probe.mac.size()) return;
  MacAddress sender{};
  std::copy_n(from.sll_addr, sender.size(), sender.begin());
  if (shows_other_owner(probe.address, probe.mac, sender,
                        BytesView{packet}.first(static_cast<std::size_t>(got)))) {
    end_probe(id, sender);
  }
}

void NetlinkInterfaces::end_probe(std::uint64_t id, std::optional<MacAddress> owner) {
  const auto found = probes_.find(id);
  loop_.unwatch(found->second.watcher);
  loop_.cancel(found->second.timer);
  const auto task = std::move(found->second.task);
  probes_.erase(found);
  task(owner);
}

void NetlinkInterfaces::on_change(std::function<void()> task) {
  on_changes_.push_back(std::move(task));
  if (events_watcher_ != 0) return;
  auto socket = open_netlink(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
  if (!socket) return;
  events_ = std::move(*socket);
  events_watcher_ = loop_.watch_readable(events_.get(), [this] {
    std::array<std::uint8_t, 16384> block{};
    // Only that something changed matters, so a burst is one call, and an overflow (ENOBUFS) is a change.
    while (::recv(events_.get(), block.data(), block.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
    }
    for (std::size_t i = 0; i < on_changes_.size(); ++i) {
      const auto run = on_changes_[i];  // it may call on_change itself
      run();
    }
  });
}

}  // namespace safekit::linux_os
