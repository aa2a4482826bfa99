#pragma once

#include <optional>
#include <variant>

#include "datapath/control/message.h"

namespace safekit::control {

/// What goes over the local socket: Configure, Want and Inspect to the replica, Report and Inspection from it.
using Message = std::variant<Configure, Want, Report, Inspect, Inspection>;

/// Layout: u32 bytes behind it, u8 type, body. Both ends are of one release, so there is no version.
inline constexpr std::size_t kMessageBytesMax = 1U << 20;
[[nodiscard]] Bytes encode(const Message& message);
/// Takes the first whole message out of `buffer`; nothing while it is incomplete. Errors: Corrupt.
Result<std::optional<Message>> take_message(Bytes& buffer);

}  // namespace safekit::control
