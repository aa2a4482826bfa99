#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::replica {

/// What an operation changed, kept until the peer has it: enough to mark zones when the peer is lost.
struct Touch {
  enum What : std::uint8_t {
    kNothing = 0,
    kContent = 1,     ///< bytes [offset, offset + size) of `id`
    kAttributes = 2,  ///< of `id`
    kEntries = 4,     ///< of `parent`, and of `new_parent` where it is set
    kWhole = 8,       ///< `id` is new or has another name
    kForget = 16,     ///< `id` will not be named again
    kBothWhole = 32,  ///< an exchange: what is in both directories must be compared
  };
  std::uint8_t what{kNothing};
  InodeId id{};
  InodeId parent{};
  InodeId new_parent{};
  std::uint64_t offset{0};
  std::uint64_t size{0};
  friend bool operator==(const Touch&, const Touch&) = default;
};

/// The operations sent on one connection that the peer has not acknowledged. Sequence numbers are dense. A value.
/// Bounds: bytes and operations of the application; `is_full` tells when the next one must wait. What a resynchronisation sends is
/// counted by itself, so that neither can keep the other out.
class Window {
 public:
  enum class Source : std::uint8_t { Application, Resync };
  static constexpr std::uint64_t kBytesMax = 32U << 20;
  static constexpr std::uint64_t kBytesMaxInResync = 8U << 20;  ///< of the application, which would leave the rest a small share
  static constexpr std::size_t kOperationsMax = 1U << 16;

  /// Forgets everything; the next operation pushed has number `next`.
  void restart(SequenceNumber next);
  void push(const Touch& touch, std::uint32_t bytes, MonoTime now, Source source = Source::Application);
  /// The peer has all up to `sequence`: what that frees, oldest first. A number never given changes nothing and gives
  /// false (the peer is confused).
  bool acknowledge(SequenceNumber sequence, std::vector<Touch>& freed);

  [[nodiscard]] bool is_full(bool in_resync = false) const {
    return bytes_ >= (in_resync ? kBytesMaxInResync : kBytesMax) || entries_.size() >= kOperationsMax;
  }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t resync_bytes() const { return resync_bytes_; }
  /// When the oldest one was pushed. Not for an empty window.
  [[nodiscard]] MonoTime oldest() const { return entries_.front().at; }
  [[nodiscard]] std::vector<Touch> unacknowledged() const;

 private:
  struct Entry {
    Touch touch{};
    std::uint32_t bytes{0};
    Source source{};
    MonoTime at{};
  };
  std::deque<Entry> entries_{};
  std::uint64_t first_{1};  ///< number of entries_.front()
  std::uint64_t bytes_{0};
  std::uint64_t resync_bytes_{0};
};

}  // namespace safekit::replica
