#include "reconciler/witness/etcd.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "reconciler/witness/protocol.h"
#include "schema/doc/json.h"

namespace safekit::witness::etcd {
namespace {

/// What an etcd 3.4 does with the few requests that are made of it; keys and values stay in base64.
class FakeEtcd {
 public:
  struct Key {
    std::string value{};
    std::string lease{};
  };
  std::map<std::string, std::int64_t> leases{};  ///< id to TTL
  std::map<std::string, Key> keys{};
  std::int64_t least_ttl{2};
  std::vector<std::string> paths{};

  Call call() {
    return [this](const std::string& path, const std::string& body) -> Result<HttpReply> {
      paths.push_back(path);
      return answer(path, body);
    };
  }
  void expire(const std::string& id) {
    leases.erase(id);
    std::erase_if(keys, [&id](const auto& key) { return key.second.lease == id; });
  }

 private:
  static std::string text(const doc::Node& tree, std::string_view key) {
    const doc::Node* found = tree.find(key);
    return found == nullptr ? "" : found->text;
  }
  HttpReply answer(const std::string& path, const std::string& body) {
    doc::Problems problems;
    const doc::Node tree = doc::parse_json(body, problems).at(0);
    if (path == "/v3/lease/grant") {
      const std::string id = std::to_string(7587000000000000000 + ++last_);
      const std::int64_t ttl = std::max(least_ttl, std::int64_t{std::stoi(text(tree, "TTL"))});
      leases[id] = ttl;
      return {200, R"({"header":{"revision":"1"},"ID":")" + id + R"(","TTL":")" + std::to_string(ttl) + R"("})"};
    }
    const std::string id = text(tree, "ID");
    if (path == "/v3/lease/keepalive") {
      if (!leases.contains(id)) return {200, R"({"result":{"ID":")" + id + R"("}})"};
      return {200, R"({"result":{"ID":")" + id + R"(","TTL":")" + std::to_string(leases[id]) + R"("}})"};
    }
    if (path == "/v3/lease/revoke") {
      if (!leases.contains(id)) return {404, R"({"error":"etcdserver: requested lease not found","code":5})"};
      expire(id);
      return {200, "{}"};
    }
    if (path == "/v3/kv/range") return {200, R"({"count":"0"})"};
    return path == "/v3/kv/txn" ? transact(tree) : HttpReply{404, "404 page not found"};
  }
  std::string range_of(const doc::Node& request) const {
    const std::string name = text(*request.find("requestRange"), "key");
    const auto found = keys.find(name);
    const std::string kvs = found == keys.end() ? ""
                                                : R"("kvs":[{"key":")" + name + R"(","value":")" + found->second.value + R"(","lease":")" +
                                                      found->second.lease + R"("}],)";
    return R"({"response_range":{)" + kvs + R"("count":"1"}})";
  }
  HttpReply transact(const doc::Node& tree) {
    bool holds = true;
    for (const doc::Node& compare : tree.find("compare")->children) {
      const auto found = keys.find(text(compare, "key"));
      const std::string target = text(compare, "target");
      if (target == "CREATE") holds = holds && found == keys.end();
      if (target == "LEASE") holds = holds && found != keys.end() && found->second.lease == text(compare, "lease");
      if (target == "VALUE") holds = holds && found != keys.end() && found->second.value == text(compare, "value");
    }
    if (!holds) {
      std::string responses;
      for (const doc::Node& request : tree.find("failure")->children) responses += (responses.empty() ? "" : ",") + range_of(request);
      return {200, R"({"responses":[)" + responses + "]}"};
    }
    for (const doc::Node& request : tree.find("success")->children) {
      if (const doc::Node* gone = request.find("requestDeleteRange")) keys.erase(text(*gone, "key"));
      const doc::Node* put = request.find("requestPut");
      if (put == nullptr) continue;
      const std::string lease = text(*put, "lease");
      if (!lease.empty() && !leases.contains(lease)) return {404, R"({"error":"etcdserver: requested lease not found","code":5})"};
      keys[text(*put, "key")] = {.value = text(*put, "value"), .lease = lease};
    }
    return {200, R"({"succeeded":true,"responses":[]})"};
  }
  std::int64_t last_{0};
};

LeaseAsk ask_of(const std::string& holder, const std::string& id = {}) {
  return {.name = "safekit/c/m", .holder = holder, .id = id, .length = milliseconds{9500}};
}

class EtcdTest : public testing::Test {
 protected:
  FakeEtcd etcd{};
  Call call{etcd.call()};
};

TEST_F(EtcdTest, OneHolderAtATime) {
  const auto a = acquire(call, ask_of("a"));
  ASSERT_TRUE(a.has_value()) << a.error().what;
  EXPECT_TRUE(a->granted);
  EXPECT_EQ(a->length, seconds{10});
  EXPECT_EQ(etcd.keys.begin()->first, "c2FmZWtpdC9jL20=");
  const auto b = acquire(call, ask_of("b"));
  ASSERT_TRUE(b.has_value()) << b.error().what;
  EXPECT_EQ(*b, (LeaseReply{.holder = "a", .detail = "'a' holds the lease"}));
  EXPECT_EQ(etcd.leases.size(), 1U);  // that of b was given back
  const auto again = acquire(call, ask_of("a", a->id));
  ASSERT_TRUE(again.has_value()) << again.error().what;
  EXPECT_TRUE(again->granted);
  EXPECT_EQ(again->id, a->id);
  etcd.expire(a->id);
  const auto kept_away = acquire(call, ask_of("b"));
  EXPECT_EQ(*kept_away, (LeaseReply{.holder = "a", .detail = not_given_back("a")}));
  LeaseAsk by_hand = ask_of("b");
  by_hand.succeeds = true;
  EXPECT_TRUE(acquire(call, by_hand)->granted);
  const auto late = acquire(call, ask_of("a", a->id));
  ASSERT_TRUE(late.has_value()) << late.error().what;
  EXPECT_EQ(late->holder, "b");
}

TEST_F(EtcdTest, WhatHasRunOutIsGivenBackByWhoHadIt) {
  etcd.expire(acquire(call, ask_of("a"))->id);
  LeaseAsk mine = ask_of("b");
  mine.only_mine = true;
  EXPECT_FALSE(acquire(call, mine)->granted);
  mine.holder = "a";
  const auto again = acquire(call, mine);
  ASSERT_TRUE(again.has_value() && again->granted);
  EXPECT_TRUE(release(call, ask_of("a", again->id)).has_value());
  EXPECT_TRUE(etcd.keys.empty() && etcd.leases.empty());
  EXPECT_FALSE(acquire(call, mine)->granted) << "there is none any more";
  EXPECT_TRUE(acquire(call, ask_of("b"))->granted);
}

TEST_F(EtcdTest, TheLengthIsTheOneThatEtcdGrants) {
  etcd.least_ttl = 17;
  EXPECT_EQ(acquire(call, ask_of("a"))->length, seconds{17});
}

TEST_F(EtcdTest, ANodeThatBeginsAnewTakesItsOwnKeyOver) {
  const auto before = acquire(call, ask_of("a"));
  const auto after = acquire(call, ask_of("a"));
  ASSERT_TRUE(after.has_value()) << after.error().what;
  EXPECT_TRUE(after->granted);
  EXPECT_NE(after->id, before->id);
  EXPECT_TRUE(release(call, ask_of("a", before->id)).has_value());  // one that comes late
  EXPECT_EQ(acquire(call, ask_of("b"))->holder, "a");
  EXPECT_TRUE(release(call, ask_of("a", after->id)).has_value());
  EXPECT_TRUE(acquire(call, ask_of("b"))->granted);
  EXPECT_TRUE(release(call, ask_of("a", "1")).has_value());  // it has run out
}

TEST_F(EtcdTest, AKeyThatAnotherTookAwayIsNotRenewed) {
  const auto a = acquire(call, ask_of("a"));
  etcd.keys.begin()->second = {.value = "Yg==", .lease = "5"};
  const auto again = acquire(call, ask_of("a", a->id));
  ASSERT_TRUE(again.has_value()) << again.error().what;
  EXPECT_EQ(again->holder, "b");
  etcd.keys.begin()->second.value = "AAECAw==";
  EXPECT_EQ(acquire(call, ask_of("a", a->id))->holder, "somebody");
}

TEST_F(EtcdTest, WhatIsNoAnswer) {
  for (const std::string body : {"", "[]", "{}", R"({"ID":"x","TTL":"5"})", R"({"ID":"5"})", R"({"ID":"5","TTL":"0"})",
                                 R"({"ID":"5","TTL":"999999999999999999999"})", R"({"result":5})"}) {
    const auto reply = acquire([&body](const std::string&, const std::string&) { return HttpReply{200, body}; }, ask_of("a"));
    ASSERT_FALSE(reply.has_value()) << body;
    EXPECT_EQ(reply.error().code, Code::Corrupt) << body;
  }
  const auto locked = [](const std::string&, const std::string&) { return HttpReply{401, R"({"error":"no token"})"}; };
  EXPECT_EQ(probe(locked).error().code, Code::Denied);
  const auto no_leader = [](const std::string&, const std::string&) { return HttpReply{503, R"({"error":"etcdserver: no leader"})"}; };
  EXPECT_EQ(probe(no_leader).error().what, "etcd says: etcdserver: no leader");
  EXPECT_TRUE(probe(call).has_value());
}

}  // namespace
}  // namespace safekit::witness::etcd
