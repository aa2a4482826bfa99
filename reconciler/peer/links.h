#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/peer/exchange.h"
#include "reconciler/peer/transport.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"
#include "schema/port/loop.h"

namespace safekit::peer {

struct PeerState {
  NodeName node{};
  bool reachable{false};    ///< the last exchange went through
  std::string problem{};    ///< why not
  WallTime last_contact{};  ///< zero: never since this daemon started
  friend bool operator==(const PeerState&, const PeerState&) = default;
};

/// This node's links to all other nodes of the cluster: keeps desired state the same on the nodes it names, and carries
/// requests of the API. Follows the cluster object of the store by itself. Conflicts go to Store::set_conflict, and each
/// change of a link or conflict to the watchers as Change::What::Peers.
/// Thread: the loop's. A service.
class Peers {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    Log& log;
  };
  /// `from` is the proved name of the peer; `reply` is called once, now or later.
  using Handler = std::function<void(const NodeName& from, const std::string& path, const std::string& body, ReplyTask reply)>;
  Peers(const Ports& ports, Transport& transport);
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;
  ~Peers();

  void start();
  /// Asks another node; `callback` runs once, on the loop. Not repeated: after Timeout the request may have been done.
  void forward(const NodeName& node, const std::string& path, std::string body, ReplyTask callback);
  /// Requests whose path begins with `prefix` go to this handler; the longest prefix wins. `/exchange/` is taken.
  void on_request(const std::string& prefix, Handler handler);
  [[nodiscard]] std::vector<PeerState> peers() const;
  [[nodiscard]] bool is_reachable(const NodeName& node) const;
  [[nodiscard]] std::vector<store::Conflict> conflicts() const { return ports_.store.conflicts(); }
  [[nodiscard]] std::vector<std::string> problems() const { return transport_.problems(); }

  static constexpr Duration kInterval = seconds{5};      ///< between exchanges without a reason
  static constexpr Duration kRetryFirst = milliseconds{500};
  static constexpr Duration kRetryLongest = seconds{15};
  static constexpr Duration kRequestLimit = seconds{10};

 private:
  struct Link {
    PeerState state{};
    bool is_busy{false};
    bool is_wanted{false};  ///< something changed while an exchange was under way
    std::uint32_t failures{0};
    TimerId timer{0};
  };
  struct Token {};

  void follow_cluster();
  void changed(const store::Change& change);
  void exchange_soon(const NodeName& node, Duration delay);
  void exchange(const NodeName& node);
  void summary_came(const NodeName& node, const Result<std::string>& reply);
  void parcel_came(const NodeName& node, const Result<std::string>& reply);
  void ended(const NodeName& node, const Status& status);
  void set_reachable(Link& link, const Status& status);
  void handle(const NodeName& from, const std::string& path, const std::string& body, const ReplyTask& reply);
  Result<std::string> answer_summary(const NodeName& from, const std::string& body);
  Result<std::string> answer_parcel(const NodeName& from, const std::string& body);
  [[nodiscard]] std::vector<Mine> mine_for(const NodeName& node) const;
  [[nodiscard]] std::vector<store::StoredObject> stored(const std::vector<store::ObjectKey>& keys) const;
  Status integrate(const NodeName& from, const std::vector<store::StoredObject>& objects);
  Status integrate_one(const NodeName& from, const store::StoredObject& theirs);
  [[nodiscard]] bool names(const store::Object& object, const NodeName& node) const;
  void conflict_found(const NodeName& from, const store::Object& ours, const store::StoredObject& theirs);

  struct Audience {
    std::string digest{};  ///< of the revision it was read from
    std::optional<std::vector<NodeName>> nodes{};
  };
  Ports ports_;
  Transport& transport_;
  std::map<NodeName, Link> links_{};
  std::map<std::string, Handler> handlers_{};
  mutable std::map<store::ObjectKey, Audience> audiences_{};
  std::uint64_t watch_{0};
  std::shared_ptr<Token> alive_{std::make_shared<Token>()};  ///< late replies ask whether there is still someone to hear
};

}  // namespace safekit::peer
