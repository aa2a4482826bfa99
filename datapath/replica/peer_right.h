#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "datapath/wire/message.h"
#include "schema/base/time.h"

namespace safekit::replica {

/// Until when a primary may acknowledge by what its peer has promised (docs/wire.md, "Promises"). The two clocks may show anything,
/// and one run faster than the other by 1/1000 of real time each; how long a frame travels is not known. A value.
class PeerRight {
 public:
  static constexpr std::uint64_t kUnansweredMax = 1024;

  /// A new connection: whoever answers there may be another boot of the machine, with another clock. What was promised stays so.
  void meet();
  /// The number of the question that is sent now, no earlier; none while too many are unanswered.
  std::optional<std::uint64_t> ask(MonoTime now);
  /// Errors: Corrupt for what cannot be.
  Status take(const wire::Promise& promise, MonoTime now);
  /// None was promised: the beginning of time.
  [[nodiscard]] MonoTime until() const { return until_; }

 private:
  /// `own` was no later in real time than `peers`.
  struct Anchor {
    MonoTime own{};
    std::int64_t peers{0};
  };
  [[nodiscard]] static MonoTime no_earlier_than(const Anchor& anchor, std::int64_t peers);

  std::array<MonoTime, kUnansweredMax> asked_at_{};  ///< by number, of the last ones
  std::uint64_t asked_{0};
  std::uint64_t answered_{0};
  std::optional<Anchor> anchor_{};  ///< of those on this connection the one that says the most
  MonoTime until_{};
};

}  // namespace safekit::replica
