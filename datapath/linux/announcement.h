#pragma once

#include <optional>

#include "schema/base/bytes.h"
#include "schema/port/interfaces.h"

namespace safekit::linux_os {

/// A frame without its Ethernet header: the kernel makes that one.
struct Frame {
  std::uint16_t protocol{0};  ///< EtherType
  MacAddress destination{};
  Bytes payload{};
};

/// Says who has the address now: ARP announcement (RFC 5227 2.3) or unsolicited neighbour advertisement (RFC
/// 4861 7.2.6).
[[nodiscard]] Frame announcement_of(const IpAddress& address, const MacAddress& mac);
/// Asks who has the address without claiming it: ARP probe (RFC 5227 2.1.1) or neighbour solicitation as in
/// duplicate address detection (RFC 4862 5.4.2).
[[nodiscard]] Frame question_about(const IpAddress& address, const MacAddress& mac);
/// Whether a received ARP packet or IPv6 packet, without Ethernet header, shows that another machine has the
/// address. One that only asks, as we do, is no owner: both nodes of a module ask at their start, and RFC 5227's rule
/// about simultaneous probes would keep both from it. Total: bytes of any kind. `sender` is the Ethernet source, `mac` our own.
[[nodiscard]] bool shows_other_owner(const IpAddress& address, const MacAddress& mac,
                                     const MacAddress& sender, BytesView packet);

}  // namespace safekit::linux_os
