#include "reconciler/peer/join.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "datapath/linux/crypto.h"
#include "datapath/linux/loop.h"
#include "reconciler/peer/http_link.h"
#include "reconciler/peer/identity.h"
#include "reconciler/store/memory_backend.h"
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
  store::MemoryBackend disk{};
  store::Store store;
  Node(std::uint64_t seed, const std::string& name) : random(seed), store(disk, clock, NodeName{name}) {}
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
  JoinServer(Pki& pki, const store::Store& store, const ClusterIdentity& identity, const std::string& shown_authority)
      : certificate_(read_pem(identity.own.certificate_pem, PEM_read_bio_X509)),
        key_(read_pem(identity.own.key_pem, PEM_read_bio_PrivateKey)),
        server_(certificate_, key_) {
    server_.Get(kAuthorityRoute, [shown_authority](const httplib::Request&, httplib::Response& response) {
      response.set_content(shown_authority, "text/plain");
    });
    server_.Post(kJoinRoute, [this, &pki, &store](const httplib::Request& request, httplib::Response& response) {
      ++requests;
      const auto answer = answer_join(pki, store, request.body);
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
  Result<Pki::Joined> join(const std::string& token, const std::string& name) {
    linux_os::AsioLoop loop;
    Joiner joiner{two.pki, loop, two.crypto};
    Result<Pki::Joined> result = Error{};
    joiner.join(token, NodeName{name}, [&](Result<Pki::Joined> joined) {
      result = std::move(joined);
      loop.stop();
    });
    loop.run();
    return result;
  }
  Node one{1, "node1"};
  Node two{2, "node2"};
  Node stranger{3, "node1"};
};

TEST_F(JoinTest, ANewNodeJoinsOverTheNetwork) {
  const ClusterIdentity identity = one.pki.init("demo", NodeName{"node1"}).value();
  JoinServer server{one.pki, one.store, identity, identity.authority_pem};
  (void)one.store.apply(store::kClusterKey,
                        R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"demo"},"spec":{"lans":[)"
                        R"({"name":"default","nodes":{"node1":"10.0.0.11","node2":"10.0.0.12"}}]}})",
                        {});
  // Nobody listens at the first address; the next one is asked.
  const std::string token = one.pki.make_token({"127.0.0.99", "127.0.0.1"}, server.port).value();
  EXPECT_THAT(join(token, "node7").error().what, HasSubstr("names no node 'node7'"));
  const auto joined = join(token, "node2");
  ASSERT_TRUE(joined.has_value()) << joined.error().what;
  EXPECT_EQ(joined->identity.cluster_id, identity.cluster_id);
  EXPECT_TRUE(adopt_cluster(two.store, joined->extra));
  EXPECT_EQ(two.store.get(store::kClusterKey)->digest, one.store.get(store::kClusterKey)->digest);

  EXPECT_EQ(join(token, "node2").error().code, Code::Conflict);
  two.files.entries.clear();
  EXPECT_THAT(join(token, "node2").error().what, HasSubstr("was used already"));
}

TEST_F(JoinTest, TheSecretIsNotSentToAnotherCluster) {
  const ClusterIdentity ours = one.pki.init("demo", NodeName{"node1"}).value();
  const ClusterIdentity theirs = stranger.pki.init("evil", NodeName{"node1"}).value();
  // One that says who it is, and one that shows our authority without having a certificate of it.
  for (const std::string& shown : {theirs.authority_pem, ours.authority_pem}) {
    JoinServer server{stranger.pki, stranger.store, theirs, shown};
    const auto joined = join(one.pki.make_token({"127.0.0.1"}, server.port).value(), "node2");
    ASSERT_FALSE(joined.has_value());
    EXPECT_EQ(joined.error().code, Code::Denied);
    EXPECT_EQ(server.requests, 0);
  }
}

}  // namespace
}  // namespace safekit::peer
