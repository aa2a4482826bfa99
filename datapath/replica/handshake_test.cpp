#include "datapath/replica/handshake.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

const Settings kOurs{.cluster_id = "c", .module = "AM", .node = "a", .peer = "b", .zone_bytes = 65536, .root_count = 1};

/// What the peer says where all is well: it is secondary, this node primary.
wire::Hello hello() {
  return {.cluster_id = "c", .module = "AM", .node = "b", .primary = false, .zone_bytes = 65536, .root_count = 1};
}

std::optional<Code> refused(const wire::Hello& peer) {
  const Status checked = check_hello(kOurs, peer, true);
  return checked ? std::nullopt : std::optional{checked.error().code};
}

TEST(Handshake, ThePeerMustBeTheOneThatIsMeant) {
  EXPECT_TRUE(check_hello(kOurs, hello(), true));
  wire::Hello peer = hello();
  peer.cluster_id = "other";
  EXPECT_EQ(refused(peer), Code::Denied);
  peer = hello();
  peer.module = "other";
  EXPECT_EQ(refused(peer), Code::Denied);
  peer = hello();
  peer.node = "a";
  EXPECT_EQ(refused(peer), Code::Denied);
  peer = hello();
  peer.primary = true;
  EXPECT_EQ(refused(peer), Code::Conflict);
  peer = hello();
  peer.zone_bytes *= 2;
  EXPECT_EQ(refused(peer), Code::Conflict);
  peer = hello();
  peer.root_count = 2;
  EXPECT_EQ(refused(peer), Code::Conflict);
}

TEST(Handshake, TwoReleasesNeedAProtocolThatBothSpeak) {
  wire::Hello peer = hello();
  peer.protocol = wire::kProtocolVersion + 1;
  peer.oldest = wire::kProtocolVersion;
  EXPECT_TRUE(check_hello(kOurs, peer, true)) << "the next release speaks ours as well";
  peer.oldest = wire::kProtocolVersion + 1;
  EXPECT_EQ(refused(peer), Code::Unsupported);
  peer.protocol = peer.oldest = wire::kProtocolOldest - 1;
  const Status checked = check_hello(kOurs, peer, true);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().what.find("upgrade the older one"), std::string::npos) << checked.error().what;
}

}  // namespace
}  // namespace safekit::replica
