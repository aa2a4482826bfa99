#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace safekit {

/// Why a call did not do its work. A code exists only because some caller acts on it differently.
enum class Code {
  Invalid,      ///< the input breaks a rule; repeating the call cannot help
  NotFound,     ///< the named thing does not exist
  Conflict,     ///< another writer was first, or the thing is in the wrong state
  Denied,       ///< the caller may not do this
  Unavailable,  ///< a peer, daemon or device is away; trying again later may help
  Timeout,      ///< no answer within the allowed time
  Corrupt,      ///< a checksum or a format does not hold
  Io,           ///< the operating system refused; `what` has its text
  Fenced,       ///< this node has lost the right to write
  Exhausted,    ///< a bound was reached
  Unsupported,  ///< this kernel, version or peer cannot do it
};

[[nodiscard]] constexpr std::string_view to_string(Code code) {
  switch (code) {
    case Code::Invalid: return "Invalid";
    case Code::NotFound: return "NotFound";
    case Code::Conflict: return "Conflict";
    case Code::Denied: return "Denied";
    case Code::Unavailable: return "Unavailable";
    case Code::Timeout: return "Timeout";
    case Code::Corrupt: return "Corrupt";
    case Code::Io: return "Io";
    case Code::Fenced: return "Fenced";
    case Code::Exhausted: return "Exhausted";
    case Code::Unsupported: return "Unsupported";
  }
  return "Unknown";
}

/// `what`: lower case, values in single quotes, says what is wrong and, for a person, what to do. A value.
struct [[nodiscard]] Error {
  Code code{Code::Io};
  std::string what{};
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result() = default;
  Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {}
};

using Status = Result<void>;

namespace detail {
[[noreturn]] inline void assert_failed(const char* file, int line, const char* claim) {
  std::fprintf(stderr, "assertion failed: %s:%d: %s\n", file, line, claim);
  std::abort();
}
}  // namespace detail

}  // namespace safekit

/// For our own mistakes only: no peer, disk or user can trip it. Always compiled in.
#define SK_ASSERT(claim) \
  ((claim) ? (void)0 : ::safekit::detail::assert_failed(__FILE__, __LINE__, #claim))

#define SK_CONCAT_(a, b) a##b
#define SK_CONCAT(a, b) SK_CONCAT_(a, b)

/// `SK_TRY(const auto lease, renew(witness));` takes the value or returns the error to the caller.
#define SK_TRY(declaration, expression) SK_TRY_(declaration, (expression), SK_CONCAT(sk_result_, __LINE__))
#define SK_TRY_(declaration, expression, name)    \
  auto name = expression;                         \
  if (!name) return std::move(name).error();      \
  declaration = std::move(*name)

/// The same for calls without a value.
#define SK_TRY_VOID(expression)                                       \
  do {                                                                \
    if (auto sk_status = (expression); !sk_status) return std::move(sk_status).error(); \
  } while (false)
