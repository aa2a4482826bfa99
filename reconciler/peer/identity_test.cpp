#include "reconciler/peer/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datapath/linux/crypto.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/seeded_random.h"

namespace safekit::peer {
namespace {

using testing::HasSubstr;

TEST(JoinToken, RoundTripsAndRefusesWhatIsNotWhole) {
  JoinToken token{.authority_fingerprint = std::string(64, 'a'), .port = 9453, .addresses = {"10.0.0.1", "[fe80::1]", "host.example"}};
  token.secret.fill(0xC3);
  const std::string text = to_text(token);
  EXPECT_TRUE(text.starts_with("sk1."));
  EXPECT_EQ(parse_token(text).value(), token);
  for (std::size_t size = 0; size < text.size() - 1; ++size) EXPECT_FALSE(parse_token(text.substr(0, size)).has_value()) << size;
  EXPECT_FALSE(parse_token(text + "AAAA").has_value());
  EXPECT_FALSE(parse_token("sk1.not a token").has_value());
}

class PkiTest : public testing::Test {
 protected:
  /// What a new node does with the text of a token, without the network between.
  Result<Pki::Joined> join(Pki& issuer, Pki& joiner, const std::string& text, const std::string& name) {
    SK_TRY(const JoinToken token, parse_token(text));
    SK_TRY(const auto joining, joiner.prepare_join(token, NodeName{name}));
    SK_TRY(const JoinRequest request, parse_join_request(to_body(joining.request)));
    SK_TRY(const std::string answer, issuer.accept_join(request, "cluster object"));
    return joiner.complete_join(token, joining, answer);
  }
  fake::ManualClock clock{};
  fake::SeededRandom random{7};
  linux_os::OpensslCrypto crypto{};
  fake::MemoryFiles files1{};
  fake::MemoryFiles files2{};
  Pki one{{files1, crypto, random, clock}, "/state"};
  Pki two{{files2, crypto, random, clock}, "/state"};
};

TEST_F(PkiTest, ANewClusterIsFoundAgain) {
  EXPECT_EQ(one.load().error().code, Code::NotFound);
  const auto made = one.init("demo", NodeName{"node1"});
  ASSERT_TRUE(made.has_value()) << made.error().what;
  const auto loaded = one.load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->node, NodeName{"node1"});
  EXPECT_EQ(loaded->cluster_id, made->cluster_id);
  EXPECT_EQ(loaded->heartbeat_key, made->heartbeat_key);
  EXPECT_EQ(loaded->own.certificate_pem, made->own.certificate_pem);
  EXPECT_EQ(loaded->admin_token.size(), 48U);
  for (const auto& [path, entry] : files1.entries) EXPECT_EQ(entry.mode, 0600U) << path;
  EXPECT_EQ(one.init("other", NodeName{"node1"}).error().code, Code::Conflict);
}

TEST_F(PkiTest, RefusesNamesThatCouldNotStandInACertificate) {
  for (const char* name : {"", "a b", "../x", "node,1", "a/b"}) {
    EXPECT_EQ(one.init("demo", NodeName{name}).error().code, Code::Invalid) << name;
  }
}

TEST_F(PkiTest, ANodeJoinsOnceWithAToken) {
  ASSERT_TRUE(one.init("demo", NodeName{"node1"}).has_value());
  const auto token = one.make_token({"10.0.0.11"}, 9453);
  ASSERT_TRUE(token.has_value());
  const auto joined = join(one, two, *token, "node2");
  ASSERT_TRUE(joined.has_value()) << joined.error().what;
  EXPECT_EQ(joined->extra, "cluster object");
  const auto mine = one.load();
  const auto theirs = two.load();
  ASSERT_TRUE(theirs.has_value());
  EXPECT_EQ(theirs->node, NodeName{"node2"});
  EXPECT_EQ(theirs->cluster_id, mine->cluster_id);
  EXPECT_EQ(theirs->heartbeat_key, mine->heartbeat_key);
  EXPECT_EQ(theirs->admin_token, mine->admin_token);
  EXPECT_NE(theirs->own.key_pem, mine->own.key_pem);

  fake::MemoryFiles files3;
  Pki three{{files3, crypto, random, clock}, "/state"};
  const auto again = join(one, three, *token, "node3");
  EXPECT_EQ(again.error().code, Code::Denied);
  EXPECT_FALSE(three.load().has_value());
  // Any node can let the next one in: the key of the authority is on each.
  EXPECT_TRUE(join(two, three, two.make_token({"10.0.0.12"}, 9453).value(), "node3").has_value());
}

TEST_F(PkiTest, AnOldTokenIsRefusedWithWhatToDo) {
  ASSERT_TRUE(one.init("demo", NodeName{"node1"}).has_value());
  const auto token = one.make_token({"10.0.0.11"}, 9453);
  clock.advance(hours{25});
  const auto joined = join(one, two, *token, "node2");
  ASSERT_FALSE(joined.has_value());
  EXPECT_THAT(joined.error().what, testing::AllOf(HasSubstr("older than 24 hours"), HasSubstr("safekit cluster token")));
}

TEST_F(PkiTest, AnAnswerOfAnotherClusterIsRefused) {
  ASSERT_TRUE(one.init("demo", NodeName{"node1"}).has_value());
  fake::MemoryFiles other_files;
  Pki other{{other_files, crypto, random, clock}, "/state"};
  ASSERT_TRUE(other.init("other", NodeName{"nodeX"}).has_value());
  const JoinToken token = parse_token(one.make_token({"10.0.0.11"}, 9453).value()).value();
  const JoinToken foreign = parse_token(other.make_token({"10.0.0.11"}, 9453).value()).value();
  auto joining = two.prepare_join(token, NodeName{"node2"}).value();
  joining.request.secret = foreign.secret;
  const auto answer = other.accept_join(joining.request, "");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(two.complete_join(token, joining, *answer).error().code, Code::Denied);
  EXPECT_EQ(two.load().error().code, Code::NotFound);
  for (std::size_t size = 0; size < answer->size(); size += 7) {
    EXPECT_FALSE(two.complete_join(token, joining, answer->substr(0, size)).has_value());
  }
}

TEST_F(PkiTest, RenewsItsCertificateLongBeforeItEndsAndKeepsItsKey) {
  const auto made = one.init("demo", NodeName{"node1"});
  ASSERT_TRUE(made.has_value());
  EXPECT_FALSE(one.renew_if_due()->has_value());
  clock.advance(hours{24} * 250);
  const auto renewed = one.renew_if_due();
  ASSERT_TRUE(renewed.has_value() && renewed->has_value());
  EXPECT_NE((*renewed)->own.certificate_pem, made->own.certificate_pem);
  EXPECT_EQ((*renewed)->own.key_pem, made->own.key_pem);
  EXPECT_EQ(one.load()->own.certificate_pem, (*renewed)->own.certificate_pem);
  EXPECT_FALSE(one.renew_if_due()->has_value());
}

}  // namespace
}  // namespace safekit::peer
