#include "reconciler/peer/links.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::peer {
namespace {

constexpr const char* kSummaryPath = "/exchange/summary";
constexpr const char* kParcelPath = "/exchange/objects";

std::vector<Member> members_of(const spec::Cluster& cluster) {
  std::vector<Member> members;
  for (const spec::Lan& lan : cluster.lans) {
    for (const spec::NodeAddress& node : lan.nodes) {
      auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.node == node.name; });
      if (found == members.end()) found = members.insert(found, Member{.node = node.name, .port = cluster.port});
      found->addresses.push_back(node.address);
    }
  }
  return members;
}

/// What this node's own interfaces have, where an address translation lies between.
std::vector<std::string> local_addresses(const spec::Cluster& cluster, const NodeName& self) {
  std::vector<std::string> addresses;
  for (const spec::Lan& lan : cluster.lans) {
    for (const spec::NodeAddress& node : lan.nodes) {
      if (node.name == self) addresses.push_back(node.local_address.empty() ? node.address : node.local_address);
    }
  }
  return addresses;
}

std::string describe(const store::Object& object) {
  return fmt::format("{} by '{}' on '{}' at {} ({})", object.deleted ? "deleted" : "applied", object.author,
                     object.origin.str(), to_string(object.time), object.digest.substr(0, 8));
}

}  // namespace

Peers::Peers(const Ports& ports, Transport& transport) : ports_(ports), transport_(transport) {}

Peers::~Peers() {
  ports_.store.unwatch(watch_);
  for (const auto& [node, link] : links_) ports_.loop.cancel(link.timer);
  transport_.on_request(nullptr);
}

void Peers::start() {
  transport_.on_request([this, alive = std::weak_ptr<Token>{alive_}](const NodeName& from, const std::string& path,
                                                                     const std::string& body, const ReplyTask& reply) {
    if (alive.expired()) return reply(Error{Code::Unavailable, "this node is stopping"});
    handle(from, path, body, reply);
  });
  watch_ = ports_.store.watch([this](const store::Change& change) { changed(change); });
  follow_cluster();
}

void Peers::changed(const store::Change& change) {
  if (change.what != store::Change::What::Object) return;
  // Posted: what changes the store may be in the middle of its own work.
  ports_.loop.post([this, alive = std::weak_ptr<Token>{alive_}, is_cluster = change.kind == store::Kind::Cluster] {
    if (alive.expired()) return;
    if (is_cluster) follow_cluster();
    for (const auto& [node, link] : links_) {
      // A peer that is away is tried at its own pace; it asks for everything itself when it comes back.
      if (link.failures == 0) exchange_soon(node, Duration{});
    }
  });
}

void Peers::follow_cluster() {
  const auto cluster = ports_.store.cluster();
  const std::vector<Member> members = cluster ? members_of(*cluster) : std::vector<Member>{};
  Member self{.node = ports_.store.node()};
  std::vector<Member> peers;
  for (const Member& member : members) {
    if (member.node == self.node) {
      self = Member{.node = member.node, .addresses = local_addresses(*cluster, member.node), .port = member.port};
    } else {
      peers.push_back(member);
    }
  }
  // A node that the cluster does not name (any more) has no peers.
  if (self.addresses.empty()) peers.clear();
  std::erase_if(links_, [&](const auto& entry) {
    const bool stays = std::any_of(peers.begin(), peers.end(), [&](const Member& m) { return m.node == entry.first; });
    if (!stays) ports_.loop.cancel(entry.second.timer);
    return !stays;
  });
  transport_.set_members(self, peers);
  for (const Member& peer : peers) {
    const auto [it, is_new] = links_.try_emplace(peer.node);
    if (!is_new) continue;
    it->second.state.node = peer.node;
    exchange_soon(peer.node, Duration{});
  }
}

void Peers::exchange_soon(const NodeName& node, Duration delay) {
  const auto found = links_.find(node);
  if (found == links_.end()) return;
  Link& link = found->second;
  if (link.is_busy) {
    link.is_wanted = true;
    return;
  }
  ports_.loop.cancel(link.timer);
  link.timer = ports_.loop.after(delay, [this, node] { exchange(node); });
}

void Peers::exchange(const NodeName& node) {
  const auto found = links_.find(node);
  if (found == links_.end() || found->second.is_busy) return;
  found->second.is_busy = true;
  found->second.is_wanted = false;
  found->second.timer = 0;
  transport_.request(node, kSummaryPath, to_body(summary(mine_for(node), {})), kRequestLimit,
                     [this, alive = std::weak_ptr<Token>{alive_}, node](const Result<std::string>& reply) {
                       if (!alive.expired()) summary_came(node, reply);
                     });
}

void Peers::summary_came(const NodeName& node, const Result<std::string>& reply) {
  if (!reply) return ended(node, reply.error());
  const auto theirs = parse_entries(*reply);
  if (!theirs) return ended(node, theirs.error());
  const ExchangePlan plan = plan_exchange(mine_for(node), *theirs);
  for (const store::ObjectKey& key : plan.settled) ports_.store.clear_conflict(key, node);
  if (plan.push.empty() && plan.fetch.empty()) return ended(node, {});
  const Parcel parcel{.objects = stored(plan.push), .wanted = plan.fetch};
  transport_.request(node, kParcelPath, to_body(parcel), kRequestLimit,
                     [this, alive = std::weak_ptr<Token>{alive_}, node](const Result<std::string>& answer) {
                       if (!alive.expired()) parcel_came(node, answer);
                     });
}

void Peers::parcel_came(const NodeName& node, const Result<std::string>& reply) {
  if (!reply) return ended(node, reply.error());
  const auto parcel = parse_parcel(*reply);
  if (!parcel) return ended(node, parcel.error());
  ended(node, integrate(node, parcel->objects));
}

void Peers::ended(const NodeName& node, const Status& status) {
  const auto found = links_.find(node);
  if (found == links_.end()) return;
  Link& link = found->second;
  link.is_busy = false;
  Duration delay = link.is_wanted ? Duration{} : kInterval;
  if (status) {
    link.failures = 0;
  } else {
    delay = kRetryFirst;
    for (std::uint32_t i = 0; i < link.failures && delay < kRetryLongest; ++i) delay *= 2;
    delay = std::min(delay, kRetryLongest);
    ++link.failures;
  }
  exchange_soon(node, delay);
  set_reachable(link, status);
}

void Peers::set_reachable(Link& link, const Status& status) {
  const PeerState before = link.state;
  link.state.reachable = status.has_value();
  link.state.problem = status ? "" : status.error().what;
  if (status) link.state.last_contact = ports_.clock.wall_now();
  if (before.reachable == link.state.reachable && before.problem == link.state.problem) return;
  const std::string node = link.state.node.str();
  ports_.log.write(status ? LogLevel::Info : LogLevel::Warning, "peer",
                   status ? fmt::format("node={} reachable=true", node)
                          : fmt::format("node={} reachable=false error=\"{}\"", node, status.error().what));
  ports_.store.announce(store::Change::What::Peers, node);
}

bool Peers::names(const store::Object& object, const NodeName& node) const {
  Audience& audience = audiences_[object.key];
  if (audience.digest != object.digest) audience = {.digest = object.digest, .nodes = store::nodes_of(object)};
  if (!audience.nodes) return false;
  return audience.nodes->empty() || std::find(audience.nodes->begin(), audience.nodes->end(), node) != audience.nodes->end();
}

std::vector<Mine> Peers::mine_for(const NodeName& node) const {
  std::vector<Mine> mine;
  for (const auto& [key, stored] : ports_.store.stored()) {
    Mine own{.key = key, .history = stored.history, .is_for_peer = names(stored.object, node)};
    for (const store::Conflict& conflict : ports_.store.conflicts(key)) {
      if (conflict.peer == node) own.known_rival = conflict.theirs.digest;
    }
    mine.push_back(std::move(own));
  }
  return mine;
}

std::vector<store::StoredObject> Peers::stored(const std::vector<store::ObjectKey>& keys) const {
  std::vector<store::StoredObject> found;
  for (const store::ObjectKey& key : keys) {
    const auto it = ports_.store.stored().find(key);
    if (it != ports_.store.stored().end()) found.push_back(it->second);
  }
  return found;
}

Status Peers::integrate(const NodeName& from, const std::vector<store::StoredObject>& objects) {
  Status first_error{};
  for (const store::StoredObject& theirs : objects) {
    if (Status status = integrate_one(from, theirs); !status && first_error) first_error = std::move(status);
  }
  return first_error;
}

Status Peers::integrate_one(const NodeName& from, const store::StoredObject& theirs) {
  const store::ObjectKey& key = theirs.object.key;
  const auto found = ports_.store.stored().find(key);
  const store::StoredObject* mine = found == ports_.store.stored().end() ? nullptr : &found->second;
  switch (judge(mine, theirs)) {
    case Judgement::Same:
    case Judgement::Mine: ports_.store.clear_conflict(key, from); return {};
    case Judgement::Conflict: conflict_found(from, mine->object, theirs); return {};
    case Judgement::Theirs: break;
  }
  if (!store::nodes_of(theirs.object)) {
    return Error{Code::Unsupported, fmt::format("'{}' as node '{}' sends it is not understood by this version: install "
                                                "the same version of safekit on all nodes",
                                                key.name, from.str())};
  }
  std::vector<std::string> history = theirs.history;
  if (mine != nullptr) history.insert(history.end(), mine->history.begin(), mine->history.end());
  SK_TRY_VOID(ports_.store.adopt(theirs.object, history));
  ports_.log.write(LogLevel::Info, "peer", fmt::format("object={} from={} {}", key.name, from.str(), describe(theirs.object)));
  return {};
}

void Peers::conflict_found(const NodeName& from, const store::Object& ours, const store::StoredObject& theirs) {
  for (const store::Conflict& known : ports_.store.conflicts(ours.key)) {
    if (known.peer == from && known.theirs.digest == theirs.object.digest) return;
  }
  const std::string text = fmt::format("'{}' has two revisions: {}; and {}. Each node goes on with its own until "
                                       "`safekit apply --take NODE {}/{}` or a new apply",
                                       ours.key.name, describe(ours), describe(theirs.object),
                                       ours.key.kind == store::Kind::Module ? "module" : "cluster", ours.key.name);
  const ModuleName module{ours.key.kind == store::Kind::Module ? ours.key.name : ""};
  ports_.store.set_conflict({.peer = from, .theirs = theirs.object, .history = theirs.history});
  ports_.store.record(module, "config", 'E', text);
}

void Peers::handle(const NodeName& from, const std::string& path, const std::string& body, const ReplyTask& reply) {
  const auto link = links_.find(from);
  if (link == links_.end()) return reply(Error{Code::Denied, fmt::format("'{}' is not a node of this cluster", from.str())});
  // Whoever asks is there.
  if (link->second.failures > 0) exchange_soon(from, Duration{});
  if (path == kSummaryPath) return reply(answer_summary(from, body));
  if (path == kParcelPath) return reply(answer_parcel(from, body));
  const Handler* best = nullptr;
  std::size_t length = 0;
  for (const auto& [prefix, handler] : handlers_) {
    if (!path.starts_with(prefix) || prefix.size() < length) continue;
    best = &handler;
    length = prefix.size();
  }
  if (best == nullptr) return reply(Error{Code::Unsupported, fmt::format("this node does not know the request '{}'", path)});
  const Handler handler = *best;
  handler(from, path, body, reply);
}

Result<std::string> Peers::answer_summary(const NodeName& from, const std::string& body) {
  SK_TRY(const auto theirs, parse_entries(body));
  std::set<store::ObjectKey> mentioned;
  for (const Entry& entry : theirs) mentioned.insert(entry.key);
  return to_body(summary(mine_for(from), mentioned));
}

Result<std::string> Peers::answer_parcel(const NodeName& from, const std::string& body) {
  SK_TRY(const Parcel parcel, parse_parcel(body));
  SK_TRY_VOID(integrate(from, parcel.objects));
  return to_body(Parcel{.objects = stored(parcel.wanted)});
}

void Peers::forward(const NodeName& node, const std::string& path, std::string body, ReplyTask callback) {
  if (!links_.contains(node)) {
    return ports_.loop.post([callback = std::move(callback), node] {
      callback(Error{Code::NotFound, fmt::format("'{}' is not another node of this cluster", node.str())});
    });
  }
  transport_.request(node, path, std::move(body), kRequestLimit, std::move(callback));
}

void Peers::on_request(const std::string& prefix, Handler handler) {
  SK_ASSERT(!prefix.starts_with("/exchange/"));
  handlers_[prefix] = std::move(handler);
}

std::vector<PeerState> Peers::peers() const {
  std::vector<PeerState> states;
  for (const auto& [node, link] : links_) states.push_back(link.state);
  return states;
}

bool Peers::is_reachable(const NodeName& node) const {
  const auto found = links_.find(node);
  return found != links_.end() && found->second.state.reachable;
}

}  // namespace safekit::peer
