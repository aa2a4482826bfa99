#include "controllers/copy_inspections.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/lost_writes.h"
#include "schema/doc/json.h"

namespace safekit {
namespace {

using doc::Node;
using State = control::Inspection::State;

constexpr std::size_t kWaitersMax = 64;
constexpr Duration kWaitMax = seconds{60};

const char* name_of(State state) {
  switch (state) {
    case State::Running: return "running";
    case State::Done: return "done";
    case State::Failed: return "failed";
  }
  return "unknown";
}

const char* name_of(control::Inspect::Cause cause) {
  switch (cause) {
    case control::Inspect::Cause::Asked: return "asked";
    case control::Inspect::Cause::Schedule: return "schedule";
    case control::Inspect::Cause::Resync: return "synchronisation";
  }
  return "unknown";
}

std::string query_of(const api::Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

}  // namespace

Node to_tree(const control::Inspection& inspection) {
  const bool verify = inspection.kind == control::Inspect::Kind::Verify;
  const auto number = [](std::uint64_t value) { return Node::number(std::to_string(value)); };
  Node tree = Node::map();
  tree.add("kind", Node::string(verify ? "Verification" : "SynchronisationEstimate"));
  tree.add("number", Node::string(std::to_string(inspection.number)));  // of 64 bits: not every reader of JSON has them
  tree.add("cause", Node::string(name_of(inspection.cause)));
  tree.add("state", Node::string(name_of(inspection.state)));
  if (!inspection.reason.empty()) tree.add("reason", Node::string(inspection.reason));
  tree.add("files", number(inspection.files));
  tree.add("directories", number(inspection.directories));
  tree.add("bytes", number(inspection.bytes));
  if (!verify) {
    tree.add("everything", Node::boolean(inspection.everything));
    tree.add("comparesMore", Node::boolean(inspection.compares_more));
    tree.add("comparedBytes", number(inspection.compared_bytes));
    if (inspection.bytes_per_second != 0) tree.add("bytesPerSecond", number(inspection.bytes_per_second));
    return tree;
  }
  tree.add("endedEarly", Node::boolean(inspection.ended_early));
  Node& differences = tree.add("differences", Node::list());
  for (const control::CopyDifference& difference : inspection.differences) {
    Node& one = differences.push(Node::map());
    one.add("path", Node::string(api::escaped(difference.path)));
    one.add("what", Node::string(difference.what));
  }
  return tree;
}

CopyInspections::CopyInspections(const Ports& ports) : ports_(ports) {
  ports_.replication.on_inspection([this](const std::string& module) { changed(module); });
}

CopyInspections::~CopyInspections() {
  ports_.replication.on_inspection({});
  for (Waiter& waiter : waiters_) {
    ports_.loop.cancel(waiter.timer);
    waiter.respond(api::failure(Error{Code::Unavailable, "safekitd is stopping"}));
  }
}

Status CopyInspections::check_local(const std::string& module) const {
  const auto local = ports_.store.local_modules();
  if (std::ranges::find(local, ModuleName{module}) != local.end()) return {};
  return Error{Code::NotFound, fmt::format("module '{}' does not run on this node '{}' (safekit get modules lists all)", module,
                                           ports_.store.node().str())};
}

void CopyInspections::add_routes(api::Routes& routes) {
  using api::Method;
  using Parameters = api::Routes::Parameters;
  constexpr const char* kPath = "modules/*/inspections";
  const auto add = [&](Method method, auto answer) {
    routes.add(method, kPath, [this, answer](const api::Request& request, const Parameters& at, const api::Respond& respond) {
      if (const Status local = check_local(at[0]); !local) return respond(api::failure(local.error()));
      answer(request, at[0], respond);
    });
  };
  add(Method::Post, [this](const api::Request& request, const std::string& module, const api::Respond& respond) {
    respond(begin(request, module));
  });
  add(Method::Get, [this](const api::Request& request, const std::string& module, const api::Respond& respond) {
    show(request, module, respond);
  });
  add(Method::Delete, [this](const api::Request&, const std::string& module, const api::Respond& respond) {
    const auto ended = ports_.replication.inspect(module, control::Inspect::Kind::Stop);
    respond(ended ? last(module) : api::failure(ended.error()));
  });
}

api::Response CopyInspections::begin(const api::Request& request, const std::string& module) {
  doc::Problems problems{"request"};
  const auto body = doc::parse_json(request.body, problems);
  const std::string kind = body.size() == 1 ? api::text_at(body[0], {"kind"}) : std::string{};
  if (kind != "verify" && kind != "estimate") {
    return api::failure(Error{Code::Invalid, "the body of the request must say the 'kind': verify or estimate"});
  }
  const auto begun = ports_.replication.inspect(module, kind == "verify" ? control::Inspect::Kind::Verify
                                                                        : control::Inspect::Kind::Estimate);
  if (!begun) return api::failure(begun.error());
  api::Response answer = last(module);
  if (answer.status == 200) answer.status = 201;
  return answer;
}

api::Response CopyInspections::last(const std::string& module) const {
  const auto inspection = ports_.replication.inspection(module);
  if (inspection) return api::json(200, to_tree(*inspection));
  return api::failure(Error{Code::NotFound, "nothing was verified or estimated since safekitd or the replication was started here"});
}

bool CopyInspections::is_over(const std::string& module, std::uint64_t number) const {
  const auto inspection = ports_.replication.inspection(module);
  return !inspection || inspection->number != number || inspection->state != State::Running;
}

void CopyInspections::show(const api::Request& request, const std::string& module, const api::Respond& respond) {
  const std::string wait = query_of(request, "wait");
  if (wait.empty()) return respond(last(module));
  const auto limit = parse_duration(wait);
  if (!limit) return respond(api::failure(limit.error()));
  const std::string text = query_of(request, "number");
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return respond(api::failure(Error{Code::Invalid, "wait for which one? Say its 'number'"}));
  }
  if (is_over(module, number)) return respond(last(module));
  if (waiters_.size() >= kWaitersMax) {
    return respond(api::failure(Error{Code::Exhausted, "too many requests wait already; ask without 'wait'"}));
  }
  const auto waiter = waiters_.insert(waiters_.end(), Waiter{.module = module, .number = number, .respond = respond});
  waiter->timer = ports_.loop.after(std::min(*limit, kWaitMax), [this, waiter] {
    const Waiter over = std::move(*waiter);
    waiters_.erase(waiter);
    over.respond(last(over.module));
  });
}

void CopyInspections::changed(const std::string& module) {
  for (auto at = waiters_.begin(); at != waiters_.end();) {
    if (at->module != module || !is_over(module, at->number)) {
      ++at;
      continue;
    }
    const Waiter over = std::move(*at);
    at = waiters_.erase(at);
    ports_.loop.cancel(over.timer);
    over.respond(last(module));
  }
}

}  // namespace safekit
