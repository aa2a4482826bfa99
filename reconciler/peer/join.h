#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "reconciler/peer/identity.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit::peer {

/// What the API answers to POST kJoinRoute on a node of the cluster: lets the new node in and gives it the cluster
/// object along. Errors: Invalid when the cluster file does not name the node; as Pki::accept_join.
[[nodiscard]] Result<std::string> answer_join(Pki& pki, const store::Store& store, std::string_view body);

/// Stores the cluster object that came with the answer (Pki::Joined::extra), so that the new node knows its peers.
Status adopt_cluster(store::Store& store, const std::string& extra);

/// Joins this node to a cluster without blocking the loop. One join at a time. A service. Thread: the loop's.
class Joiner {
 public:
  Joiner(Pki& pki, Loop& loop, Crypto& crypto);
  Joiner(const Joiner&) = delete;
  Joiner& operator=(const Joiner&) = delete;
  /// Waits for a join under way (some seconds at most); its task does not run any more.
  ~Joiner();
  /// `task` runs once, on the loop. Errors: Conflict when this node is in a cluster or a join is under way; as
  /// parse_token, ask_to_join and Pki::complete_join.
  void join(const std::string& token_text, const NodeName& node, std::function<void(Result<Pki::Joined>)> task);

 private:
  struct Token {};
  Pki& pki_;
  Loop& loop_;
  Crypto& crypto_;
  std::shared_ptr<Token> alive_{std::make_shared<Token>()};
  bool is_busy_{false};
  std::jthread thread_{};
};

}  // namespace safekit::peer
