#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/time.h"
#include "schema/port/witness.h"
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// What a module's witness is asked, and what its answers are worth (spec/runtime.md 1.10, design.md 6, docs/leases.md). It is asked
/// only while the role wants that: when the module is, or is about to be, active without its peer.
/// With one that only answers, the first verdict stands for as long as it is wanted. With one that grants, the lease is renewed while
/// it is wanted, and asked for again where it was refused or the witness silent. It is given back when the pair is complete again, and
/// not before: until then the other node may have an older copy, and must not get the lease in the place of this one.
namespace safekit::lease {

/// Three echoes, or two questions and a lost segment sent again.
inline constexpr Duration kPatience = seconds{3};
/// Of a program that switches a node off, and is ended then.
inline constexpr Duration kFenceLimit = seconds{60};

/// Of the other node. One that was not heard since this node was booted may have gone on alone meanwhile, and have switched this one off.
enum class Hearing {
  Unsure,  ///< not heard since then, or not known yet to be silent
  Lost,    ///< heard since then, and silent now
  Now,
};

/// Of a mirror module; empty: none.
[[nodiscard]] std::string other_node(const spec::Module& module, const std::string& node);

struct Desired {
  status::LeaseSection::Witness witness{status::LeaseSection::Witness::None};
  status::LeaseNeed need{status::LeaseNeed::None};
  std::vector<std::string> echoes{};  ///< Reachable: one of them must answer
  LeaseAsk lease{};                   ///< Grants; without an id
  Duration patience{kPatience};       ///< so long nothing is said of a witness that does not answer
  Hearing hearing{Hearing::Now};
  friend bool operator==(const Desired&, const Desired&) = default;
};
[[nodiscard]] Desired desire(const spec::Module* module, const status::RoleSection& role, const std::string& node,
                             const std::string& cluster_id, Hearing hearing);

struct Memory {
  status::LeaseSection section{};
  LeaseAsk held{};              ///< what was granted last, with its id; without an id: nothing
  std::uint64_t asks{0};        ///< numbers given out
  std::uint64_t under_way{0};   ///< the number of one that has not been answered; 0: none
  MonoTime asked{};             ///< when it was
  LeaseAsk asked_for{};
  MonoTime first_asked{};       ///< in this Asked
  MonoTime next{};              ///< when to ask again
  std::string last_error{};
  LeaseAsk giving_back{};       ///< what it held, and is being told of
  std::string told{};           ///< the value of `splitbrain.uptodate` that the log speaks of
  friend bool operator==(const Memory&, const Memory&) = default;
};

/// Of an echo, a reply that is `granted` and no more.
struct Answer {
  std::uint64_t number{0};
  Result<LeaseReply> reply{};
};

struct Ask {
  std::uint64_t number{0};
  Duration limit{};
  friend bool operator==(const Ask&, const Ask&) = default;
};
struct Line {
  char level{'I'};
  std::string text{};
  friend bool operator==(const Line&, const Line&) = default;
};
struct Plan {
  Memory memory{};
  std::optional<Ask> ask{};           ///< Memory::asked_for, or the echoes
  std::optional<Ask> release{};  ///< Memory::giving_back
  std::vector<Line> lines{};
  std::optional<Duration> recheck_after{};
};

/// Of a question to a witness that grants, at most; a shorter lease leaves less. Of an echo, kEchoLimit.
inline constexpr Duration kAskLimit = seconds{2};
inline constexpr Duration kEchoLimit = seconds{1};
inline constexpr Duration kAskAgain = milliseconds{500};
/// Where it has been refused, or the witness found silent: a node may wait for days.
inline constexpr Duration kAskLater = seconds{1};
/// A witness that could not be told that a lease is given back: nobody waits for that.
inline constexpr Duration kGiveBackAgain = seconds{5};
/// A question of before may have come late, and have been granted.
inline constexpr Duration kLookAgain = minutes{1};
/// The clocks of this node and of a witness differ in rate by less than one part in this: crystals are within 200 ppm each, and a clock
/// that is being set is slewed by up to 500 ppm (adjtimex(2), which CLOCK_BOOTTIME follows) at either end. By so much less a lease is
/// believed.
inline constexpr std::int64_t kDriftParts = 500;

[[nodiscard]] Plan decide(const Desired& desired, const std::optional<Answer>& answer, Memory memory, MonoTime now);

/// Of `splitbrain.uptodate`. While it is asked for the first time, as when it is not asked, or a refusal changes nothing: `init`.
[[nodiscard]] std::string_view value_of(const status::LeaseSection& section, status::LeaseNeed need);

}  // namespace safekit::lease
