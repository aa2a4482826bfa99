#pragma once

#include <cstdint>
#include <string>

#include "schema/base/result.h"

/// The sockets that the API listens on, and who is at the other end of one. Whoever gets a descriptor closes
/// it.
namespace safekit::api {

/// Mode 0660, group `group` where there is one. A socket left by a dead safekitd is replaced.
/// Errors: Conflict when a living one answers on it, Invalid for a path that is too long, Io.
Result<int> listen_local(const std::string& path, const std::string& group);
/// `::` takes IPv4 too. Errors: Invalid for no address, Io (port taken).
Result<int> listen_tcp(const std::string& host, std::uint16_t port);
[[nodiscard]] std::uint16_t port_of(int fd);
[[nodiscard]] std::string user_of(
    int fd);  ///< of a Unix socket: the user's name, else `uid1234`; empty: unknown
[[nodiscard]] std::string address_of(int fd);  ///< of a TCP socket: the other end's address

}  // namespace safekit::api
