#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "schema/port/process.h"

namespace safekit::fake {

/// Processes that live and die as a test says. Tasks run inside `end`, as the loop would run them.
class ScriptedProcesses final : public Processes {
 public:
  std::vector<ProcessSpec> started{};
  std::map<std::int32_t, ProcessInfo> running{};
  std::vector<std::pair<std::int32_t, int>> signals{};  ///< process or group, signal

  Result<ProcessIdentity> start(const ProcessSpec& spec, ExitTask on_exit) override {
    started.push_back(spec);
    ProcessInfo info;
    info.identity = ProcessIdentity{.pid = ++last_pid_, .start_ticks = static_cast<std::uint64_t>(last_pid_)};
    info.command = spec.argv.front().substr(spec.argv.front().rfind('/') + 1).substr(0, 15);
    for (const std::string& word : spec.argv) info.arguments += (info.arguments.empty() ? "" : " ") + word;
    running[last_pid_] = info;
    exit_tasks_[last_pid_] = std::move(on_exit);
    return info.identity;
  }
  Status signal_group(ProcessIdentity process, int number) override {
    signals.emplace_back(process.pid, number);
    return {};
  }
  Status signal(ProcessIdentity process, int number) override { return signal_group(process, number); }
  Result<std::vector<ProcessInfo>> list() override {
    std::vector<ProcessInfo> all;
    for (const auto& [pid, info] : running) all.push_back(info);
    return all;
  }
  [[nodiscard]] bool is_running(ProcessIdentity process) const override {
    const auto found = running.find(process.pid);
    return found != running.end() && found->second.identity == process;
  }
  Result<std::uint64_t> watch_exit(ProcessIdentity process, std::function<void()> task) override {
    watches_[++last_watch_] = {process.pid, std::move(task)};
    return last_watch_;
  }
  void unwatch_exit(std::uint64_t id) override { watches_.erase(id); }
  Result<ProcessInfo> look(std::int32_t pid) override {
    const auto found = running.find(pid);
    if (found == running.end()) return Error{Code::NotFound, "no such process"};
    return found->second;
  }
  Status watch_events(EventTask task) override {
    if (!tells_events) return Error{Code::Unsupported, "no process events"};
    on_events_ = std::move(task);
    return {};
  }
  void unwatch_events() override { on_events_ = nullptr; }
  bool tells_events{false};
  void tell(const std::vector<ProcessEvent>& events) {
    if (on_events_) on_events_(events);
  }
  [[nodiscard]] bool is_heard() const { return on_events_ != nullptr; }

  /// A process that we did not start.
  ProcessIdentity add(const std::string& command, const std::string& arguments, std::int32_t parent = 1) {
    ProcessInfo info;
    info.identity = ProcessIdentity{.pid = ++last_pid_, .start_ticks = static_cast<std::uint64_t>(last_pid_)};
    info.parent = parent;
    info.command = command;
    info.arguments = arguments;
    running[last_pid_] = info;
    return info.identity;
  }
  void end(std::int32_t pid, const ExitStatus& status) {
    running.erase(pid);
    std::vector<std::function<void()>> tasks;
    for (auto it = watches_.begin(); it != watches_.end();) {
      if (it->second.pid == pid) {
        tasks.push_back(std::move(it->second.task));
        it = watches_.erase(it);
      } else {
        ++it;
      }
    }
    if (const auto found = exit_tasks_.find(pid); found != exit_tasks_.end()) {
      const ExitTask task = std::move(found->second);
      exit_tasks_.erase(found);
      if (task) task(status);
    }
    for (const auto& task : tasks) task();
  }
  /// The daemon that held these callbacks was killed; the processes go on.
  void forget_callbacks() {
    exit_tasks_.clear();
    watches_.clear();
    on_events_ = nullptr;
  }
  [[nodiscard]] std::size_t watch_count() const { return watches_.size(); }

 private:
  struct Watch {
    std::int32_t pid{0};
    std::function<void()> task{};
  };
  std::int32_t last_pid_{100};
  std::uint64_t last_watch_{0};
  std::map<std::int32_t, ExitTask> exit_tasks_{};
  std::map<std::uint64_t, Watch> watches_{};
  EventTask on_events_{};
};

}  // namespace safekit::fake
