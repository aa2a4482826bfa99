#pragma once

#include <utility>
#include <vector>

#include "schema/port/witness.h"

namespace safekit::fake {

/// Keeps what it is asked; a test answers.
class ScriptedWitness final : public Witness {
 public:
  std::vector<std::pair<LeaseAsk, std::function<void(Result<LeaseReply>)>>> acquired{};
  std::vector<LeaseAsk> released{};
  std::vector<std::pair<WitnessPlace, std::function<void(Status)>>> probed{};

  void acquire(const LeaseAsk& ask, Duration, std::function<void(Result<LeaseReply>)> task) override {
    acquired.emplace_back(ask, std::move(task));
  }
  void release(const LeaseAsk& ask, Duration, std::function<void(Status)>) override { released.push_back(ask); }
  void probe(const WitnessPlace& place, Duration, std::function<void(Status)> task) override {
    probed.emplace_back(place, std::move(task));
  }
};

}  // namespace safekit::fake
