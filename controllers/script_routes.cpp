#include "controllers/script_routes.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit {
namespace {

using doc::Node;
using script::Asked;

constexpr std::string_view kConfig = "config";
constexpr std::size_t kWaitersMax = 64;
constexpr Duration kWaitMax = seconds{60};

Node to_tree(const std::string& what, bool running, const std::string& problem, const std::string& output) {
  Node tree = Node::map();
  tree.add("kind", Node::string("ScriptRun"));
  tree.add("name", Node::string(what));
  tree.add("state", Node::string(running ? "running" : problem.empty() ? "done" : "failed"));
  if (!problem.empty()) tree.add("problem", Node::string(problem));
  if (!output.empty()) tree.add("output", Node::string(output));
  return tree;
}

}  // namespace

ScriptRoutes::ScriptRoutes(const Ports& ports) : ports_(ports) {
  ports_.scripts.on_pass([this](const std::string& module) { passed(module); });
}

ScriptRoutes::~ScriptRoutes() {
  ports_.scripts.on_pass({});
  for (Waiter& waiter : waiters_) {
    ports_.loop.cancel(waiter.timer);
    waiter.respond(api::failure(Error{Code::Unavailable, "safekitd is stopping"}));
  }
}

Status ScriptRoutes::check(const std::string& module, const std::string& what) const {
  const auto local = ports_.store.local_modules();
  if (std::ranges::find(local, ModuleName{module}) == local.end()) {
    return Error{Code::NotFound, fmt::format("module '{}' does not run on this node '{}' (safekit get modules lists all)", module,
                                             ports_.store.node().str())};
  }
  if (what == kConfig || script::parse_asked(what)) return {};
  return Error{Code::NotFound, fmt::format("'{}' is none of config, confcheck, state, level, start, stop", what)};
}

void ScriptRoutes::add_routes(api::Routes& routes) {
  using api::Method;
  using Parameters = api::Routes::Parameters;
  const auto add = [&](Method method, auto answer) {
    routes.add(method, "modules/*/scripts/*", [this, answer](const api::Request& request, const Parameters& at, const api::Respond& respond) {
      if (const Status good = check(at[0], at[1]); !good) return respond(api::failure(good.error()));
      answer(request, at[0], at[1], respond);
    });
  };
  add(Method::Post, [this](const api::Request&, const std::string& module, const std::string& what, const api::Respond& respond) {
    respond(begin(module, what));
  });
  add(Method::Get, [this](const api::Request& request, const std::string& module, const std::string& what, const api::Respond& respond) {
    show(request, module, what, respond);
  });
}

api::Response ScriptRoutes::begin(const std::string& module, const std::string& what) {
  const auto kind = script::parse_asked(what);
  const Status begun = kind ? ports_.scripts.ask(module, *kind) : ports_.scripts.configure(module);
  if (!begun) return api::failure(begun.error());
  api::Response answer = last(module, what);
  if (answer.status == 200) answer.status = 201;
  return answer;
}

api::Response ScriptRoutes::last(const std::string& module, const std::string& what) const {
  const auto kind = script::parse_asked(what);
  if (!kind) {
    const script::Configuration now = ports_.scripts.configuration(module);
    Node tree = to_tree(what, now.running, now.problem, ports_.scripts.output(now.output_file));
    tree.add("resourceVersion", Node::string(std::to_string(now.version)));
    return api::json(200, tree);
  }
  const auto asked = ports_.scripts.asked(module, *kind);
  if (!asked) return api::failure(Error{Code::NotFound, fmt::format("'{}' was not asked for since safekitd was started here", what)});
  const bool running = asked->phase != Asked::Phase::Over;
  Node tree = to_tree(what, running, asked->problem, running ? std::string{} : ports_.scripts.output(asked->output_file));
  tree.add("script", Node::string(asked->script));
  tree.add("exitCode", Node::number(std::to_string(asked->exit_code)));
  return api::json(200, tree);
}

bool ScriptRoutes::is_running(const std::string& module, const std::string& what) const {
  const auto kind = script::parse_asked(what);
  if (!kind) return ports_.scripts.configuration(module).running;
  const auto asked = ports_.scripts.asked(module, *kind);
  return asked && asked->phase != Asked::Phase::Over;
}

void ScriptRoutes::show(const api::Request& request, const std::string& module, const std::string& what, const api::Respond& respond) {
  const auto text = request.query.find("wait");
  if (text == request.query.end() || !is_running(module, what)) return respond(last(module, what));
  const auto limit = parse_duration(text->second);
  if (!limit) return respond(api::failure(limit.error()));
  if (waiters_.size() >= kWaitersMax) {
    return respond(api::failure(Error{Code::Exhausted, "too many requests wait already; ask without 'wait'"}));
  }
  const auto waiter = waiters_.insert(waiters_.end(), Waiter{.module = module, .what = what, .respond = respond});
  waiter->timer = ports_.loop.after(std::min(*limit, kWaitMax), [this, waiter] {
    const Waiter over = std::move(*waiter);
    waiters_.erase(waiter);
    over.respond(last(over.module, over.what));
  });
}

void ScriptRoutes::passed(const std::string& module) {
  for (auto at = waiters_.begin(); at != waiters_.end();) {
    if (at->module != module || is_running(at->module, at->what)) {
      ++at;
      continue;
    }
    const Waiter over = std::move(*at);
    at = waiters_.erase(at);
    ports_.loop.cancel(over.timer);
    over.respond(last(over.module, over.what));
  }
}

}  // namespace safekit
