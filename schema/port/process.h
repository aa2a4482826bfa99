#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/result.h"

namespace safekit {

/// What to start. The argument vector is never given to a shell.
struct ProcessSpec {
  std::vector<std::string> argv{};         ///< argv[0] is an absolute path
  std::vector<std::string> environment{};  ///< NAME=value, complete: nothing is inherited
  std::string directory{"/"};
  std::string output_path{};  ///< standard output and error are appended here; empty: /dev/null
  bool new_session{true};     ///< its own session and process group, so that it survives us and can be signalled whole
};

/// A process that cannot be mistaken for a later one with the same number.
struct ProcessIdentity {
  std::int32_t pid{0};
  std::uint64_t start_ticks{0};  ///< field 22 of /proc/PID/stat: clock ticks after boot
  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// One running process as `ps` would show it.
struct ProcessInfo {
  ProcessIdentity identity{};
  std::int32_t parent{0};
  std::string command{};    ///< /proc/PID/comm, at most 15 bytes
  std::string arguments{};  ///< the command line joined by blanks
  friend bool operator==(const ProcessInfo&, const ProcessInfo&) = default;
};

/// That something happened to a process of this node, whoever started it. What it is now `look` tells.
struct ProcessEvent {
  enum class Kind {
    Forked,   ///< it is what its parent was
    Changed,  ///< another program, or another name
    Ended,
    Lost,  ///< some events were: only `list` tells
  };
  Kind kind{Kind::Changed};
  std::int32_t pid{0};
  std::int32_t parent{0};  ///< of Forked
  friend bool operator==(const ProcessEvent&, const ProcessEvent&) = default;
};

/// How a process ended. Exactly one of the two is set; neither, where only the end itself could be seen.
struct ExitStatus {
  std::optional<int> code{};
  std::optional<int> signal{};
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// Starts, signals and watches processes. Thread: the loop's.
class Processes {
 public:
  using ExitTask = std::function<void(const ExitStatus&)>;
  using EventTask = std::function<void(const std::vector<ProcessEvent>&)>;
  virtual ~Processes() = default;
  /// `on_exit` runs once on the loop. Errors: NotFound when argv[0] is missing or not executable, Io otherwise.
  virtual Result<ProcessIdentity> start(const ProcessSpec& spec, ExitTask on_exit) = 0;
  /// Signals the whole process group of a process started with `new_session`. A process that is gone is fine.
  virtual Status signal_group(ProcessIdentity process, int signal) = 0;
  virtual Status signal(ProcessIdentity process, int signal) = 0;
  /// All processes of this node. Errors: Io when /proc cannot be read.
  virtual Result<std::vector<ProcessInfo>> list() = 0;
  [[nodiscard]] virtual bool is_running(ProcessIdentity process) const = 0;
  /// Tells once when a process that we need not have started has ended (pidfd). The task runs soon also when it has
  /// ended already. Returns an id for `unwatch_exit`.
  virtual Result<std::uint64_t> watch_exit(ProcessIdentity process, std::function<void()> task) = 0;
  virtual void unwatch_exit(std::uint64_t id) = 0;
  /// One of `list`. Errors: NotFound when there is none, or only its zombie.
  virtual Result<ProcessInfo> look(std::int32_t pid) = 0;
  /// The task hears of all processes from now on; one task at a time. Errors: where the kernel does not tell us (no privilege, a
  /// network namespace of our own). In a PID namespace of our own it may keep silent without an error.
  virtual Status watch_events(EventTask task) = 0;
  virtual void unwatch_events() = 0;
};

}  // namespace safekit
