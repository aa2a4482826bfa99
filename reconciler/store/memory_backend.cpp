#include "reconciler/store/memory_backend.h"

#include <algorithm>

namespace safekit::store {
namespace {

Status disk_full() { return Error{Code::Exhausted, "the disk of the state directory is full"}; }

}  // namespace

Snapshot MemoryBackend::load() {
  Snapshot snapshot{.facts = facts_, .relaxed_facts = relaxed_facts_, .revision_limit = revision_limit_, .next_operation = next_operation_};
  for (const auto& [key, stored] : objects_) snapshot.objects.push_back(stored);
  for (const auto& [id, operation] : operations_) snapshot.operations.push_back(operation);
  return snapshot;
}

Status MemoryBackend::commit(const Batch& batch) {
  if (refuse_durable_) return disk_full();
  for (const Batch::ObjectChange& change : batch.objects) objects_[change.stored.object.key] = change.stored;
  for (const ObjectKey& key : batch.forgotten) objects_.erase(key);
  for (const Operation& operation : batch.operations) operations_[operation.id] = operation;
  for (const std::uint64_t id : batch.finished) operations_.erase(id);
  for (const auto& [key, value] : batch.facts) {
    if (value) facts_[key] = *value;
    else facts_.erase(key);
  }
  if (batch.revision_limit) revision_limit_ = *batch.revision_limit;
  if (batch.next_operation) next_operation_ = *batch.next_operation;
  return {};
}

Status MemoryBackend::put_fact(const std::string& key, const std::optional<std::string>& value) {
  if (refuse_relaxed_) return disk_full();
  if (value) relaxed_facts_[key] = *value;
  else relaxed_facts_.erase(key);
  return {};
}

Status MemoryBackend::append(const status::Event& event) {
  if (refuse_relaxed_) return disk_full();
  auto& of_module = events_[event.module];
  of_module.push_back(event);
  if (of_module.size() > kEventsMaxPerModule) of_module.pop_front();
  return {};
}

std::vector<status::Event> MemoryBackend::events(const ModuleName& module, std::size_t last, bool verbose) {
  std::vector<status::Event> found;
  const auto& of_module = events_[module];
  for (auto it = of_module.rbegin(); it != of_module.rend() && found.size() < last; ++it) {
    if (verbose || is_short_log(it->level)) found.push_back(*it);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

Status MemoryBackend::keep_finished(const Operation& operation) {
  if (refuse_relaxed_) return disk_full();
  finished_[operation.id] = operation;
  if (finished_.size() > kFinishedMax) finished_.erase(finished_.begin());
  return {};
}

std::optional<Operation> MemoryBackend::finished(std::uint64_t id) {
  const auto found = finished_.find(id);
  if (found == finished_.end()) return std::nullopt;
  return found->second;
}

}  // namespace safekit::store
