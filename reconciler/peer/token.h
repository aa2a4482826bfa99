#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::peer {

/// What a new node needs to find a cluster and to be let in once. As text: `sk1.` and base64url (RFC 4648, no padding)
/// of: version, fingerprint, secret, port, addresses.
struct JoinToken {
  std::string authority_fingerprint{};         ///< SHA-256 of the cluster authority, 64 hexadecimal digits
  std::array<std::uint8_t, 16> secret{};       ///< good for one join, at the node that made the token
  std::uint16_t port{9453};                    ///< of the API there
  std::vector<std::string> addresses{};
  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

[[nodiscard]] std::string to_text(const JoinToken& token);
/// Errors: Invalid, with what to do.
[[nodiscard]] Result<JoinToken> parse_token(std::string_view text);

[[nodiscard]] std::string to_hex(BytesView bytes);
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace safekit::peer
