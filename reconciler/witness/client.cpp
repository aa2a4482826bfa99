#include "reconciler/witness/client.h"

#include <chrono>
#include <condition_variable>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "reconciler/witness/etcd.h"
#include "reconciler/witness/protocol.h"
#include "schema/spec/witness_url.h"

namespace safekit::witness {
namespace {

using SteadyClock = std::chrono::steady_clock;  // only shares out the time of one question

Result<std::string> say(const HttpTarget& target, std::string_view path, const std::string& body, Duration limit, Stop& stop) {
  SK_TRY(HttpReply reply, exchange(target, std::string{path}, body, limit, stop));
  if (reply.status == 401 || reply.status == 403) {
    return Error{Code::Denied, fmt::format("the witness at '{}' does not know this key: `safekit witness --show` there prints it",
                                           target.host)};
  }
  SK_TRY_VOID(api::status_of(api::Response{.status = reply.status, .body = reply.body}));
  return std::move(reply.body);
}

etcd::Call caller(const HttpTarget& target, Duration limit, Stop& stop) {
  const auto end = SteadyClock::now() + limit;
  return [&target, end, &stop](const std::string& path, const std::string& body) -> Result<HttpReply> {
    const Duration left = end - SteadyClock::now();
    if (left <= Duration{}) return Error{Code::Timeout, fmt::format("'{}' took too long", target.host)};
    return exchange(target, path, body, left, stop);
  };
}

/// What another address may still answer.
bool is_silence(const Error& error) { return error.code == Code::Unavailable || error.code == Code::Timeout; }

}  // namespace

/// What the threads may touch; they can outlive the service.
struct RemoteWitness::Shared {
  std::mutex mutex{};
  std::condition_variable ended{};
  bool alive{true};
  std::set<Call*> calls{};  ///< under way
};

/// The loop's, but `stop`.
struct RemoteWitness::Call {
  Stop stop{};
  bool told{false};
  TimerId timer{0};
};

RemoteWitness::RemoteWitness(Loop& loop, FindNode find_node)
    : loop_(loop), find_node_(std::move(find_node)), shared_(std::make_shared<Shared>()) {}

RemoteWitness::~RemoteWitness() {
  std::unique_lock lock{shared_->mutex};
  shared_->alive = false;
  for (Call* call : shared_->calls) call->stop.now();
  // The libraries that they use go with the process. A name that is being looked up is not waited for.
  (void)shared_->ended.wait_for(lock, kEndWait, [this] { return shared_->calls.empty(); });
}

Result<std::vector<HttpTarget>> RemoteWitness::targets_of(const WitnessPlace& place) const {
  std::vector<HttpTarget> targets;
  for (const std::string& address : place.addresses) {
    if (place.kind == WitnessPlace::Kind::Node) {
      SK_TRY(const NodeAccess node, find_node_(address));
      for (const std::string& host : node.addresses)
        targets.push_back({.host = host, .port = node.port, .tls = true, .bearer = node.token, .authority_pem = node.authority_pem, .name = address});
      continue;
    }
    const bool is_etcd = place.kind == WitnessPlace::Kind::Etcd;
    SK_TRY(const spec::WitnessUrl url,
           spec::parse_witness_url(address, is_etcd ? spec::WitnessKey::None : spec::WitnessKey::Needed));
    targets.push_back({.host = url.host, .port = url.port, .tls = url.tls, .bearer = url.secret, .fingerprint = url.fingerprint});
  }
  if (targets.empty()) return Error{Code::Invalid, "the witness has no address"};
  return targets;
}

template <class T>
void RemoteWitness::start(const WitnessPlace& place, Duration limit, Work<T> work, std::function<void(Result<T>)> task) {
  const auto call = std::make_shared<Call>();
  const auto tell = [this, call, shared = shared_, task = std::move(task)](Result<T> result) {
    if (!shared->alive || call->told) return;
    call->told = true;
    loop_.cancel(call->timer);
    task(std::move(result));
  };
  call->timer = loop_.after(limit, [call, tell] {
    call->stop.now();
    tell(Error{Code::Timeout, "the witness gave no answer in time"});
  });
  const auto post = [&loop = loop_, tell](Result<T> result) { loop.post([tell, result = std::move(result)] { tell(result); }); };
  auto targets = targets_of(place);
  if (!targets) return post(std::move(targets).error());
  {
    const std::lock_guard lock{shared_->mutex};
    if (shared_->calls.size() >= kCallsMax)
      return post(Error{Code::Exhausted, fmt::format("{} questions to witnesses are under way", kCallsMax)});
    shared_->calls.insert(call.get());
  }
  std::thread{[shared = shared_, call, post, targets = std::move(*targets), limit, work = std::move(work)] {
    const auto end = SteadyClock::now() + limit;
    Result<T> result = Error{Code::Unavailable, ""};
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const Duration left = end - SteadyClock::now();
      if (left <= Duration{}) break;
      result = work(targets[i], left / static_cast<std::int64_t>(targets.size() - i), call->stop);
      if (result || !is_silence(result.error())) break;
    }
    const std::lock_guard lock{shared->mutex};
    shared->calls.erase(call.get());
    shared->ended.notify_all();
    if (shared->alive) post(std::move(result));
  }}.detach();
}

void RemoteWitness::acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) {
  start<LeaseReply>(
      ask.place, limit,
      [ask](const HttpTarget& target, Duration time, Stop& stop) -> Result<LeaseReply> {
        if (ask.place.kind == WitnessPlace::Kind::Etcd) return etcd::acquire(caller(target, time, stop), ask);
        SK_TRY(const std::string body, say(target, kAcquireRoute, to_body(ask), time, stop));
        return parse_reply(body);
      },
      std::move(task));
}

void RemoteWitness::release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) {
  start<void>(
      ask.place, limit,
      [ask](const HttpTarget& target, Duration time, Stop& stop) -> Status {
        if (ask.place.kind == WitnessPlace::Kind::Etcd) return etcd::release(caller(target, time, stop), ask);
        SK_TRY_VOID(say(target, kReleaseRoute, to_body(ask), time, stop));
        return {};
      },
      std::move(task));
}

void RemoteWitness::probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) {
  start<void>(
      place, limit,
      [kind = place.kind](const HttpTarget& target, Duration time, Stop& stop) -> Status {
        if (kind == WitnessPlace::Kind::Etcd) return etcd::probe(caller(target, time, stop));
        SK_TRY_VOID(say(target, kAliveRoute, {}, time, stop));
        return {};
      },
      std::move(task));
}

}  // namespace safekit::witness
