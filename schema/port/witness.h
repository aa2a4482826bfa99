#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// Where a witness that grants leases is.
struct WitnessPlace {
  enum class Kind {
    Http,  ///< safekit-witness, by its URLs
    Node,  ///< the safekitd of another node of the cluster, by the node's name
    Etcd,  ///< a cluster of etcd, by the URLs of its members
    Fence,  ///< none: a program with its arguments, which switches the other node off
  };
  Kind kind{Kind::Http};
  std::vector<std::string> addresses{};
  std::string other_node{};  ///< Fence
  friend bool operator==(const WitnessPlace&, const WitnessPlace&) = default;
};

/// `http`, `node`, `etcd`, `fence`: the words of `exec`. Nothing for `ping`, which grants nothing.
[[nodiscard]] inline std::optional<WitnessPlace::Kind> witness_kind(std::string_view word) {
  if (word == "http") return WitnessPlace::Kind::Http;
  if (word == "node") return WitnessPlace::Kind::Node;
  if (word == "etcd") return WitnessPlace::Kind::Etcd;
  if (word == "fence") return WitnessPlace::Kind::Fence;
  return std::nullopt;
}

/// A lease that is asked for, renewed or given back. One name is held by one holder at a time. A lease that has run out without having
/// been given back is no right any more, and keeps others away all the same: its holder may have gone on alone meanwhile.
struct LeaseAsk {
  WitnessPlace place{};
  std::string name{};
  std::string holder{};
  std::string id{};  ///< of the lease that is held; empty: none is
  Duration length{};
  bool succeeds{false};   ///< also in the place of another holder whose lease has run out
  bool only_mine{false};  ///< nothing is granted but what this holder has, or had and has not given back
  bool serves{false};     ///< Fence: the program is told, for of two that switch each other off the primary should be the first
  friend bool operator==(const LeaseAsk&, const LeaseAsk&) = default;
};

struct LeaseReply {
  bool granted{false};
  std::string holder{};  ///< who has it, or had it last, when it is not granted; empty: nobody, and it is not given out yet
  std::string id{};      ///< of the grant. A release that comes late names an id that is held no more, and does nothing
  /// How long it holds, by the witness's clock and from a moment after the call: the witness may grant another length than asked.
  Duration length{};
  std::string detail{};  ///< for people
  friend bool operator==(const LeaseReply&, const LeaseReply&) = default;
};

/// Asks witnesses. Thread: the loop's; each task runs once, on the loop, within about `limit`.
/// Errors: Unavailable and Timeout when it is not reached, Denied when it does not know this node's key or shows another one, Corrupt
/// for an answer that is none, Exhausted when too many questions are under way, Invalid for a place that is none.
class Witness {
 public:
  virtual ~Witness() = default;
  virtual void acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) = 0;
  virtual void release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) = 0;
  /// Whether it would answer: nothing is granted.
  virtual void probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) = 0;
};

}  // namespace safekit
