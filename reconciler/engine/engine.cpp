#include "reconciler/engine/engine.h"

#include <fmt/format.h>

namespace safekit::engine {

Engine::Engine(const Ports& ports, EngineOptions options) : ports_(ports), options_(options) {}
Engine::~Engine() { stop(); }

void Engine::add(Controller& controller) {
  SK_ASSERT(!is_started_);
  controllers_.push_back(&controller);
}

void Engine::start() {
  SK_ASSERT(!is_started_);
  is_started_ = true;
  watch_ = ports_.store.watch([this](const store::Change& change) { route(change); });
  look_at_everything();
}

void Engine::stop() {
  if (!is_started_) return;
  is_started_ = false;
  ports_.store.unwatch(watch_);
  ports_.loop.cancel(full_pass_timer_);
  ports_.loop.cancel(due_timer_);
  due_timer_ = 0;
}

void Engine::look_at_everything() {
  // Tombstones too: what a deleted module left behind is cleared away also when the deletion was before a restart.
  const Revision now = ports_.store.revision();
  route({.what = store::Change::What::Object, .kind = store::Kind::Cluster, .name = store::kClusterKey.name, .revision = now});
  for (const store::Object& object : ports_.store.all_with_tombstones()) {
    if (object.key.kind != store::Kind::Module) continue;
    route({.what = store::Change::What::Object, .kind = object.key.kind, .name = object.key.name, .revision = now});
  }
  full_pass_timer_ = ports_.loop.after(options_.full_pass, [this] { look_at_everything(); });
}

void Engine::route(const store::Change& change) {
  const MonoTime now = ports_.clock.mono_now();
  for (std::size_t i = 0; i < controllers_.size(); ++i) {
    if (const auto request = controllers_[i]->wants(change)) {
      queue_.add({i, *request}, now);
      due_since_.try_emplace({i, *request}, now);
    }
  }
  schedule();
}

void Engine::wake(std::string_view controller, const Request& request) {
  const MonoTime now = ports_.clock.mono_now();
  for (std::size_t i = 0; i < controllers_.size(); ++i) {
    if (controllers_[i]->name() != controller) continue;
    queue_.add({i, request}, now);
    due_since_.try_emplace({i, request}, now);
  }
  schedule();
}

std::function<void(const Request&)> Engine::waker(std::string controller) {
  return [this, alive = std::weak_ptr<Token>{alive_}, name = std::move(controller)](const Request& request) {
    if (!alive.expired()) wake(name, request);
  };
}

void Engine::schedule() {
  if (!is_started_ || is_posted_) return;
  const auto due = queue_.next_due();
  if (!due) return;
  const MonoTime now = ports_.clock.mono_now();
  if (*due <= now) {
    is_posted_ = true;
    ports_.loop.post([this, alive = std::weak_ptr<Token>{alive_}] {
      if (!alive.expired()) turn();
    });
    return;
  }
  if (due_timer_ != 0 && due_timer_at_ <= *due) return;
  ports_.loop.cancel(due_timer_);
  due_timer_at_ = *due;
  due_timer_ = ports_.loop.after(*due - now, [this] {
    due_timer_ = 0;
    schedule();
  });
}

void Engine::turn() {
  is_posted_ = false;
  for (std::size_t i = 0; i < kPassesPerTurn && is_started_; ++i) {
    const auto key = queue_.take(ports_.clock.mono_now());
    if (!key) break;
    is_posted_ = true;  // what the pass itself asks for waits for the next turn
    pass(*key);
    is_posted_ = false;
  }
  schedule();
}

void Engine::pass(const Key& key) {
  Controller& controller = *controllers_[key.controller];
  const MonoTime begun = ports_.clock.mono_now();
  MonoTime due = begun;
  if (const auto since = due_since_.find(key); since != due_since_.end()) {
    due = since->second;
    due_since_.erase(since);
  }
  const Result<Outcome> outcome = controller.reconcile(key.request);
  const MonoTime ended = ports_.clock.mono_now();
  Health::Pass noted{.controller = controller.name(),
                     .key = key.request.name,
                     .waited = begun - due,
                     .took = ended - begun,
                     .over_deadline = ended - begun > options_.pass_deadline};
  if (noted.over_deadline) {
    ports_.log.write(LogLevel::Warning, "engine", fmt::format("controller={} key={} pass_took={}us", controller.name(),
                                                              key.request.name, noted.took.count() / 1000));
  }
  if (outcome) {
    queue_.done(key, outcome->requeue_after ? std::optional{ended + *outcome->requeue_after} : std::nullopt);
  } else {
    const Error& error = outcome.error();
    noted.error = error.what;
    // What is wrong with the input cannot get better by itself; a change of it, or the full pass, looks again.
    const bool retries = error.code != Code::Invalid && error.code != Code::Unsupported;
    std::string next = "no";
    if (retries) {
      const auto jitter = static_cast<std::uint32_t>(ports_.random.u64());
      next = fmt::format("{}ms", queue_.failed(key, ended, options_.backoff, jitter).count() / 1'000'000);
    } else {
      queue_.done(key, std::nullopt);
    }
    ports_.log.write(LogLevel::Warning, "engine", fmt::format("controller={} key={} code={} error=\"{}\" retry={}", controller.name(),
                                                              key.request.name, to_string(error.code), error.what, next));
  }
  health_.note(noted);
}

}  // namespace safekit::engine
