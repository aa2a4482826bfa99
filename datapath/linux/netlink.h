#pragma once

#include <functional>

#include "datapath/linux/fd.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::linux_os {

/// One netlink message in the making. A value.
class NetlinkRequest {
 public:
  NetlinkRequest(std::uint16_t type, std::uint16_t flags);
  template <class T>
  NetlinkRequest& fixed(const T& header) {  // kernel ABI structs, padded to four bytes like everything here
    put({reinterpret_cast<const std::uint8_t*>(&header), sizeof header});
    return *this;
  }
  NetlinkRequest& attribute(std::uint16_t type, BytesView value);
  /// An attribute whose value is those that `fill` appends.
  NetlinkRequest& nested(std::uint16_t type, const std::function<void(NetlinkRequest&)>& fill);
  [[nodiscard]] Bytes finish();

 private:
  void put(BytesView bytes);
  Bytes bytes_{};
};

/// One message of an answer, looked at while `each` of `talk_netlink` runs.
struct NetlinkMessage {
  std::uint16_t type{0};
  BytesView body{};
};

/// Calls `each` with (type, value) of the attributes in `bytes`; malformed rests are left out.
void each_attribute(BytesView bytes, const std::function<void(std::uint16_t, BytesView)>& each);

/// A bound socket of one netlink family. `groups`: classic multicast groups, 0 for none. Errors: Unsupported,
/// Io.
[[nodiscard]] Result<Fd> open_netlink(int family, std::uint32_t groups);

/// Sends one request to the kernel and calls `each` for every message of the answer. Returns 0, or the errno
/// that the kernel answered; EINTR for a dump that changed under way. Errors: Io for the socket itself.
[[nodiscard]] Result<int> talk_netlink(int family, NetlinkRequest request,
                                       const std::function<void(const NetlinkMessage&)>& each);

}  // namespace safekit::linux_os
