#pragma once

#include <optional>
#include <vector>

#include "schema/base/time.h"

/// When each link was heard, and when its silence has lasted too long. Pure.
namespace safekit::heartbeat {

/// Init: neither heard nor silent for the whole time-out yet.
enum class Health { Init, Up, Down };

/// One link: one peer on one network. Silence counts from the later of `heard` and `listening_since`, which
/// moves forward by the time in which this node itself did not run: its own absence is no loss of the peer.
struct LinkTimes {
  std::optional<MonoTime> heard{};
  MonoTime listening_since{};
  Duration timeout{};  ///< 0: nobody wants a verdict from here, the link is never Down
  Health health{Health::Init};
  friend bool operator==(const LinkTimes&, const LinkTimes&) = default;
};

/// All links of this node, by the index that the caller gives them. A value.
class Table {
 public:
  explicit Table(std::vector<LinkTimes> links = {}) : links_(std::move(links)) {}
  /// True when the link was not Up, or had been silent for longer than `silence`.
  bool heard(std::size_t link, Duration silence, MonoTime now);
  /// This node was late by so much: all time-outs are that much further away, but none starts in the future.
  void postpone(Duration late, MonoTime now);
  /// When `advance` has something to do, at the earliest.
  [[nodiscard]] std::optional<MonoTime> next_deadline() const;
  /// The links that went Down just now.
  [[nodiscard]] std::vector<std::size_t> advance(MonoTime now);
  [[nodiscard]] const std::vector<LinkTimes>& links() const { return links_; }
  friend bool operator==(const Table&, const Table&) = default;

 private:
  std::vector<LinkTimes> links_;
};

}  // namespace safekit::heartbeat
