#pragma once

#include <linux/fuse.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "datapath/fuse/call.h"
#include "schema/base/bytes.h"

namespace safekit::fuse {

class Attempt;

/// Oldest kernel protocol we speak: 7.33 (Linux 5.11), the first with HANDLE_KILLPRIV_V2. 5.15, our oldest
/// kernel, has 7.34.
inline constexpr std::uint32_t kAbiMinorMin = 33;

/// Constants that Debian 12's <linux/fuse.h> (7.38) lacks, from the kernel's include/uapi/linux/fuse.h.
inline constexpr std::uint32_t kOpcodeStatx = 52;            // 7.39
inline constexpr std::uint64_t kInitHasResend = 1ULL << 39;  // 7.40
inline constexpr std::uint32_t kNotifyResend = 7;            // 7.40
inline constexpr std::uint64_t kUniqueResend = 1ULL << 63;   // 7.40; marks a request that is sent again

inline constexpr std::uint32_t kWriteBytesMax = 1 << 20;
inline constexpr std::uint16_t kPagesMax = kWriteBytesMax / 4096;
/// The largest request: a full WRITE with its headers, rounded up generously (the kernel demands at least 8
/// KiB).
inline constexpr std::size_t kRequestBytesMax = kWriteBytesMax + 64 * 1024;

/// The features we ask for, of those the kernel has. Locks are not among them, so the kernel keeps them
/// local; nor, unless asked for, the writeback cache, so every write reaches us; nor EXPORT_SUPPORT, which would need ids
/// that outlive a forget; nor ASYNC_DIO, with which the kernel sends no FSYNC behind an O_DSYNC write. Without
/// POSIX_ACL access lists would be kept, and not obeyed; without SETXATTR_EXT setting one would not take set-group-id from a
/// file whose owner is not in its group.
[[nodiscard]] constexpr std::uint64_t wanted_features(std::uint64_t offered, bool write_back) {
  return offered &
         (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_DO_READDIRPLUS |
          FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
          FUSE_CACHE_SYMLINKS | FUSE_POSIX_ACL | FUSE_SETXATTR_EXT | FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT |
          kInitHasResend | (write_back ? FUSE_WRITEBACK_CACHE : 0));
}

/// The answer to the kernel's INIT. Errors: EPROTO for a kernel that is too old or lacks HANDLE_KILLPRIV_V2.
[[nodiscard]] inline Call<fuse_init_out> negotiate(const fuse_init_in& in, bool write_back = false) {
  const bool extended = (in.flags & FUSE_INIT_EXT) != 0;
  const std::uint64_t offered = in.flags | (extended ? std::uint64_t{in.flags2} << 32 : 0);
  const std::uint64_t flags = wanted_features(offered, write_back);
  if (in.major != FUSE_KERNEL_VERSION || in.minor < kAbiMinorMin || (flags & FUSE_HANDLE_KILLPRIV_V2) == 0) {
    return Errno{EPROTO};
  }
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = in.minor < FUSE_KERNEL_MINOR_VERSION ? in.minor : std::uint32_t{FUSE_KERNEL_MINOR_VERSION};
  out.max_readahead = in.max_readahead;
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  out.max_background = 64;
  out.congestion_threshold = 48;
  out.max_write = kWriteBytesMax;
  out.time_gran = 1;
  out.max_pages = kPagesMax;
  return out;
}

/// One request as it was read from the device. Looks at the bytes, does not own them.
class Request {
 public:
  /// Errors: EPROTO when the bytes are no whole request.
  [[nodiscard]] static Call<Request> parse(BytesView bytes) {
    if (bytes.size() < sizeof(fuse_in_header)) return Errno{EPROTO};
    Request request;
    std::memcpy(&request.header_, bytes.data(), sizeof request.header_);
    if (request.header_.len != bytes.size()) return Errno{EPROTO};
    request.body_ = bytes.subspan(sizeof(fuse_in_header));
    return request;
  }

  [[nodiscard]] const fuse_in_header& header() const { return header_; }
  void carry(Attempt& attempt) { attempt_ = &attempt; }
  [[nodiscard]] Attempt& attempt() const { return *attempt_; }
  /// The fixed part of the body. Errors: EPROTO when it is cut short.
  template <class T>
  [[nodiscard]] Call<T> arguments() const {
    return arguments_at<T>(0);
  }
  template <class T>
  [[nodiscard]] Call<T> arguments_at(std::size_t offset) const {
    if (body_.size() < offset || body_.size() - offset < sizeof(T)) return Errno{EPROTO};
    T value;
    std::memcpy(&value, body_.data() + offset, sizeof value);
    return value;
  }
  /// The zero-terminated string at `offset` of the body. Errors: EPROTO when it has no end.
  [[nodiscard]] Call<std::string_view> name_at(std::size_t offset) const {
    if (offset >= body_.size()) return Errno{EPROTO};
    const BytesView rest = body_.subspan(offset);
    const void* end = std::memchr(rest.data(), 0, rest.size());
    if (end == nullptr) return Errno{EPROTO};
    return as_text(rest.first(static_cast<std::size_t>(static_cast<const std::uint8_t*>(end) - rest.data())));
  }
  /// `size` bytes at `offset` of the body. Errors: EPROTO.
  [[nodiscard]] Call<BytesView> bytes_at(std::size_t offset, std::size_t size) const {
    if (offset > body_.size() || body_.size() - offset < size) return Errno{EPROTO};
    return body_.subspan(offset, size);
  }

 private:
  fuse_in_header header_{};
  BytesView body_{};
  Attempt* attempt_{nullptr};
};

}  // namespace safekit::fuse
