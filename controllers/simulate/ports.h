#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "controllers/simulate/standstill.h"
#include "reconciler/store/backend.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/log.h"
#include "schema/port/loop.h"
#include "schema/port/power.h"
#include "schema/port/process.h"

/// Faulty forms of the ports of one node. All that a power loss takes is taken by `lose_power`.
namespace safekit::sim {

/// CLOCK_BOOTTIME begins at 0 with each boot and drifts; the wall's drifts too and jumps.
class SimClock final : public Clock {
 public:
  SimClock(const World& world, std::int64_t drift_ppm) : world_(world), drift_ppm_(drift_ppm) {}
  [[nodiscard]] MonoTime mono_now() const override { return {local(world_.now() - booted_)}; }
  [[nodiscard]] WallTime wall_now() const override { return {1'700'000'000'000'000'000 + wall_offset_ + local(world_.now())}; }
  /// How long the world waits for what this node takes for `local`.
  [[nodiscard]] Duration world_time(Duration local) const { return Duration{local.count() - local.count() / 1'000'000 * drift_ppm_}; }
  void boot() { booted_ = world_.now(); }
  void jump(Duration by) { wall_offset_ += by.count(); }

 private:
  [[nodiscard]] std::int64_t local(std::int64_t ns) const { return ns + ns / 1'000'000 * drift_ppm_; }
  const World& world_;
  std::int64_t drift_ppm_;
  std::int64_t booted_{0};
  std::int64_t wall_offset_{0};
};

/// The loop of one life of safekitd; what was posted dies with it. While it is paused nothing runs.
class SimLoop final : public Loop {
 public:
  SimLoop(World& world, const SimClock& clock) : world_(world), clock_(clock), standstill_(world) {}
  void post(Task task) override;
  TimerId after(Duration delay, Task task) override;
  void cancel(TimerId id) override { timers_.erase(id); }
  WatcherId watch_readable(int, Task) override { return ++last_id_; }
  void unwatch(WatcherId) override {}
  void on_signal(int, Task) override {}
  void run() override {}
  void stop() override {}
  void pause(Duration how_long) { standstill_.pause(how_long); }
  [[nodiscard]] bool is_paused() const { return standstill_.is_paused(); }

 private:
  World& world_;
  const SimClock& clock_;
  std::map<TimerId, Task> timers_{};
  std::uint64_t last_id_{0};
  std::int64_t last_post_{0};
  Standstill standstill_;
};

/// Small files. `put` is on the disk some time later, if the power stays: else the file is old or torn.
class SimFiles final : public Files {
 public:
  explicit SimFiles(World& world) : world_(world) {}
  Result<std::string> read(const std::string& path) override;
  Status replace(const std::string& path, std::string_view text, std::uint32_t mode) override;
  Status put(const std::string& path, std::string_view text, std::uint32_t mode) override;
  Result<std::vector<FileInfo>> list(const std::string& directory) override;
  Status make_directories(const std::string&) override { return {}; }
  Status truncate(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  void lose_power();

 private:
  World& world_;
  std::map<std::string, std::string> files_{};
  std::map<std::string, std::optional<std::string>> unsynced_{};  ///< what was on the disk before; nothing: no file
};

/// The store's disk: what `commit` took is on it; of the relaxed facts the last ones may be lost with the power.
class SimBackend final : public store::Backend {
 public:
  explicit SimBackend(World& world) : world_(world) {}
  [[nodiscard]] store::Snapshot load() override;
  Status commit(const store::Batch& batch) override;
  Status put_fact(const std::string& key, const std::optional<std::string>& value) override;
  Status append(const status::Event& event) override;
  [[nodiscard]] std::vector<status::Event> events(const ModuleName&, std::size_t, bool) override { return {}; }
  Status keep_finished(const store::Operation& operation) override;
  [[nodiscard]] std::optional<store::Operation> finished(std::uint64_t id) override;
  void lose_power();
  void fill(bool full) { full_ = full; }
  void on_event(std::function<void(const status::Event&)> task) { told_ = std::move(task); }
  bool forgets_commits{false};  ///< a planted defect: facts are not synced

 private:
  World& world_;
  std::map<store::ObjectKey, store::StoredObject> objects_{};
  std::map<std::uint64_t, store::Operation> operations_{};
  std::map<std::string, std::string> facts_{};
  std::map<std::string, std::string> relaxed_{};
  std::map<std::string, std::optional<std::string>> unsynced_{};  ///< relaxed facts as the disk still has them
  std::map<std::string, std::optional<std::string>> unsynced_facts_{};
  std::uint64_t revision_limit_{0};
  std::uint64_t next_operation_{1};
  std::map<std::uint64_t, store::Operation> finished_{};
  bool full_{false};
  std::function<void(const status::Event&)> told_{};
};

class NoLog final : public Log {
 public:
  void write(LogLevel, std::string_view, std::string_view) override {}
};

/// No module here asks for a reboot.
class NoPower final : public Power {
 public:
  void reboot(std::function<void(const Error&)> failed) override { failed(Error{Code::Denied, "no reboot here"}); }
};

/// The processes of one node. What a program does is the node's `begin`; it ends by `end`.
class SimProcesses final : public Processes {
 public:
  explicit SimProcesses(World& world) : world_(world) {}
  std::function<void(ProcessIdentity, const ProcessSpec&)> begin{};
  std::function<void(ProcessIdentity, int)> signalled{};

  Result<ProcessIdentity> start(const ProcessSpec& spec, ExitTask on_exit) override;
  Status signal_group(ProcessIdentity process, int number) override { return signal(process, number); }
  Status signal(ProcessIdentity process, int number) override;
  Result<std::vector<ProcessInfo>> list() override;
  [[nodiscard]] bool is_running(ProcessIdentity process) const override;
  Result<std::uint64_t> watch_exit(ProcessIdentity process, std::function<void()> task) override;
  void unwatch_exit(std::uint64_t id) override { watches_.erase(id); }
  Result<ProcessInfo> look(std::int32_t pid) override;
  /// As on a kernel that does not tell: pidfds and polls find all.
  Status watch_events(EventTask) override { return Error{Code::Unsupported, "no process events here"}; }
  void unwatch_events() override {}

  /// One that safekitd did not start.
  ProcessIdentity add(const std::string& command, const std::string& arguments);
  void end(ProcessIdentity process, const ExitStatus& status);
  void set_loop(SimLoop* loop);  ///< a new safekitd, or none: callbacks of the old one are forgotten
  void lose_power();

 private:
  struct Watch {
    std::int32_t pid{0};
    std::function<void()> task{};
  };
  World& world_;
  SimLoop* loop_{nullptr};  ///< of the safekitd that hears of ends; null while there is none
  std::map<std::int32_t, ProcessInfo> running_{};
  std::map<std::int32_t, ExitTask> exits_{};
  std::map<std::uint64_t, Watch> watches_{};
  std::int32_t last_pid_{100};
  std::uint64_t last_watch_{0};
};

}  // namespace safekit::sim
