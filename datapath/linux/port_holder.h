#pragma once

#include <cstdint>
#include <string>

namespace safekit::linux_os {

enum class Transport { Tcp, Udp };

/// Who has a local port bound, as `name (pid 123)`; empty: nobody is found, or who asks may not see it. It reads all of
/// /proc: for a message, not for a loop. Source: proc(5).
[[nodiscard]] std::string port_holder(Transport transport, std::uint16_t port);

}  // namespace safekit::linux_os
