#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/peer/token.h"
#include "reconciler/peer/transport.h"
#include "schema/port/crypto.h"
#include "schema/port/loop.h"

namespace safekit::peer {

/// Requests between nodes over HTTP and mutual TLS 1.3: one listener per own address, one worker thread per peer, which
/// tries the peer's addresses in turn, the one that answered last first. A request is repeated on another address only
/// when it was certainly not sent. A service. Thread: the loop's; the HTTP library is seen only in http_link.cpp.
class HttpLink final : public Transport {
 public:
  explicit HttpLink(Loop& loop);
  HttpLink(const HttpLink&) = delete;
  HttpLink& operator=(const HttpLink&) = delete;
  /// Ends all requests under way; their tasks do not run any more.
  ~HttpLink() override;

  /// Before set_members, and again after a renewal. Errors: Invalid for what cannot be read.
  Status set_identity(const std::string& authority_pem, const Identity& own);
  void set_members(const Member& self, const std::vector<Member>& peers) override;
  void request(const NodeName& peer, const std::string& path, std::string body, Duration limit, ReplyTask reply) override;
  void on_request(Handler handler) override;
  [[nodiscard]] std::vector<std::string> problems() const override;

  static constexpr std::size_t kWaitingMax = 64;             ///< requests to one peer
  static constexpr std::size_t kBodyBytesMax = 32U << 20;
  static constexpr std::size_t kThreadsPerListener = 4;
  static constexpr Duration kConnectLimit = seconds{2};      ///< per address
  static constexpr Duration kAnswerLimit = seconds{15};      ///< for the loop's answer to a peer
  static constexpr Duration kListenRetry = seconds{1};

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The joining node's side of `join`: asks the nodes of the token in turn, over TLS, for the cluster's authority, checks
/// its fingerprint, and only then sends the request, to a node that proves to be of that authority. Gives the answer for
/// Pki::complete_join. Blocks for up to some seconds per address. Thread: any but the loop's.
[[nodiscard]] Result<std::string> ask_to_join(const JoinToken& token, std::string_view request_body, Crypto& crypto);

/// Routes of the API server for the above: GET gives the authority's certificate (PEM) to anyone; POST takes the request
/// and gives what Pki::accept_join gives, or an error with its text as body.
inline constexpr const char* kAuthorityRoute = "/apis/safekit/v1/cluster/authority";
inline constexpr const char* kJoinRoute = "/apis/safekit/v1/cluster/admit";

}  // namespace safekit::peer
