#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "datapath/linux/crypto.h"
#include "reconciler/peer/http_link.h"
#include "reconciler/peer/identity.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/seeded_random.h"

namespace safekit::peer {
namespace {

using testing::HasSubstr;

/// A node as far as its PKI goes.
struct Node {
  fake::MemoryFiles files{};
  fake::ManualClock clock{};
  fake::SeededRandom random;
  linux_os::OpensslCrypto crypto{};
  Pki pki{{files, crypto, random, clock}, "/state"};
  explicit Node(std::uint64_t seed) : random(seed) {}
};

template <class Read>
auto read_pem(const std::string& pem, Read function) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  auto* object = function(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return object;
}

/// The routes of the API server that a join needs, answered by `pki`, under the certificate of `identity`.
class JoinServer {
 public:
  JoinServer(Pki& pki, const ClusterIdentity& identity, const std::string& shown_authority)
      : certificate_(read_pem(identity.own.certificate_pem, PEM_read_bio_X509)),
        key_(read_pem(identity.own.key_pem, PEM_read_bio_PrivateKey)),
        server_(certificate_, key_) {
    server_.Get(kAuthorityRoute, [shown_authority](const httplib::Request&, httplib::Response& response) {
      response.set_content(shown_authority, "text/plain");
    });
    server_.Post(kJoinRoute, [this, &pki](const httplib::Request& request, httplib::Response& response) {
      ++requests;
      const auto join = parse_join_request(request.body);
      const auto answer = join ? pki.accept_join(*join, "the cluster") : Result<std::string>{join.error()};
      response.status = answer ? 200 : 403;
      response.set_content(answer ? *answer : answer.error().what, "text/plain");
    });
    port = static_cast<std::uint16_t>(server_.bind_to_any_port("127.0.0.1"));
    thread_ = std::jthread{[this] { server_.listen_after_bind(); }};
    while (!server_.is_running()) std::this_thread::yield();
  }
  JoinServer(const JoinServer&) = delete;
  JoinServer& operator=(const JoinServer&) = delete;
  ~JoinServer() {
    server_.stop();
    thread_.join();
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  std::uint16_t port{0};
  std::atomic<int> requests{0};

 private:
  X509* certificate_;
  EVP_PKEY* key_;
  httplib::SSLServer server_;
  std::jthread thread_{};
};

class JoinTest : public testing::Test {
 protected:
  Node one{1};
  Node two{2};
  Node stranger{3};
};

TEST_F(JoinTest, ANewNodeJoinsOverTheNetwork) {
  const ClusterIdentity identity = one.pki.init("demo", NodeName{"node1"}).value();
  JoinServer server{one.pki, identity, identity.authority_pem};
  // Nobody listens at the first address; the next one is asked.
  const JoinToken token = parse_token(one.pki.make_token({"127.0.0.99", "127.0.0.1"}, server.port).value()).value();
  const auto joining = two.pki.prepare_join(token, NodeName{"node2"}).value();
  const auto answer = ask_to_join(token, to_body(joining.request), two.crypto);
  ASSERT_TRUE(answer.has_value()) << answer.error().what;
  const auto joined = two.pki.complete_join(token, joining, *answer);
  ASSERT_TRUE(joined.has_value()) << joined.error().what;
  EXPECT_EQ(joined->identity.cluster_id, identity.cluster_id);
  EXPECT_EQ(joined->extra, "the cluster");

  const auto again = ask_to_join(token, to_body(joining.request), two.crypto);
  EXPECT_THAT(again.error().what, HasSubstr("was used already"));
}

TEST_F(JoinTest, TheSecretIsNotSentToAnotherCluster) {
  const ClusterIdentity ours = one.pki.init("demo", NodeName{"node1"}).value();
  const ClusterIdentity theirs = stranger.pki.init("evil", NodeName{"node1"}).value();
  // One that says who it is, and one that shows our authority without having a certificate of it.
  for (const std::string& shown : {theirs.authority_pem, ours.authority_pem}) {
    JoinServer server{stranger.pki, theirs, shown};
    const JoinToken token = parse_token(one.pki.make_token({"127.0.0.1"}, server.port).value()).value();
    const auto joining = two.pki.prepare_join(token, NodeName{"node2"}).value();
    const auto answer = ask_to_join(token, to_body(joining.request), two.crypto);
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, Code::Denied);
    EXPECT_EQ(server.requests, 0);
  }
}

}  // namespace
}  // namespace safekit::peer
