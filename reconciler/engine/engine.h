#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/engine/controller.h"
#include "reconciler/engine/decision_log.h"
#include "reconciler/engine/health.h"
#include "reconciler/queue/work_queue.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"
#include "schema/port/loop.h"
#include "schema/port/random.h"

namespace safekit::engine {

struct EngineOptions {
  Duration full_pass{seconds{30}};          ///< every key of every controller is looked at this often at least
  Duration pass_deadline{milliseconds{50}}; ///< a longer pass blocks the loop: it is counted and logged
  queue::BackoffLimits backoff{};
};

/// Runs controllers: changes of the store and wake-ups become keys, keys wait in one queue, each turn is a pass of one
/// controller over one key, posted on the loop and never inside another pass. A service. Thread: the loop's.
class Engine {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    Random& random;
    Log& log;
  };
  explicit Engine(const Ports& ports, EngineOptions options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// Before `start`. The controller outlives the engine.
  void add(Controller& controller);
  /// Looks at everything once and from then on at what changes.
  void start();
  /// No further pass begins.
  void stop();
  /// Something outside the store happened that concerns this key of that controller.
  void wake(std::string_view controller, const Request& request);
  /// The same as a function to be handed to a controller when it is made.
  [[nodiscard]] std::function<void(const Request&)> waker(std::string controller);

  [[nodiscard]] const Health& health() const { return health_; }
  [[nodiscard]] DecisionLog& decisions() { return decisions_; }
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

  static constexpr std::size_t kPassesPerTurn = 16;  ///< then the loop's other work has its turn

 private:
  struct Key {
    std::size_t controller{0};
    Request request{};
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Token {};
  void look_at_everything();
  void route(const store::Change& change);
  void schedule();
  void turn();
  void pass(const Key& key);

  Ports ports_;
  EngineOptions options_;
  std::vector<Controller*> controllers_{};
  queue::WorkQueue<Key> queue_{};
  std::map<Key, MonoTime> due_since_{};  ///< when the next pass of a key was asked for, to measure its wait
  Health health_{};
  DecisionLog decisions_{};
  std::shared_ptr<Token> alive_{std::make_shared<Token>()};  ///< posted work asks whether there is still an engine
  std::uint64_t watch_{0};
  TimerId full_pass_timer_{0};
  TimerId due_timer_{0};
  MonoTime due_timer_at_{};
  bool is_started_{false};
  bool is_posted_{false};
};

}  // namespace safekit::engine
