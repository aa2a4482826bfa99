#pragma once

#include <map>
#include <string>
#include <string_view>

#include "schema/base/result.h"
#include "schema/base/time.h"

/// A witness that grants leases: who may be active without the other node, of two that cannot hear each other.
namespace safekit::witness {

struct Lease {
  std::string holder{};
  std::string id{};
  Duration length{};  ///< the longest that was granted under this id
  MonoTime until{};
  friend bool operator==(const Lease&, const Lease&) = default;
};

/// The leases of one witness. A value; pure.
/// A lease that has run out stays in the book until it is given back: nobody else gets it unless he says that he succeeds its holder.
/// Shape:  a lease counts from when the witness grants it, and its holder counts from before it asked. What is on disk is who has
///         which lease at which length, never until when: a witness that starts, also after a reboot, takes each for just granted.
///         So a renewal changes nothing on disk, and no clock is compared with that of an earlier start.
/// Errors: Exhausted at kLeasesMax. Names and lengths are judged where they come in (protocol.h).
class LeaseBook {
 public:
  static constexpr std::size_t kLeasesMax = 1024;
  /// Longer ones are granted at this length: so long a witness that has lost its file grants nothing.
  static constexpr Duration kLongest = seconds{60};

  struct Ask {
    std::string name{};
    std::string holder{};
    std::string id{};  ///< of the lease that the holder has
    Duration length{};
    bool succeeds{false};   ///< LeaseAsk::succeeds
    bool only_mine{false};  ///< LeaseAsk::only_mine
  };
  struct Answer {
    bool granted{false};
    std::string holder{};  ///< who has it, or had it last; empty: nobody, and it is too early or was not asked for
    bool has_ended{false};  ///< that one's lease, and he has not given it back
    std::string id{};
    Duration length{};
    bool must_be_kept{false};   ///< the book on disk is another now: not before it is written may the answer go out
    friend bool operator==(const Answer&, const Answer&) = default;
  };
  /// `fresh_id` becomes the id of a lease that is none of before: not given out ever before.
  Result<Answer> acquire(const Ask& ask, const std::string& fresh_id, MonoTime now);
  /// Nothing when the lease has another id by now: such a release was overtaken. Returns whether the book is another.
  bool release(std::string_view name, std::string_view id);
  /// Nothing is granted to anybody before: of a witness that does not know what it has granted.
  void grant_nothing_before(MonoTime moment) { closed_until_ = moment; }
  [[nodiscard]] std::size_t held(MonoTime now) const;

  [[nodiscard]] std::string to_text() const;
  /// Errors: Corrupt, Unsupported for another version.
  static Result<LeaseBook> from_text(std::string_view text, MonoTime now);
  friend bool operator==(const LeaseBook&, const LeaseBook&) = default;

 private:
  std::map<std::string, Lease, std::less<>> leases_{};
  MonoTime closed_until_{};
};

}  // namespace safekit::witness
