#pragma once

#include <string>
#include <string_view>

#include "reconciler/witness/lease_book.h"
#include "schema/base/result.h"
#include "schema/port/witness.h"

/// What is said to a witness of our own, by HTTP: JSON bodies, docs/wire.md (Witness). Parsers of hostile text; pure.
namespace safekit::witness {

inline constexpr std::string_view kAliveRoute = "/apis/safekit/v1/witness";            ///< GET
inline constexpr std::string_view kAcquireRoute = "/apis/safekit/v1/witness/acquire";  ///< POST
inline constexpr std::string_view kReleaseRoute = "/apis/safekit/v1/witness/release";  ///< POST

/// For people, of a lease that has run out.
[[nodiscard]] std::string not_given_back(const std::string& holder);

/// As api::Routes::add wants them.
[[nodiscard]] std::string pattern_of(std::string_view route);

inline constexpr std::size_t kNameBytesMax = 255;    ///< of a lease; letters, digits, `_ . - /`
inline constexpr std::size_t kHolderBytesMax = 63;   ///< the same without `/`
inline constexpr std::size_t kIdBytesMax = 32;
inline constexpr std::size_t kReplyBytesMax = 64U << 10;
inline constexpr Duration kShortest = seconds{1};

[[nodiscard]] std::string to_body(const LeaseAsk& ask);
/// Errors: Invalid for what is no such body, or out of bounds.
[[nodiscard]] Result<LeaseBook::Ask> parse_acquire(std::string_view body);
struct Release {
  std::string name{};
  std::string id{};
};
[[nodiscard]] Result<Release> parse_release(std::string_view body);

[[nodiscard]] std::string to_body(const LeaseBook::Answer& answer);
/// Errors: Corrupt.
[[nodiscard]] Result<LeaseReply> parse_reply(std::string_view body);

}  // namespace safekit::witness
