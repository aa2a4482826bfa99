#include "controllers/simulate/ports.h"

#include <fmt/format.h>

namespace safekit::sim {
namespace {

constexpr Duration kTurn = microseconds{20};  ///< until a posted task runs

/// What the disk still had of each is back, or not: some of it may have been written by itself.
template <class Map>
void take_back(World& world, Map& now, std::map<std::string, std::optional<std::string>>& before) {
  for (auto& [key, value] : before) {
    if (world.chance(50)) continue;
    if (value) now[key] = std::move(*value);
    else now.erase(key);
  }
  before.clear();
}

}  // namespace

void SimLoop::post(Task task) {
  // In the order posted.
  last_post_ = std::max(last_post_, world_.now() + kTurn.count());
  standstill_.after(Duration{last_post_ - world_.now()}, std::move(task));
}

TimerId SimLoop::after(Duration delay, Task task) {
  const TimerId id = ++last_id_;
  timers_.emplace(id, std::move(task));
  standstill_.after(clock_.world_time(std::max(delay, kTurn)), [this, id] {
    const auto found = timers_.find(id);
    if (found == timers_.end()) return;
    const Task due = std::move(found->second);
    timers_.erase(found);
    due();
  });
  return id;
}

Result<std::string> SimFiles::read(const std::string& path) {
  const auto found = files_.find(path);
  if (found == files_.end()) return Error{Code::NotFound, "no file '" + path + "'"};
  return found->second;
}

Status SimFiles::replace(const std::string& path, std::string_view text, std::uint32_t) {
  files_[path] = std::string{text};
  unsynced_.erase(path);
  return {};
}

Status SimFiles::put(const std::string& path, std::string_view text, std::uint32_t) {
  const auto found = files_.find(path);
  unsynced_.try_emplace(path, found == files_.end() ? std::nullopt : std::optional{found->second});
  files_[path] = std::string{text};
  return {};
}

Result<std::vector<FileInfo>> SimFiles::list(const std::string& directory) {
  std::vector<FileInfo> found;
  const std::string prefix = directory + "/";
  for (auto one = files_.lower_bound(prefix); one != files_.end() && one->first.starts_with(prefix); ++one) {
    if (one->first.find('/', prefix.size()) == std::string::npos) found.push_back({one->first.substr(prefix.size()), one->second.size()});
  }
  return found;
}

Status SimFiles::truncate(const std::string& path) { return put(path, "", 0); }

Status SimFiles::remove(const std::string& path) {
  files_.erase(path);
  unsynced_.erase(path);
  return {};
}

Status SimFiles::remove_tree(const std::string& path) {
  std::erase_if(files_, [&](const auto& one) { return one.first.starts_with(path + "/"); });
  std::erase_if(unsynced_, [&](const auto& one) { return one.first.starts_with(path + "/"); });
  return {};
}

/// A file that was written and not synced is as it was before, or torn: it ends somewhere.
void SimFiles::lose_power() {
  for (const auto& [path, before] : unsynced_) {
    const auto now = files_.find(path);
    if (now != files_.end() && world_.chance(25)) now->second.resize(world_.below(now->second.size() + 1));
  }
  take_back(world_, files_, unsynced_);
}

store::Snapshot SimBackend::load() {
  store::Snapshot snapshot{.facts = facts_, .relaxed_facts = relaxed_, .revision_limit = revision_limit_, .next_operation = next_operation_};
  for (const auto& [key, stored] : objects_) snapshot.objects.push_back(stored);
  for (const auto& [id, operation] : operations_) snapshot.operations.push_back(operation);
  return snapshot;
}

Status SimBackend::commit(const store::Batch& batch) {
  if (full_) return Error{Code::Exhausted, "the disk of the state directory is full"};
  for (const auto& change : batch.objects) objects_[change.stored.object.key] = change.stored;
  for (const store::ObjectKey& key : batch.forgotten) objects_.erase(key);
  for (const store::Operation& operation : batch.operations) operations_[operation.id] = operation;
  for (const std::uint64_t id : batch.finished) operations_.erase(id);
  for (const auto& [key, value] : batch.facts) {
    if (forgets_commits) {
      const auto old = facts_.find(key);
      unsynced_facts_.try_emplace(key, old == facts_.end() ? std::nullopt : std::optional{old->second});
    }
    if (value) facts_[key] = *value;
    else facts_.erase(key);
  }
  if (batch.revision_limit) revision_limit_ = *batch.revision_limit;
  if (batch.next_operation) next_operation_ = *batch.next_operation;
  return {};
}

Status SimBackend::put_fact(const std::string& key, const std::optional<std::string>& value) {
  if (full_) return Error{Code::Exhausted, "the disk of the state directory is full"};
  const auto old = relaxed_.find(key);
  unsynced_.try_emplace(key, old == relaxed_.end() ? std::nullopt : std::optional{old->second});
  if (value) relaxed_[key] = *value;
  else relaxed_.erase(key);
  if (world_.chance(5)) unsynced_.clear();
  return {};
}

Status SimBackend::append(const status::Event& event) {
  if (told_) told_(event);
  return {};
}

Status SimBackend::keep_finished(const store::Operation& operation) {
  finished_[operation.id] = operation;
  return {};
}

std::optional<store::Operation> SimBackend::finished(std::uint64_t id) {
  const auto found = finished_.find(id);
  return found == finished_.end() ? std::nullopt : std::optional{found->second};
}

void SimBackend::lose_power() {
  take_back(world_, relaxed_, unsynced_);
  take_back(world_, facts_, unsynced_facts_);
  full_ = false;
}

Result<ProcessIdentity> SimProcesses::start(const ProcessSpec& spec, ExitTask on_exit) {
  std::string arguments;
  for (const std::string& word : spec.argv) arguments += (arguments.empty() ? "" : " ") + word;
  const std::string& program = spec.argv.front();
  const ProcessIdentity identity = add(program.substr(program.rfind('/') + 1).substr(0, 15), arguments);
  exits_[identity.pid] = std::move(on_exit);
  begin(identity, spec);
  return identity;
}

ProcessIdentity SimProcesses::add(const std::string& command, const std::string& arguments) {
  ProcessInfo info;
  info.identity = {.pid = ++last_pid_, .start_ticks = static_cast<std::uint64_t>(last_pid_)};
  info.parent = 1;
  info.command = command;
  info.arguments = arguments;
  running_[last_pid_] = info;
  return info.identity;
}

Status SimProcesses::signal(ProcessIdentity process, int number) {
  if (is_running(process)) {
    world_.after(microseconds{50}, [this, process, number] {
      if (is_running(process)) signalled(process, number);
    });
  }
  return {};
}

Result<std::vector<ProcessInfo>> SimProcesses::list() {
  std::vector<ProcessInfo> all;
  for (const auto& [pid, info] : running_) all.push_back(info);
  return all;
}

Result<ProcessInfo> SimProcesses::look(std::int32_t pid) {
  const auto found = running_.find(pid);
  if (found == running_.end()) return Error{Code::NotFound, "no such process"};
  return found->second;
}

bool SimProcesses::is_running(ProcessIdentity process) const {
  const auto found = running_.find(process.pid);
  return found != running_.end() && found->second.identity == process;
}

Result<std::uint64_t> SimProcesses::watch_exit(ProcessIdentity process, std::function<void()> task) {
  watches_[++last_watch_] = {process.pid, std::move(task)};
  if (!is_running(process) && loop_ != nullptr) {
    loop_->post([this, id = last_watch_] {
      if (const auto found = watches_.find(id); found != watches_.end()) {
        const auto due = std::move(found->second.task);
        watches_.erase(found);
        due();
      }
    });
  }
  return last_watch_;
}

void SimProcesses::end(ProcessIdentity process, const ExitStatus& status) {
  if (!is_running(process)) return;
  running_.erase(process.pid);
  if (loop_ == nullptr) return;
  if (auto node = exits_.extract(process.pid); !node.empty() && node.mapped()) {
    loop_->post([task = std::move(node.mapped()), status] { task(status); });
  }
  std::vector<std::uint64_t> due;
  for (const auto& [id, watch] : watches_) {
    if (watch.pid == process.pid) due.push_back(id);
  }
  for (const std::uint64_t id : due) {
    loop_->post([task = std::move(watches_[id].task)] { task(); });
    watches_.erase(id);
  }
}

void SimProcesses::set_loop(SimLoop* loop) {
  loop_ = loop;
  exits_.clear();
  watches_.clear();
}

void SimProcesses::lose_power() {
  running_.clear();
  set_loop(nullptr);
}

}  // namespace safekit::sim
