#pragma once

#include <cerrno>

#include <tl/expected.hpp>

namespace safekit::fuse {

/// The errno of a refused system call; the application gets it unchanged.
struct [[nodiscard]] Errno {
  int number{0};
  friend bool operator==(const Errno&, const Errno&) = default;
};

/// What a file-system call gives. `Result<T>` with an errno in place of a text, because the caller is the
/// kernel. SK_TRY works with it.
template <class T>
class [[nodiscard]] Call : public tl::expected<T, Errno> {
 public:
  using tl::expected<T, Errno>::expected;
  Call() = default;
  Call(Errno refused) : tl::expected<T, Errno>(tl::unexpect, refused) {}
};

[[nodiscard]] inline Errno last_errno() {
  return Errno{errno};
}

/// For system calls that give -1 on an error.
[[nodiscard]] inline Call<void> checked(int result) {
  if (result < 0) return last_errno();
  return {};
}

}  // namespace safekit::fuse
