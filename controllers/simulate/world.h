#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/time.h"
#include "schema/port/random.h"

namespace safekit::sim {

/// The one order of everything that happens in a simulated cluster: virtual time, events, chance. The same seed gives the same
/// run; `digest` of two runs is equal when everything that was noted was. Thread: one.
class World {
 public:
  using Task = std::function<void()>;
  /// `calm`: nothing goes wrong by itself, and all takes the least time it may; only scripts take what scripts take.
  explicit World(std::uint64_t seed, bool calm = false) : random_(seed), calm_(calm) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// ns since the beginning, which no node can see.
  [[nodiscard]] std::int64_t now() const { return now_; }
  void after(Duration delay, Task task);
  /// Each event in turn up to that time, and `check` after each.
  void run_until(std::int64_t time, const Task& check);

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  [[nodiscard]] bool chance(unsigned percent) { return !calm_ && below(100) < percent; }
  [[nodiscard]] Duration between(Duration least, Duration most) {
    return calm_ ? least : least + Duration{static_cast<std::int64_t>(below(static_cast<std::uint64_t>((most - least).count()) + 1))};
  }
  [[nodiscard]] bool is_calm() const { return calm_; }
  std::uint64_t number() { return random_(); }

  /// A line of the run: part of the digest, and kept for a person when wanted.
  void note(std::string_view who, std::string_view what);
  void keep_lines(bool keep) { keeps_lines_ = keep; }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] std::uint64_t digest() const { return digest_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  std::mt19937_64 random_;
  bool calm_;
  std::int64_t now_{0};
  std::uint64_t sequence_{0};
  std::uint64_t events_{0};
  std::map<std::pair<std::int64_t, std::uint64_t>, Task> queue_{};
  std::uint64_t digest_{0xcbf29ce484222325ULL};
  bool keeps_lines_{false};
  std::vector<std::string> lines_{};
};

/// Random bytes of the world.
class WorldRandom final : public Random {
 public:
  explicit WorldRandom(World& world) : world_(world) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(world_.number());
  }

 private:
  World& world_;
};

}  // namespace safekit::sim
