#include <arpa/inet.h>

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

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

}  // namespace safekit
