#include "controllers/cluster_trust.h"

#include <algorithm>

#include <fmt/format.h>

#include "reconciler/peer/exchange.h"
#include "reconciler/peer/http_link.h"
#include "schema/spec/defaults.h"

namespace safekit {
namespace {

/// Only a name for people, in certificates and messages: what tells clusters apart is their random id.
constexpr const char* kClusterName = "safekit";

doc::Node answer_of(const peer::ClusterIdentity& identity) {
  doc::Node tree = doc::Node::map();
  tree.add("node", doc::Node::string(identity.node.str()));
  tree.add("clusterId", doc::Node::string(identity.cluster_id));
  return tree;
}

}  // namespace

ClusterTrust::ClusterTrust(const Ports& ports, peer::Pki& pki,
                           std::function<Status(const peer::ClusterIdentity&)> activate)
    : ports_(ports), pki_(pki), activate_(std::move(activate)) {}

ClusterTrust::~ClusterTrust() {
  if (joining_) joining_->join();
}

/// The name is fixed when the daemon starts: its store and its log lines carry it.
Status ClusterTrust::check_node(const std::string& node) const {
  if (node.empty() || node == ports_.store.node().str()) return {};
  return Error{Code::Conflict, fmt::format("this safekitd runs as node '{}': start it with --node {}, or leave the name out",
                                           ports_.store.node().str(), node)};
}

void ClusterTrust::init(const std::string& node, Done done) {
  if (auto status = check_node(node); !status) return done(std::move(status).error());
  auto identity = pki_.init(kClusterName, ports_.store.node());
  if (!identity) return done(std::move(identity).error());
  if (auto active = activate_(*identity); !active) return done(std::move(active).error());
  done(answer_of(*identity));
}

void ClusterTrust::token(Done done) {
  std::vector<std::string> addresses;
  if (const auto cluster = ports_.store.cluster()) {
    for (const spec::Lan& lan : cluster->lans) {
      for (const spec::NodeAddress& node : lan.nodes) {
        if (node.name == ports_.store.node()) addresses.push_back(node.address);
      }
    }
  }
  if (addresses.empty()) {
    return done(Error{Code::Conflict, fmt::format("the cluster configuration does not name node '{}' with an address: "
                                                  "`safekit apply -f cluster.yaml` first",
                                                  ports_.store.node().str())});
  }
  auto text = pki_.make_token(addresses, api::kHttpsPort);
  if (!text) return done(std::move(text).error());
  doc::Node tree = doc::Node::map();
  tree.add("token", doc::Node::string(*text));
  const WallTime end{ports_.clock.wall_now().ns + peer::Pki::kTokenLife.count()};
  tree.add("expires", doc::Node::string(to_string(end)));
  done(std::move(tree));
}

void ClusterTrust::join(const std::string& token, const std::string& node, Done done) {
  if (auto status = check_node(node); !status) return done(std::move(status).error());
  auto parsed = peer::parse_token(token);
  if (!parsed) return done(std::move(parsed).error());
  auto joining = pki_.prepare_join(*parsed, ports_.store.node());
  if (!joining) return done(std::move(joining).error());
  if (is_joining_) return done(Error{Code::Conflict, "this node is joining already: wait for its answer"});
  if (joining_) joining_->join();  // it has posted its answer, and ends
  is_joining_ = true;
  joining_.emplace([this, token = std::move(*parsed), joining = std::move(*joining), done = std::move(done)]() mutable {
    auto answer = peer::ask_to_join(token, peer::to_body(joining.request), ports_.crypto);
    ports_.loop.post([this, token = std::move(token), joining = std::move(joining), answer = std::move(answer),
                      done = std::move(done)] {
      is_joining_ = false;
      done(finish_join(token, joining, answer));
    });
  });
}

Result<doc::Node> ClusterTrust::finish_join(const peer::JoinToken& token, const peer::Pki::Joining& joining,
                                            const Result<std::string>& answer) {
  if (!answer) return answer.error();
  SK_TRY(const auto joined, pki_.complete_join(token, joining, *answer));
  SK_TRY(const auto parcel, peer::parse_parcel(joined.extra));
  for (const store::StoredObject& stored : parcel.objects) {
    SK_TRY_VOID(ports_.store.adopt(stored.object, stored.history));
  }
  SK_TRY_VOID(activate_(joined.identity));
  return answer_of(joined.identity);
}

void ClusterTrust::admit(const std::string& body, std::function<void(Result<std::string>)> done) {
  auto request = peer::parse_join_request(body);
  if (!request) return done(std::move(request).error());
  const auto cluster = ports_.store.cluster();
  const std::vector<NodeName> named = cluster ? spec::nodes_of(*cluster) : std::vector<NodeName>{};
  if (std::find(named.begin(), named.end(), request->node) == named.end()) {
    return done(Error{Code::Denied, fmt::format("the cluster configuration has no node '{}': add it with its addresses, "
                                                "`safekit apply`, and join again with the same token",
                                                request->node.str())});
  }
  peer::Parcel parcel;
  for (const auto& [key, stored] : ports_.store.stored()) {
    if (key.kind == store::Kind::Cluster) parcel.objects.push_back(stored);
  }
  done(pki_.accept_join(*request, peer::to_body(parcel)));
}

Result<std::string> ClusterTrust::authority() const {
  SK_TRY(const auto identity, pki_.load());
  return identity.authority_pem;
}

}  // namespace safekit
