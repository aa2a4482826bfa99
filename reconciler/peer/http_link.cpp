#include "reconciler/peer/http_link.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>

#include "reconciler/peer/tls_policy.h"

namespace safekit::peer {
namespace {

constexpr const char* kPrefix = "/peer";
constexpr const char* kCodeHeader = "Safekit-Code";
constexpr const char* kContentType = "application/octet-stream";
constexpr std::size_t kRefusalsMax = 8;

Code parse_code(const std::string& text) {
  for (int i = 0; i <= static_cast<int>(Code::Unsupported); ++i) {
    if (to_string(static_cast<Code>(i)) == text) return static_cast<Code>(i);
  }
  return Code::Unavailable;
}

std::string without_brackets(const std::string& address) {
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') return address.substr(1, address.size() - 2);
  return address;
}

bool was_not_sent(httplib::Error error) {
  return error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout ||
         error == httplib::Error::SSLConnection || error == httplib::Error::BindIPAddress;
}

/// What listeners, workers and the loop share; kept alive by whichever of them is last.
struct Shared {
  explicit Shared(Loop& the_loop) : loop(the_loop) {}
  Loop& loop;  ///< no task is posted once `is_closed`
  mutable std::mutex mutex{};
  std::condition_variable wake{};  ///< `is_closed` became true
  bool is_closed{false};
  std::shared_ptr<TlsPolicy> policy{};
  std::set<std::string> members{};
  std::map<std::string, std::string> listen_problems{};  ///< by address
  std::deque<std::string> refusals{};
  Transport::Handler handler{};  ///< only used on the loop

  void post(Loop::Task task) {
    const std::lock_guard lock{mutex};
    if (!is_closed) loop.post(std::move(task));
  }
  void note_refusal(const std::string& text) {
    const std::lock_guard lock{mutex};
    std::erase(refusals, text);
    refusals.push_back(text);
    if (refusals.size() > kRefusalsMax) refusals.pop_front();
  }
  std::shared_ptr<TlsPolicy> policy_now() {
    const std::lock_guard lock{mutex};
    return policy;
  }
};

/// Waits for the answer of the loop to one request of a peer.
struct Answer {
  std::mutex mutex{};
  std::condition_variable ready{};
  std::optional<Result<std::string>> value{};
};

void put_error(const Error& error, httplib::Response& response) {
  response.status = 500;
  response.set_header(kCodeHeader, std::string{to_string(error.code)});
  response.set_content(error.what, "text/plain");
}

/// Listens on one address until told to stop; tries again where the port is taken or the address is not there yet.
class Listener {
 public:
  Listener(std::shared_ptr<Shared> shared, std::string address, std::uint16_t port)
      : shared_(std::move(shared)), address_(std::move(address)), port_(port) {
    thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
  }
  void stop() { thread_.request_stop(); }

 private:
  void run(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    while (!stop.stop_requested()) {
      serve(stop);
      std::unique_lock lock{mutex};
      // Ends early when told to stop; it is the retry after a failed bind.
      wake.wait_for(lock, stop, HttpLink::kListenRetry, [] { return false; });
    }
    const std::lock_guard lock{shared_->mutex};
    shared_->listen_problems.erase(address_);
  }

  void serve(const std::stop_token& stop) {
    const auto policy = shared_->policy_now();
    if (!policy) return;
    const TlsPolicy::End end{.policy = policy, .accept = [this](const std::string& name) { return refuse(name); },
                             .refused = [this](const std::string& why) { shared_->note_refusal(why); }};
    httplib::SSLServer server{[&end](SSL_CTX& context) { return TlsPolicy::apply(end, &context); }};
    server.new_task_queue = [] { return new httplib::ThreadPool(HttpLink::kThreadsPerListener); };
    server.set_payload_max_length(HttpLink::kBodyBytesMax);
    server.set_keep_alive_max_count(1);
    server.set_tcp_nodelay(true);
    server.set_socket_options([](socket_t socket) {
      // Not SO_REUSEPORT, which the library sets: a port taken by another process has to be an error. The address may
      // come up later than we do.
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
      ::setsockopt(socket, IPPROTO_IP, IP_FREEBIND, &yes, sizeof yes);
    });
    server.Post(std::string{kPrefix} + "/.*",
                [this, &stop](const httplib::Request& request, httplib::Response& response) { handle(request, response, stop); });
    const bool is_bound = server.is_valid() && server.bind_to_port(without_brackets(address_), port_);
    {
      const std::lock_guard lock{shared_->mutex};
      if (is_bound) {
        shared_->listen_problems.erase(address_);
      } else {
        shared_->listen_problems[address_] = fmt::format(
            "this node cannot listen for its peers on {} port {}: the port is taken by another program, or the name is "
            "unknown; end that program or change `port` in the cluster file",
            address_, port_);
      }
    }
    if (!is_bound) return;
    std::jthread stopper{[&server, &stop](const std::stop_token& done) { stop_when_told(server, stop, done); }};
    server.listen_after_bind();
  }

  /// `stop` of the library is without effect until the server runs, so it is repeated until the server has ended.
  static void stop_when_told(httplib::SSLServer& server, const std::stop_token& stop, const std::stop_token& done) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock{mutex};
    const std::stop_callback told{stop, [&] { wake.notify_all(); }};
    const std::stop_callback ended{done, [&] { wake.notify_all(); }};
    while (!done.stop_requested()) {
      if (stop.stop_requested()) server.stop();
      wake.wait_for(lock, milliseconds{stop.stop_requested() ? 10 : 500});
    }
  }

  std::string refuse(const std::string& name) {
    const std::lock_guard lock{shared_->mutex};
    if (shared_->members.contains(name)) return {};
    return fmt::format("'{}' has a certificate of this cluster but is not named in the cluster file: add it there", name);
  }

  void handle(const httplib::Request& request, httplib::Response& response, const std::stop_token& stop) {
    const NodeName from{TlsPolicy::peer_name(request.ssl)};
    auto answer = std::make_shared<Answer>();
    const std::string path = request.path.substr(std::string_view{kPrefix}.size());
    shared_->post([shared = shared_, from, path, body = request.body, answer] {
      const auto reply = [answer](Result<std::string> value) {
        const std::lock_guard lock{answer->mutex};
        if (!answer->value) answer->value = std::move(value);
        answer->ready.notify_all();
      };
      if (!shared->handler) return reply(Error{Code::Unavailable, "this node is starting or stopping"});
      shared->handler(from, path, body, reply);
    });
    std::unique_lock lock{answer->mutex};
    const auto limit = std::chrono::steady_clock::now() + HttpLink::kAnswerLimit;
    // In steps, so that the end of this node is not held up by a request that nobody answers any more.
    while (!answer->value && !stop.stop_requested() && std::chrono::steady_clock::now() < limit) {
      answer->ready.wait_for(lock, milliseconds{100});
    }
    if (!answer->value) return put_error(Error{Code::Timeout, "no answer in time"}, response);
    if (!*answer->value) return put_error(answer->value->error(), response);
    response.set_content(**answer->value, kContentType);
  }

  std::shared_ptr<Shared> shared_;
  std::string address_;
  std::uint16_t port_;
  std::jthread thread_{};
};

struct Call {
  std::string path{};
  std::string body{};
  Duration limit{};
  ReplyTask reply{};
};

/// Sends the requests to one peer, one after the other.
class Worker {
 public:
  Worker(std::shared_ptr<Shared> shared, Member member) : shared_(std::move(shared)), member_(std::move(member)) {
    thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
  }
  void set_member(const Member& member) {
    const std::lock_guard lock{mutex_};
    member_ = member;
  }
  /// False: too many wait already.
  bool add(Call call) {
    const std::lock_guard lock{mutex_};
    if (calls_.size() >= HttpLink::kWaitingMax) return false;
    calls_.push_back(std::move(call));
    wake_.notify_one();
    return true;
  }
  void stop() {
    thread_.request_stop();
    const std::lock_guard lock{mutex_};
    if (client_ != nullptr) client_->stop();
  }

 private:
  void run(const std::stop_token& stop) {
    for (;;) {
      Call call;
      Member member;
      {
        std::unique_lock lock{mutex_};
        if (!wake_.wait(lock, stop, [this] { return !calls_.empty(); })) break;
        call = std::move(calls_.front());
        calls_.pop_front();
        member = member_;
      }
      finish(std::move(call.reply), stop.stop_requested() ? gone() : send(member, call, stop));
    }
    for (Call& call : calls_) finish(std::move(call.reply), gone());
  }
  [[nodiscard]] Result<std::string> gone() const {
    return Error{Code::NotFound, fmt::format("'{}' is not another node of this cluster any more", member_.node.str())};
  }
  void finish(ReplyTask reply, Result<std::string> result) {
    shared_->post([reply = std::move(reply), result = std::move(result)]() mutable { reply(std::move(result)); });
  }

  Result<std::string> send(const Member& member, const Call& call, const std::stop_token& stop) {
    Result<std::string> last = Error{Code::Unavailable, fmt::format("node '{}' has no address", member.node.str())};
    for (std::size_t i = 0; i < member.addresses.size() && !stop.stop_requested(); ++i) {
      const std::size_t index = (good_address_ + i) % member.addresses.size();
      bool may_try_next = false;
      Result<std::string> result = send_to(member, member.addresses[index], call, may_try_next);
      if (result || !may_try_next) {
        good_address_ = index;
        return result;
      }
      // A stranger at one of the addresses says more than a silence at another.
      if (i == 0 || result.error().code == Code::Denied || last.error().code != Code::Denied) last = std::move(result);
    }
    return last;
  }

  Result<std::string> send_to(const Member& member, const std::string& address, const Call& call, bool& may_try_next) {
    const auto policy = shared_->policy_now();
    if (!policy) return Error{Code::Unavailable, "this node belongs to no cluster"};
    std::string refused;
    const TlsPolicy::End end{
        .policy = policy,
        .accept = [&](const std::string& name) {
          if (name == member.node.str()) return std::string{};
          return fmt::format("'{}' answers there, not '{}': check the addresses in the cluster file", name, member.node.str());
        },
        .refused = [&](const std::string& why) { refused = why; }};
    httplib::SSLClient client{without_brackets(address), member.port};
    if (!client.is_valid() || !TlsPolicy::apply(end, client.ssl_context())) {
      return Error{Code::Io, "TLS could not be set up"};
    }
    client.enable_server_certificate_verification(false);  // the policy does it, with our authority only
    client.set_connection_timeout(HttpLink::kConnectLimit);
    // Head and body are two writes: without this the second waits 40 ms for the other end's delayed acknowledgement.
    client.set_tcp_nodelay(true);
    client.set_read_timeout(call.limit);
    client.set_write_timeout(call.limit);
    set_client(&client);
    const httplib::Result result = client.Post(kPrefix + call.path, call.body, kContentType);
    set_client(nullptr);
    const std::string where = fmt::format("node '{}' at {} port {}", member.node.str(), address, member.port);
    if (!refused.empty()) {
      may_try_next = true;
      return Error{Code::Denied, fmt::format("{}: {}", where, refused)};
    }
    if (!result) {
      may_try_next = was_not_sent(result.error());
      return Error{result.error() == httplib::Error::Read ? Code::Timeout : Code::Unavailable,
                   fmt::format("{} {}", where, may_try_next ? "cannot be reached" : "gave no answer; it may have refused this "
                                                                                    "node's certificate, or be overloaded")};
    }
    if (result->status == 200) return result->body;
    return Error{parse_code(result->get_header_value(kCodeHeader)), result->body};
  }
  void set_client(httplib::SSLClient* client) {
    const std::lock_guard lock{mutex_};
    client_ = client;
  }

  std::shared_ptr<Shared> shared_;
  std::mutex mutex_{};
  std::condition_variable_any wake_{};
  Member member_;
  std::deque<Call> calls_{};
  httplib::SSLClient* client_{nullptr};  ///< of the request under way
  std::size_t good_address_{0};          ///< the thread's own
  std::jthread thread_{};
};

}  // namespace

struct HttpLink::Impl {
  explicit Impl(Loop& loop) : shared(std::make_shared<Shared>(loop)) {}
  std::shared_ptr<Shared> shared;
  Member self{};
  std::map<std::string, std::unique_ptr<Listener>> listeners{};
  std::map<NodeName, std::unique_ptr<Worker>> workers{};
  /// Told to stop, but perhaps not at their end yet: the loop does not wait for them.
  std::vector<std::unique_ptr<Listener>> ending_listeners{};
  std::vector<std::unique_ptr<Worker>> ending_workers{};

  void stop_listeners(const std::function<bool(const std::string& address)>& stays) {
    for (auto it = listeners.begin(); it != listeners.end();) {
      if (stays(it->first)) {
        ++it;
        continue;
      }
      it->second->stop();
      ending_listeners.push_back(std::move(it->second));
      it = listeners.erase(it);
    }
  }
  void stop_all_listeners() {
    stop_listeners([](const std::string&) { return false; });
  }
  void start_listeners() {
    for (const std::string& address : self.addresses) {
      if (!listeners.contains(address)) listeners.emplace(address, std::make_unique<Listener>(shared, address, self.port));
    }
  }
};

HttpLink::HttpLink(Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}

HttpLink::~HttpLink() {
  {
    const std::lock_guard lock{impl_->shared->mutex};
    impl_->shared->is_closed = true;
  }
  impl_->stop_all_listeners();
  for (auto& [node, worker] : impl_->workers) worker->stop();
}

Status HttpLink::set_identity(const std::string& authority_pem, const Identity& own) {
  // A renewed certificate is shown from the next connection on, without a pause in listening.
  if (const auto known = impl_->shared->policy_now(); known && known->authority_pem() == authority_pem) {
    return known->set_own(own);
  }
  SK_TRY(auto policy, TlsPolicy::make(authority_pem, own));
  {
    const std::lock_guard lock{impl_->shared->mutex};
    impl_->shared->policy = std::move(policy);
  }
  impl_->stop_all_listeners();
  impl_->start_listeners();
  return {};
}

void HttpLink::set_members(const Member& self, const std::vector<Member>& peers) {
  {
    const std::lock_guard lock{impl_->shared->mutex};
    impl_->shared->members.clear();
    for (const Member& peer : peers) impl_->shared->members.insert(peer.node.str());
  }
  if (self != impl_->self) {
    const bool same_port = self.port == impl_->self.port;
    impl_->stop_listeners([&](const std::string& address) {
      return same_port && std::find(self.addresses.begin(), self.addresses.end(), address) != self.addresses.end();
    });
    impl_->self = self;
    impl_->start_listeners();
  }
  std::map<NodeName, std::unique_ptr<Worker>> kept;
  for (const Member& peer : peers) {
    auto found = impl_->workers.find(peer.node);
    if (found == impl_->workers.end()) {
      kept.emplace(peer.node, std::make_unique<Worker>(impl_->shared, peer));
    } else {
      found->second->set_member(peer);
      kept.emplace(peer.node, std::move(found->second));
      impl_->workers.erase(found);
    }
  }
  for (auto& [node, worker] : impl_->workers) {
    worker->stop();
    impl_->ending_workers.push_back(std::move(worker));
  }
  impl_->workers = std::move(kept);
}

void HttpLink::request(const NodeName& peer, const std::string& path, std::string body, Duration limit, ReplyTask reply) {
  const auto found = impl_->workers.find(peer);
  const bool is_known = found != impl_->workers.end();
  if (is_known && found->second->add({.path = path, .body = std::move(body), .limit = limit, .reply = reply})) return;
  const Error error = is_known ? Error{Code::Exhausted, fmt::format("{} requests to node '{}' wait already", kWaitingMax, peer.str())}
                               : Error{Code::NotFound, fmt::format("'{}' is not another node of this cluster", peer.str())};
  impl_->shared->post([reply = std::move(reply), error] { reply(error); });
}

void HttpLink::on_request(Handler handler) { impl_->shared->handler = std::move(handler); }

std::vector<std::string> HttpLink::problems() const {
  const std::lock_guard lock{impl_->shared->mutex};
  std::vector<std::string> found;
  for (const auto& [address, problem] : impl_->shared->listen_problems) found.push_back(problem);
  found.insert(found.end(), impl_->shared->refusals.begin(), impl_->shared->refusals.end());
  return found;
}

namespace {

Result<std::string> ask_one(const JoinToken& token, const std::string& address, std::string_view body, Crypto& crypto) {
  const std::string where = fmt::format("{} port {}", address, token.port);
  const Error away{Code::Unavailable, fmt::format("{} cannot be reached: check that safekitd runs there and that no firewall "
                                                  "is between", where)};
  const auto set_up = [](httplib::SSLClient& client) {
    client.enable_server_certificate_verification(false);
    client.set_connection_timeout(seconds{3});
    client.set_read_timeout(seconds{15});
    SSL_CTX_set_min_proto_version(client.ssl_context(), TLS1_3_VERSION);
  };
  httplib::SSLClient finder{without_brackets(address), token.port};
  set_up(finder);
  const auto authority = finder.Get(kAuthorityRoute);
  if (!authority) return away;
  const auto fingerprint = crypto.fingerprint(authority->body);
  if (authority->status != 200 || !fingerprint || *fingerprint != token.authority_fingerprint) {
    return Error{Code::Denied, fmt::format("{} is not a node of the cluster that made the token", where)};
  }
  SK_TRY(auto policy, TlsPolicy::make(authority->body, {}));
  std::string refused;
  const TlsPolicy::End end{.policy = std::move(policy), .refused = [&](const std::string& why) { refused = why; }};
  httplib::SSLClient client{without_brackets(address), token.port};
  set_up(client);
  if (!TlsPolicy::apply(end, client.ssl_context())) return Error{Code::Io, "TLS could not be set up"};
  const auto answer = client.Post(kJoinRoute, std::string{body}, kContentType);
  if (!refused.empty()) return Error{Code::Denied, fmt::format("{}: {}", where, refused)};
  if (!answer) return away;
  if (answer->status != 200) return Error{Code::Denied, fmt::format("{}: {}", where, answer->body)};
  return answer->body;
}

}  // namespace

Result<std::string> ask_to_join(const JoinToken& token, std::string_view request_body, Crypto& crypto) {
  Result<std::string> last = Error{Code::Invalid, "the join token names no address"};
  for (const std::string& address : token.addresses) {
    last = ask_one(token, address, request_body, crypto);
    // Only silence is a reason to ask at another address: the secret is good for one try.
    if (last || last.error().code != Code::Unavailable) return last;
  }
  return last;
}

}  // namespace safekit::peer
