#include <arpa/inet.h>

#include <algorithm>

#include <fmt/format.h>

#include "schema/port/interfaces.h"

namespace safekit {

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN]{};
  inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof text);
  return text;
}

Result<IpAddress> parse_ip(std::string_view text) {
  std::string bare{text};
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') bare = bare.substr(1, bare.size() - 2);
  IpAddress address{};
  if (inet_pton(AF_INET, bare.c_str(), address.bytes.data()) == 1) return address;
  address.v6 = true;
  if (inet_pton(AF_INET6, bare.c_str(), address.bytes.data()) == 1) return address;
  return Error{Code::Invalid, fmt::format("'{}' is not an IPv4 or IPv6 address", text)};
}

IpAddress network_of(const IpAddress& address, std::uint8_t prefix_length) {
  IpAddress network = address;
  for (std::size_t i = 0; i < network.bytes.size(); ++i) {
    const std::size_t begin = i * 8;
    const std::size_t kept = prefix_length > begin ? std::min<std::size_t>(prefix_length - begin, 8) : 0;
    network.bytes[i] = static_cast<std::uint8_t>(network.bytes[i] & (0xFF00U >> kept));
  }
  return network;
}

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

}  // namespace safekit
