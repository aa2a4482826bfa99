#pragma once

#include <optional>
#include <variant>

#include "datapath/control/message.h"

namespace safekit::control {

/// What goes over the local socket: Configure, Want, Lease and Inspect to the replica, Report and Inspection from it.
using Message = std::variant<Configure, Want, Report, Inspect, Inspection, Lease>;

/// Layout: u32 bytes behind it, u8 type, body. While a node is upgraded one end may be of the next release, so fields are only
/// appended: what is behind those that are known is ignored, as are unknown types; a later release takes its own fields only where the
/// message has them.
inline constexpr std::size_t kMessageBytesMax = 1U << 20;
[[nodiscard]] Bytes encode(const Message& message);
/// Takes the first whole message that is known out of `buffer`; nothing while it is incomplete. Errors: Corrupt.
Result<std::optional<Message>> take_message(Bytes& buffer);

}  // namespace safekit::control
