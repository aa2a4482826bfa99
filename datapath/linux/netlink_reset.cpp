#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "datapath/linux/files.h"
#include "datapath/linux/netlink.h"
#include "datapath/linux/netlink_interfaces.h"

namespace safekit::linux_os {
namespace {

constexpr std::uint16_t kSockDestroy = 21;  // SOCK_DESTROY
// All states with a peer to tell; listeners stay for the next taker of the address.
constexpr std::uint32_t kStates = 0xfffU & ~(1U << TCP_LISTEN | 1U << TCP_TIME_WAIT | 1U << TCP_CLOSE | 1U);

bool is_local(const inet_diag_msg& socket, const IpAddress& address) {
  const auto* source = reinterpret_cast<const std::uint8_t*>(socket.id.idiag_src);
  if (address.v6)
    return socket.idiag_family == AF_INET6 && std::memcmp(source, address.bytes.data(), 16) == 0;
  if (socket.idiag_family == AF_INET) return std::memcmp(source, address.bytes.data(), 4) == 0;
  static constexpr std::uint8_t kMapped[12]{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // ::ffff:a.b.c.d
  return std::memcmp(source, kMapped, 12) == 0 && std::memcmp(source + 12, address.bytes.data(), 4) == 0;
}

Result<int> find_sockets(int family, const IpAddress& address, std::vector<inet_diag_msg>& found) {
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<std::uint8_t>(family);
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = kStates;
  return talk_netlink(
      NETLINK_SOCK_DIAG, NetlinkRequest{SOCK_DIAG_BY_FAMILY, NLM_F_DUMP}.fixed(request),
      [&](const NetlinkMessage& message) {
        if (message.type != SOCK_DIAG_BY_FAMILY || message.body.size() < sizeof(inet_diag_msg)) return;
        inet_diag_msg socket{};
        std::memcpy(&socket, message.body.data(), sizeof socket);
        if (is_local(socket, address)) found.push_back(socket);
      });
}

}  // namespace

Status NetlinkInterfaces::reset_connections(const IpAddress& address) {
  std::vector<inet_diag_msg> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    SK_TRY(const int error, find_sockets(family, address, sockets));
    if (error == ENOENT && family == AF_INET6) continue;  // a kernel without IPv6
    if (error == ENOENT) return Error{Code::Unsupported, "this kernel cannot list TCP connections"};
    if (error != 0 && error != EINTR) return error_of(error, "list TCP connections");
  }
  for (const inet_diag_msg& socket : sockets) {
    inet_diag_req_v2 request{};
    request.sdiag_family = socket.idiag_family;
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_states = ~0U;
    request.id = socket.id;
    SK_TRY(const int error,
           talk_netlink(NETLINK_SOCK_DIAG, NetlinkRequest{kSockDestroy, NLM_F_ACK}.fixed(request),
                        [](const NetlinkMessage&) {}));
    if (error == EOPNOTSUPP || error == EINVAL) {
      return Error{Code::Unsupported, "this kernel cannot reset TCP connections (CONFIG_INET_DIAG_DESTROY)"};
    }
    if (error != 0 && error != ENOENT)
      return error_of(error, "reset a TCP connection");  // ENOENT: closed meanwhile
  }
  return {};
}

}  // namespace safekit::linux_os
