#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/peer/token.h"
#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/port/clock.h"
#include "schema/port/crypto.h"
#include "schema/port/files.h"
#include "schema/port/random.h"

namespace safekit::peer {

/// Who this node is, and what all nodes of its cluster share. A value; it holds secrets.
struct ClusterIdentity {
  NodeName node{};
  std::string cluster_name{};
  std::string cluster_id{};         ///< random, 16 hexadecimal digits
  std::string authority_pem{};      ///< certificate of the cluster authority
  std::string authority_key_pem{};  ///< on every node, so that any of them can let another in
  Identity own{};                   ///< this node's key and certificate
  std::string request_pem{};        ///< of `own`: signed again when it is renewed, so that the key stays
  SecretKey heartbeat_key{};        ///< from which the keys of heartbeats are derived
  std::string admin_token{};        ///< bearer token of the remote API, the same on every node
  WallTime issued{};                ///< when `own` was signed
};

/// What a new node sends, over TLS to a server that has proved to be of the token's cluster.
struct JoinRequest {
  std::array<std::uint8_t, 16> secret{};
  NodeName node{};
  std::string request_pem{};
};
[[nodiscard]] std::string to_body(const JoinRequest& request);
[[nodiscard]] Result<JoinRequest> parse_join_request(std::string_view body);

/// The files of <state directory>/pki: ca.pem, ca.key, node.pem, node.key, node.csr, node.issued, heartbeat.key, cluster.id (with
/// cluster and node name; written last: with it the node belongs to a cluster), admin.token, tokens. All mode 0600.
/// Thread: the loop's, or one of its own before the loop runs. A service.
class Pki {
 public:
  struct Ports {
    Files& files;
    Crypto& crypto;
    Random& random;
    const Clock& clock;
  };
  Pki(const Ports& ports, const std::string& state_directory);
  Pki(const Pki&) = delete;
  Pki& operator=(const Pki&) = delete;

  /// Errors: NotFound when this node belongs to no cluster yet, Corrupt when a file is missing or unreadable.
  [[nodiscard]] Result<ClusterIdentity> load() const;
  /// Makes a new cluster with this node in it. Errors: Conflict when the node belongs to one already, Invalid, Io.
  Result<ClusterIdentity> init(const std::string& cluster_name, const NodeName& node);

  /// On a node of the cluster: a token good for one join within kTokenLife; `addresses` are this node's own.
  Result<std::string> make_token(const std::vector<std::string>& addresses, std::uint16_t api_port);
  /// `extra` travels to the new node as it is (the cluster object). Errors: Denied for a secret that is unknown, used or
  /// too old; Invalid.
  Result<std::string> accept_join(const JoinRequest& request, const std::string& extra);

  struct Joining {
    JoinRequest request{};
    std::string key_pem{};  ///< of the request; it never leaves this node
  };
  /// On the new node. Errors: Conflict when it belongs to a cluster already.
  Result<Joining> prepare_join(const JoinToken& token, const NodeName& node);
  struct Joined {
    ClusterIdentity identity{};
    std::string extra{};
  };
  /// Stores what the cluster answered. Errors: Denied when its authority is not the one the token names.
  Result<Joined> complete_join(const JoinToken& token, const Joining& joining, std::string_view answer);

  /// Signs this node's certificate anew once a third of its life is over. Nothing: it was not due.
  Result<std::optional<ClusterIdentity>> renew_if_due();

  static constexpr Duration kTokenLife = hours{24};
  static constexpr std::size_t kTokensMax = 256;
  static constexpr int kAuthorityDays = 36'500;
  static constexpr int kNodeDays = 730;

 private:
  [[nodiscard]] std::string path(std::string_view file) const { return directory_ + "/" + std::string{file}; }
  [[nodiscard]] Status refuse_if_member() const;
  Status save(const ClusterIdentity& identity);
  Status save_certificate(const ClusterIdentity& identity);
  /// Takes the secret out of the list of open tokens; Denied when it is not in it.
  Status consume_secret(BytesView secret);
  [[nodiscard]] std::string secret_line(BytesView secret) const;

  Ports ports_;
  std::string directory_;
};

/// Names of nodes and clusters stand in certificates, host names and paths: letters, digits, `-`, `_`, `.`, at most 63.
[[nodiscard]] Status check_name(std::string_view what, std::string_view name);

}  // namespace safekit::peer
