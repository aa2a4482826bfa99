#pragma once

#include <deque>

#include "reconciler/store/backend.h"

namespace safekit::store {

/// Keeps everything in memory; a store made on it again finds what the last one left.
class MemoryBackend final : public Backend {
 public:
  [[nodiscard]] Snapshot load() override;
  Status commit(const Batch& batch) override;
  Status put_fact(const std::string& key, const std::optional<std::string>& value) override;
  Status append(const status::Event& event) override;
  [[nodiscard]] std::vector<status::Event> events(const ModuleName& module, std::size_t last, bool verbose) override;
  Status keep_finished(const Operation& operation) override;
  [[nodiscard]] std::optional<Operation> finished(std::uint64_t id) override;

  /// From now on writes fail with Exhausted, the relaxed ones first: a disk that fills.
  void refuse(bool relaxed, bool durable) {
    refuse_relaxed_ = relaxed;
    refuse_durable_ = durable;
  }

 private:
  std::map<ObjectKey, StoredObject> objects_{};
  std::map<std::uint64_t, Operation> operations_{};
  std::map<std::string, std::string> facts_{};
  std::map<std::string, std::string> relaxed_facts_{};
  std::uint64_t revision_limit_{0};
  std::uint64_t next_operation_{1};
  std::map<ModuleName, std::deque<status::Event>> events_{};
  std::map<std::uint64_t, Operation> finished_{};
  bool refuse_relaxed_{false};
  bool refuse_durable_{false};
};

}  // namespace safekit::store
