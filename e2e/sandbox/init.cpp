#include "e2e/sandbox/init.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

#include "e2e/sandbox/mounts.h"
#include "e2e/sandbox/process.h"
#include "e2e/sandbox/state.h"

namespace safekit::sandbox {

namespace {

constexpr Duration kRestartDelayMin = milliseconds(100);
constexpr Duration kRestartDelayMax = seconds(5);
constexpr Duration kRunsWell = seconds(10);  ///< after so long the next restart is quick again

MonoTime now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return {std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec};
}

void log(const std::string& text) {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  const std::string stamp = to_log_string({std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec});
  ::dprintf(STDERR_FILENO, "%s init: %s\n", stamp.c_str(), text.c_str());
}

/// The one daemon of a node. `log_file` stays open: the log directory may be hidden by a private path.
class Daemon {
 public:
  Daemon(std::vector<std::string> argv, Fd log_file)
      : argv_(std::move(argv)), log_file_(std::move(log_file)) {}

  void start_when_due() {
    if (argv_.empty() || pid_ != 0 || now() < due_) return;
    started_ = now();
    pid_ = ::fork();
    if (pid_ != 0) return log(fmt::format("daemon {} started as {}", argv_.front(), pid_));
    ::setsid();
    sigset_t none{};
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(log_file_.get(), STDOUT_FILENO);
    ::dup2(log_file_.get(), STDERR_FILENO);
    std::vector<char*> list{};
    for (std::string& word : argv_) list.push_back(word.data());
    list.push_back(nullptr);
    ::execv(list.front(), list.data());
    ::perror(list.front());
    ::_exit(127);
  }

  void ended(pid_t pid, int status) {
    if (pid != pid_) return;
    pid_ = 0;
    delay_ = now() - started_ > kRunsWell ? kRestartDelayMin : std::min(delay_ * 2, kRestartDelayMax);
    due_ = now() + delay_;
    log(fmt::format("daemon ended, {} {}; started again in {}", WIFSIGNALED(status) ? "signal" : "code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), to_string(delay_)));
  }

  /// How long PID 1 may wait for a signal.
  [[nodiscard]] timespec wait() const {
    const Duration left =
        argv_.empty() || pid_ != 0 ? Duration(hours(1)) : std::max(due_ - now(), Duration(0));
    return {.tv_sec = left.count() / 1'000'000'000, .tv_nsec = left.count() % 1'000'000'000};
  }

 private:
  std::vector<std::string> argv_;
  Fd log_file_;
  pid_t pid_{0};
  MonoTime started_{};
  MonoTime due_{};
  Duration delay_{kRestartDelayMin / 2};
};

/// Nothing of the caller's but what a sanitizer is told: where the daemons' reports go.
void set_environment(const std::string& node) {
  std::map<std::string, std::string> kept;
  for (const char* name : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = ::getenv(name)) kept[name] = value;
  }
  ::clearenv();
  for (const auto& [name, value] : kept) ::setenv(name.c_str(), value.c_str(), 1);
  ::setenv("PATH", node_path().c_str(), 1);
  ::setenv("HOME", "/root", 1);
  ::setenv("LANG", "C.UTF-8", 1);
  ::setenv("HOSTNAME", node.c_str(), 1);
}

Result<Daemon> enter_node(const std::filesystem::path& directory, const std::string& node) {
  SK_TRY(const State state, load_state(directory));
  const NodeFiles files{
      .directory = directory / node, .hosts = directory / "hosts", .private_paths = state.private_paths};
  const auto log_path = files.directory / "log" / "safekitd.log";
  Fd log_file(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log_file) return system_error(log_path.string());
  if (::sethostname(node.c_str(), node.size()) != 0) return system_error("sethostname");
  SK_TRY_VOID(enter_node_files(files));
  if (::chdir("/") != 0) return system_error("chdir");
  set_environment(node);
  std::vector<std::string> argv = node == kClientName ? std::vector<std::string>{} : state.daemon;
  if (!argv.empty())
    argv.insert(argv.end(), {"--node", node, "--state-dir", "/var/lib/safekit", "--run-dir", "/run/safekit"});
  return Daemon(std::move(argv), std::move(log_file));
}

}  // namespace

int run_init(const std::filesystem::path& directory, const std::string& node) {
  sigset_t handled{};
  ::sigemptyset(&handled);
  ::sigaddset(&handled, SIGCHLD);
  ::sigaddset(&handled, SIGTERM);
  ::sigprocmask(SIG_SETMASK, &handled, nullptr);
  auto daemon = enter_node(directory, node);
  report(daemon ? "" : daemon.error().what);
  if (!daemon) return 1;
  log(fmt::format("node {} is up", node));
  for (;;) {
    daemon->start_when_due();
    const timespec wait = daemon->wait();
    if (::sigtimedwait(&handled, nullptr, &wait) == SIGTERM) return 0;
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) daemon->ended(pid, status);
  }
}

int run_switch() {
  report("");
  for (;;) ::pause();
}

}  // namespace safekit::sandbox
