#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// An IPv4 or IPv6 address; IPv4 uses the first 4 bytes. A value.
struct IpAddress {
  bool v6{false};
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};
[[nodiscard]] std::string to_string(const IpAddress& address);
/// Takes `192.0.2.1`, `2001:db8::1` and `[2001:db8::1]`; no name look-up. Errors: Invalid.
[[nodiscard]] Result<IpAddress> parse_ip(std::string_view text);

/// The first address of the network that holds this one; a prefix longer than the address counts as all of it.
[[nodiscard]] IpAddress network_of(const IpAddress& address, std::uint8_t prefix_length);

using MacAddress = std::array<std::uint8_t, 6>;
[[nodiscard]] std::string to_string(const MacAddress& mac);

struct InterfaceAddress {
  IpAddress ip{};
  std::uint8_t prefix_length{0};
  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct Interface {
  int index{0};
  std::string name{};
  MacAddress mac{};
  bool up{false};       ///< administratively
  bool carrier{false};  ///< a link is there
  bool loopback{false};
  std::vector<InterfaceAddress> addresses{};
};

/// Network interfaces and their addresses (rtnetlink), and frames that announce an address (ARP, RFC 826 and 5227;
/// neighbour advertisement, RFC 4861). Thread: the loop's.
class Interfaces {
 public:
  virtual ~Interfaces() = default;
  virtual Result<std::vector<Interface>> list() = 0;
  /// Fine when the address is already there with that length.
  virtual Status add_address(int index, const InterfaceAddress& address) = 0;
  /// Fine when the address is not there.
  virtual Status remove_address(int index, const InterfaceAddress& address) = 0;
  /// One gratuitous ARP or unsolicited neighbour advertisement. Errors: Unavailable when it did not get out but may later: the
  /// address is guarded, or the queue is full.
  virtual Status announce(int index, const IpAddress& address) = 0;
  /// Asks the network who has the address; the task runs once with the answering machine, or nothing after `wait`.
  virtual Status probe(int index, const IpAddress& address, Duration wait,
                       std::function<void(std::optional<MacAddress>)> task) = 0;
  /// Resets every TCP connection whose local address is this one (SOCK_DESTROY). Errors: Unsupported by the kernel.
  virtual Status reset_connections(const IpAddress& address) = 0;
  /// The task runs after each change of a link or address, besides those given before.
  virtual void on_change(std::function<void()> task) = 0;
};

}  // namespace safekit
