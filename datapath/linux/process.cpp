#include "datapath/linux/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>

#define BOOST_PROCESS_USE_STD_FS
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <boost/asio/io_context.hpp>
#include <boost/core/exchange.hpp>  // process.hpp of Boost 1.81 uses these three without including them
#include <boost/optional.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/type_traits.hpp>
#pragma GCC diagnostic pop

#include <fmt/format.h>

#include "datapath/linux/files.h"

namespace safekit::linux_os {
namespace {

namespace process = boost::process::v2;
using boost::system::error_code;

constexpr std::size_t kArgumentBytesMax = 4096;  // of a foreign process, as shown and matched

Fd open_pidfd(std::int32_t pid) {
  return Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
}

struct StatLine {
  char state{'?'};
  std::int32_t parent{0};
  std::int32_t threads{0};
  std::uint64_t start_ticks{0};
  std::string command{};
};

/// /proc/PID/stat; the command may hold blanks and brackets, so the fields are counted from the last ')'.
Result<StatLine> read_stat(std::int32_t pid) {
  SK_TRY(const auto text, read_file(fmt::format("/proc/{}/stat", pid)));
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 >= text.size()) {
    return Error{Code::Corrupt, fmt::format("'/proc/{}/stat' cannot be read", pid)};
  }
  StatLine line{.command = text.substr(open + 1, close - open - 1)};
  std::string_view rest = std::string_view{text}.substr(close + 2);
  for (int field = 3; field <= 22; ++field) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (field == 3) line.state = word.front();
    if (field == 4) std::from_chars(word.data(), word.data() + word.size(), line.parent);
    if (field == 20) std::from_chars(word.data(), word.data() + word.size(), line.threads);
    if (field == 22) std::from_chars(word.data(), word.data() + word.size(), line.start_ticks);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  return line;
}

/// The first thread of a process may be a zombie while another one has still to come back from its disk.
bool has_ended(const StatLine& line) {
  return (line.state == 'Z' || line.state == 'X' || line.state == 'x') && line.threads <= 1;
}

/// What Boost.Process runs in the child between fork and exec: only system calls.
struct ChildSetup {
  const ProcessSpec& spec;
  int input;
  int output;

  template <class Launcher>
  error_code on_exec_setup(Launcher&, const std::filesystem::path&, const char* const*) {
    if (prepare()) return {};
    return error_code{errno, boost::system::system_category()};
  }
  // The library asks for a callback of five arguments and then calls one of four. Without it the child would
  // run the exit handlers and destructors of the daemon.
  template <class Launcher>
  void on_exec_error(Launcher&, const error_code&, const std::filesystem::path&, const char* const*,
                     const error_code&);
  template <class Launcher>
  void on_exec_error(Launcher&, const std::filesystem::path&, const char* const*, const error_code&) {
    ::_exit(127);
  }

 private:
  [[nodiscard]] bool prepare() const {
    if (spec.new_session && ::setsid() < 0) return false;
    if (::chdir(spec.directory.c_str()) != 0) return false;
    if (::dup2(input, STDIN_FILENO) < 0) return false;
    if (::dup2(output, STDOUT_FILENO) < 0) return false;
    if (::dup2(output, STDERR_FILENO) < 0) return false;
    // Boost 1.81 closes only what lies above its own error pipe, not what lies between 2 and that pipe.
    if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return false;
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number)
      (void)::sigaction(number, &standard, nullptr);  // some are reserved
    sigset_t none;
    ::sigemptyset(&none);
    return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
  }
};

Result<std::int32_t> launch(const ProcessSpec& spec) {
  const Fd input{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const bool kept = !spec.output_path.empty();
  const Fd output{kept ? ::open(spec.output_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640)
                       : ::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  if (!input || !output)
    return error_of(errno, fmt::format("open '{}'", kept ? spec.output_path : "/dev/null"));
  std::vector<const char*> environment;
  for (const std::string& entry : spec.environment) environment.push_back(entry.c_str());
  environment.push_back(nullptr);
  try {
    boost::asio::io_context context{1};  // the launcher wants one; our own pidfd tells the end
    process::posix::default_launcher launcher;
    launcher.env = environment.data();
    error_code error;
    const std::vector<std::string> arguments{spec.argv.begin() + 1, spec.argv.end()};
    auto child = launcher(context.get_executor(), error, std::filesystem::path{spec.argv.front()}, arguments,
                          ChildSetup{spec, input.get(), output.get()});
    if (error) {
      if (launcher.pid > 0) (void)::waitpid(launcher.pid, nullptr, 0);  // it has ended: its pipe said so
      const bool missing = error.value() == ENOENT || error.value() == EACCES || error.value() == ENOEXEC;
      return Error{missing ? Code::NotFound : Code::Io,
                   fmt::format("start '{}': {}", spec.argv.front(), error.message())};
    }
    (void)child.detach();  // else its destructor kills the process
    return launcher.pid;
  } catch (const std::exception& thrown) {
    return Error{Code::Io, fmt::format("start '{}': {}", spec.argv.front(), thrown.what())};
  }
}

}  // namespace

Result<ProcessIdentity> identify(std::int32_t pid) {
  SK_TRY(const auto line, read_stat(pid));
  if (has_ended(line)) return Error{Code::NotFound, fmt::format("process {} has ended", pid)};
  return ProcessIdentity{.pid = pid, .start_ticks = line.start_ticks};
}

SystemProcesses::~SystemProcesses() {
  for (const auto& [id, watch] : watches_) loop_.unwatch(watch.watcher);
}

Result<ProcessIdentity> SystemProcesses::start(const ProcessSpec& spec, ExitTask on_exit) {
  if (spec.argv.empty() || !spec.argv.front().starts_with('/')) {
    return Error{Code::Invalid, "a program is named by its absolute path"};
  }
  SK_TRY(const std::int32_t pid, launch(spec));
  // Not yet waited for, so the number is still its own, also when it has ended already.
  Fd pidfd = open_pidfd(pid);
  SK_ASSERT(pidfd);
  const auto line = read_stat(pid);
  SK_ASSERT(line);
  watch_pidfd(std::move(pidfd), [pid, on_exit = std::move(on_exit)] {
    int status = 0;
    ExitStatus exit;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      if (WIFEXITED(status)) exit.code = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
    }
    if (on_exit) on_exit(exit);
  });
  return ProcessIdentity{.pid = pid, .start_ticks = line->start_ticks};
}

Status SystemProcesses::signal(ProcessIdentity process, int signal) {
  const Fd pidfd =
      open_pidfd(process.pid);  // first the handle, then the check: it cannot change owner in between
  if (!pidfd)
    return errno == ESRCH ? Status{} : error_of(errno, fmt::format("signal process {}", process.pid));
  if (!is_running(process)) return {};
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    return error_of(errno, fmt::format("signal process {}", process.pid));
  }
  return {};
}

Status SystemProcesses::signal_group(ProcessIdentity process, int signal) {
  // The leader may have ended and its children live on. The kernel gives a number to no new process while a
  // group of that number exists, so a leader that is gone means the group it left behind, or none.
  const auto leader = read_stat(process.pid);
  if (leader && leader->start_ticks != process.start_ticks) return {};
  if (process.pid <= 1) return Error{Code::Invalid, fmt::format("{} is no process group", process.pid)};
  if (::kill(-process.pid, signal) != 0 && errno != ESRCH) {
    return error_of(errno, fmt::format("signal process group {}", process.pid));
  }
  return {};
}

Result<std::vector<ProcessInfo>> SystemProcesses::list() {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream{::opendir("/proc"), &::closedir};
  if (!stream) return error_of(errno, "list '/proc'");
  std::vector<ProcessInfo> all;
  for (const dirent* entry = ::readdir(stream.get()); entry != nullptr; entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    std::int32_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) continue;
    auto info = look(pid);
    if (info) all.push_back(std::move(*info));
  }
  return all;
}

Result<ProcessInfo> SystemProcesses::look(std::int32_t pid) {
  SK_TRY(auto line, read_stat(pid));
  if (has_ended(line)) return Error{Code::NotFound, fmt::format("process {} has ended", pid)};
  ProcessInfo info{.identity = {.pid = pid, .start_ticks = line.start_ticks},
                   .parent = line.parent,
                   .command = std::move(line.command)};
  const Fd file{::open(fmt::format("/proc/{}/cmdline", pid).c_str(), O_RDONLY | O_CLOEXEC)};
  char words[kArgumentBytesMax];
  const ssize_t got = file ? ::read(file.get(), words, sizeof words) : 0;
  if (got > 0) info.arguments.assign(words, static_cast<std::size_t>(got));
  while (!info.arguments.empty() && info.arguments.back() == '\0') info.arguments.pop_back();
  std::ranges::replace(info.arguments, '\0', ' ');
  return info;
}

bool SystemProcesses::is_running(ProcessIdentity process) const {
  const auto found = identify(process.pid);
  return found && *found == process;
}

Result<std::uint64_t> SystemProcesses::watch_exit(ProcessIdentity process, std::function<void()> task) {
  Fd pidfd = open_pidfd(process.pid);
  if (pidfd && is_running(process)) return watch_pidfd(std::move(pidfd), std::move(task));
  if (!pidfd && errno != ESRCH && errno != EINVAL)
    return error_of(errno, fmt::format("watch process {}", process.pid));
  const std::uint64_t id = ++last_id_;
  watches_.emplace(id, Watch{});
  loop_.post([this, id, task = std::move(task)] {
    if (watches_.erase(id) == 1) task();
  });
  return id;
}

std::uint64_t SystemProcesses::watch_pidfd(Fd pidfd, std::function<void()> task) {
  const std::uint64_t id = ++last_id_;
  const int descriptor = pidfd.get();
  Watch& watch = watches_[id];
  watch.pidfd = std::move(pidfd);
  watch.watcher = loop_.watch_readable(descriptor, [this, id, task = std::move(task)] {
    const auto run = task;  // unwatch destroys the function that runs now
    unwatch_exit(id);
    run();
  });
  return id;
}

void SystemProcesses::unwatch_exit(std::uint64_t id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  loop_.unwatch(found->second.watcher);
  watches_.erase(found);
}

}  // namespace safekit::linux_os
