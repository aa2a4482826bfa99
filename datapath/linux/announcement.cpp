#include "datapath/linux/announcement.h"

#include <algorithm>

namespace safekit::linux_os {
namespace {

constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint16_t kIpv6 = 0x86dd;
constexpr std::size_t kArpBytes = 28;
constexpr std::size_t kIpv6HeaderBytes = 40;
constexpr std::size_t kNeighbourBytes = 24;  // type, code, checksum, flags, target
constexpr std::uint8_t kNextHeaderIcmp = 58;
constexpr std::uint8_t kSolicitation = 135;
constexpr std::uint8_t kAdvertisement = 136;
constexpr std::uint8_t kOverride = 0x20;
constexpr std::uint8_t kHopLimit = 255;  // anything less has come through a router and is not to be believed

using Address6 = std::array<std::uint8_t, 16>;

void append(Bytes& out, BytesView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Frame arp_request(BytesView sender_ip, const MacAddress& mac, BytesView target_ip) {
  Frame frame{.protocol = kArp};
  frame.destination.fill(0xff);
  append(frame.payload, Bytes{0, 1, 0x08, 0, 6, 4, 0, 1});  // Ethernet, IPv4, their address lengths, request
  append(frame.payload, mac);
  append(frame.payload, sender_ip);
  append(frame.payload, MacAddress{});
  append(frame.payload, target_ip);
  return frame;
}

/// RFC 4443 2.3: over a pseudo header and the message.
std::uint16_t icmp_checksum(const Address6& source, const Address6& destination, BytesView message) {
  std::uint32_t sum = static_cast<std::uint32_t>(message.size()) + kNextHeaderIcmp;
  const auto add = [&sum](BytesView bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
  };
  add(source);
  add(destination);
  add(message);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Frame icmp_frame(const Address6& source, const Address6& destination, Bytes message) {
  const std::uint16_t checksum = icmp_checksum(source, destination, message);
  message[2] = static_cast<std::uint8_t>(checksum >> 8);
  message[3] = static_cast<std::uint8_t>(checksum);
  // A multicast group's Ethernet address: 33:33 and the last four bytes (RFC 2464 7).
  Frame frame{
      .protocol = kIpv6,
      .destination = {0x33, 0x33, destination[12], destination[13], destination[14], destination[15]}};
  append(frame.payload,
         Bytes{0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(message.size()), kNextHeaderIcmp, kHopLimit});
  append(frame.payload, source);
  append(frame.payload, destination);
  append(frame.payload, message);
  return frame;
}

bool arp_shows(BytesView address, BytesView packet) {
  if (packet.size() < kArpBytes) return false;
  static constexpr std::array<std::uint8_t, 6> kEthernetIpv4{0, 1, 0x08, 0, 6, 4};
  if (!std::ranges::equal(packet.first(6), kEthernetIpv4)) return false;
  return std::ranges::equal(packet.subspan(14, 4), address);
}

bool neighbour_shows(BytesView address, BytesView packet) {
  if (packet.size() < kIpv6HeaderBytes + kNeighbourBytes) return false;
  if (packet[0] >> 4 != 6 || packet[6] != kNextHeaderIcmp || packet[7] != kHopLimit) return false;
  const BytesView message = packet.subspan(kIpv6HeaderBytes);
  if (!std::ranges::equal(message.subspan(8, 16), address)) return false;
  return message[0] == kAdvertisement;
}

}  // namespace

Frame announcement_of(const IpAddress& address, const MacAddress& mac) {
  const BytesView ip{address.bytes.data(), address.v6 ? 16U : 4U};
  if (!address.v6) return arp_request(ip, mac, ip);
  static constexpr Address6 kAllNodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  Bytes message{kAdvertisement, 0, 0, 0, kOverride, 0, 0, 0};
  append(message, ip);
  append(message, Bytes{2, 1});  // option: target link-layer address, one unit of 8 bytes
  append(message, mac);
  return icmp_frame(address.bytes, kAllNodes, std::move(message));
}

Frame question_about(const IpAddress& address, const MacAddress& mac) {
  const BytesView ip{address.bytes.data(), address.v6 ? 16U : 4U};
  if (!address.v6) return arp_request(std::array<std::uint8_t, 4>{}, mac, ip);
  Address6 group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  std::ranges::copy(ip.last(3), group.begin() + 13);
  Bytes message{kSolicitation, 0, 0, 0, 0, 0, 0, 0};
  append(message, ip);
  return icmp_frame(Address6{}, group, std::move(message));
}

bool shows_other_owner(const IpAddress& address, const MacAddress& mac, const MacAddress& sender,
                       BytesView packet) {
  if (sender == mac) return false;  // our own question, looped back by a switch
  if (address.v6) return neighbour_shows(address.bytes, packet);
  return arp_shows(BytesView{address.bytes}.first(4), packet);
}

}  // namespace safekit::linux_os
