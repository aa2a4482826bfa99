#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "reconciler/api/routes.h"
#include "reconciler/peer/identity.h"
#include "reconciler/store/store.h"
#include "schema/port/crypto.h"
#include "schema/port/loop.h"

namespace safekit {

/// `safekit cluster init|token|join`: makes this node a member of a cluster, and lets others in. A service.
/// Thread: the loop's; asking another node blocks, so that runs on a thread of its own.
class ClusterTrust final : public api::ClusterActions {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    Crypto& crypto;
  };
  /// `activate` runs as soon as this node has an identity: at `init`, or at the end of `join`.
  ClusterTrust(const Ports& ports, peer::Pki& pki, std::function<Status(const peer::ClusterIdentity&)> activate);
  ~ClusterTrust() override;
  ClusterTrust(const ClusterTrust&) = delete;
  ClusterTrust& operator=(const ClusterTrust&) = delete;

  void init(const std::string& node, Done done) override;
  void token(Done done) override;
  void join(const std::string& token, const std::string& node, Done done) override;
  void admit(const std::string& body, std::function<void(Result<std::string>)> done) override;
  /// The authority's certificate, for a node that is about to join and compares it with its token.
  [[nodiscard]] Result<std::string> authority() const;

 private:
  [[nodiscard]] Status check_node(const std::string& node) const;
  [[nodiscard]] Result<doc::Node> finish_join(const peer::JoinToken& token, const peer::Pki::Joining& joining,
                                              const Result<std::string>& answer);

  Ports ports_;
  peer::Pki& pki_;
  std::function<Status(const peer::ClusterIdentity&)> activate_;
  std::optional<std::thread> joining_{};
  bool is_joining_{false};
};

}  // namespace safekit
