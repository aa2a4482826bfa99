#include "e2e/sandbox/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace safekit::sandbox {

namespace {

constexpr std::string_view kReady = "ready";
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;
/// First arguments of what is spawned; before its release a process still has those of its maker.
constexpr std::array<std::string_view, 2> kSpawned{"init", "switch"};

/// Field 22 of /proc/PID/stat, or 0 when the process is not there, is a zombie or is not one of ours.
std::uint64_t start_ticks(pid_t pid) {
  const auto text = read_text(fmt::format("/proc/{}/stat", pid));
  if (!text || text->find("(safekit-sandbox)") == std::string::npos) return 0;
  std::istringstream fields(text->substr(text->rfind(')') + 2));
  std::string field{};
  for (int i = 3; i <= 22 && fields >> field; ++i)
    if (i == 3 && (field == "Z" || field == "X")) return 0;
  return std::strtoull(field.c_str(), nullptr, 10);
}

std::vector<char*> pointers(const std::vector<std::string>& argv) {
  std::vector<char*> list{};
  for (const std::string& word : argv) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

Result<Fd> open_process(const Holder& holder) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, holder.pid, 0)));
  if (!fd || !is_alive(holder)) return Error{Code::NotFound, "it is not running"};
  return fd;
}

[[noreturn]] void child_failed(const char* what, int code) {
  ::dprintf(STDERR_FILENO, "safekit-sandbox: %s: %s\n", what, std::strerror(errno));
  ::_exit(code);
}

[[noreturn]] void execute(const std::vector<std::string>& argv) {
  sigset_t none{};
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(argv.front().c_str(), pointers(argv).data());
  child_failed(argv.front().c_str(), errno == ENOENT ? kNotFound : kCannotExecute);
}

/// Forks a child inside the namespaces of `command`; 0 in the child. A PID namespace holds for children only,
/// so the caller enters it for the fork and returns; the others are entered by the child, so that we keep
/// none of them alive.
Result<pid_t> fork_inside(const Command& command) {
  Fd process{};
  if (command.inside.pid != 0) {
    SK_TRY(process, open_process(command.inside));
  }
  Fd home{};
  if ((command.namespaces & CLONE_NEWPID) != 0) {
    home = Fd(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    if (!home || ::setns(process.get(), CLONE_NEWPID) != 0) return system_error("entering the PID namespace");
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int others = command.namespaces & ~CLONE_NEWPID;
    if (others != 0 && ::setns(process.get(), others) != 0) child_failed("setns", kCannotExecute);
    if ((others & CLONE_NEWNS) != 0) ::setenv("PATH", node_path().c_str(), 1);
    return 0;
  }
  const int fork_errno = errno;
  if (home) (void)::setns(home.get(), CLONE_NEWPID);  // our own namespace cannot refuse us
  errno = fork_errno;
  if (pid < 0) return system_error("fork");
  return pid;
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string read_all(int fd) {
  std::string text{};
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

/// The spawned child between clone and exec.
[[noreturn]] void become(const std::vector<std::string>& arguments, const std::string& log, int channel) {
  char go = 0;
  if (::read(channel, &go, 1) != 1) ::_exit(0);
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  if (channel == kReportFd)
    ::fcntl(channel, F_SETFD, 0);  // dup2 onto itself would leave it closed on exec
  else
    ::dup2(channel, kReportFd);
  ::syscall(SYS_close_range, kReportFd + 1, ~0U, 0);
  std::vector<std::string> argv{(program_directory() / "safekit-sandbox").string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  execute(argv);
}

}  // namespace

Error system_error(std::string_view what) {
  return {Code::Io, fmt::format("{}: {}", what, std::strerror(errno))};
}

std::filesystem::path program_directory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::string node_path() {
  return program_directory().string() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

Result<Spawned> spawn(int namespaces, const std::vector<std::string>& arguments,
                      const std::filesystem::path& log) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return system_error("socketpair");
  Fd ours(pair[0]);
  const Fd theirs(pair[1]);
  const long pid = ::syscall(SYS_clone, namespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    ::close(ours.get());  // else our death would not end its wait
    become(arguments, log.string(), theirs.get());
  }
  if (pid < 0) return system_error("making namespaces (this needs root)");
  const Holder holder{.pid = static_cast<pid_t>(pid), .start_ticks = start_ticks(static_cast<pid_t>(pid))};
  return Spawned{.holder = holder, .channel = std::move(ours)};
}

Status release(Spawned& spawned) {
  if (::send(spawned.channel.get(), "g", 1, MSG_NOSIGNAL) != 1) return system_error("starting it");
  const std::string text = read_all(spawned.channel.get());
  spawned.channel = Fd{};
  if (text == kReady) return {};
  return Error{Code::Io, text.empty() ? "it ended at once; see its log" : text};
}

void report(std::string_view error) {
  const std::string_view text = error.empty() ? kReady : error;
  (void)::send(kReportFd, text.data(), text.size(), MSG_NOSIGNAL);  // nobody may be listening any more
  ::close(kReportFd);
}

bool is_alive(const Holder& holder) {
  return holder.pid > 0 && start_ticks(holder.pid) == holder.start_ticks;
}

bool is_running(const Holder& holder) {
  if (holder.ending || !is_alive(holder)) return false;
  const std::string words = read_text(fmt::format("/proc/{}/cmdline", holder.pid)).value_or("");
  return std::any_of(kSpawned.begin(), kSpawned.end(), [&](std::string_view program) {
    return words.find(fmt::format("{0}{1}{0}", '\0', program)) != std::string::npos;
  });
}

Status kill_and_wait(const Holder& holder, Duration limit) {
  const auto process = open_process(holder);
  if (!process) return {};
  (void)::syscall(SYS_pidfd_send_signal, process->get(), SIGKILL, nullptr,
                  0);  // fails only when it is gone already
  pollfd ended{.fd = process->get(), .events = POLLIN, .revents = 0};
  const auto wait_ms = std::chrono::duration_cast<milliseconds>(limit).count();
  if (::poll(&ended, 1, static_cast<int>(wait_ms)) != 1)
    return Error{
        Code::Timeout,
        fmt::format("process '{}' does not end: one of its children hangs in the kernel", holder.pid)};
  (void)::waitpid(holder.pid, nullptr, WNOHANG);  // it is our child only when we started it in this very run
  return {};
}

Result<Completed> run(const Command& command) {
  const Fd input(::memfd_create("input", MFD_CLOEXEC));
  std::array<int, 2> pipe{};
  if (!input || ::pipe2(pipe.data(), O_CLOEXEC) != 0) return system_error("pipe");
  Fd reader(pipe[0]);
  Fd writer(pipe[1]);
  const auto size = static_cast<ssize_t>(command.input.size());
  if (::write(input.get(), command.input.data(), command.input.size()) != size ||
      ::lseek(input.get(), 0, SEEK_SET) != 0)
    return system_error("memfd");
  SK_TRY(const pid_t pid, fork_inside(command));
  if (pid == 0) {
    ::dup2(input.get(), STDIN_FILENO);
    ::dup2(writer.get(), STDOUT_FILENO);
    ::dup2(writer.get(), STDERR_FILENO);
    execute(command.argv);
  }
  writer = Fd{};
  Completed completed{.output = read_all(reader.get())};
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return system_error("waitpid");
  completed.code = exit_code(status);
  return completed;
}

Result<int> run_attached(const Command& command) {
  sigset_t all{};
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  SK_TRY(const pid_t pid, fork_inside(command));
  if (pid == 0) execute(command.argv);
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&all, &info);
    int status = 0;
    if (signal == SIGCHLD) {
      if (::waitpid(pid, &status, WNOHANG | WUNTRACED) != pid) continue;
      if (!WIFSTOPPED(status)) return exit_code(status);
      (void)::raise(SIGSTOP);  // stopped from the terminal: so are we, until the shell continues both
      (void)::kill(pid, SIGCONT);
    } else if (signal > 0 &&
               info.si_code != SI_KERNEL) {  // the terminal's signals reach the child by themselves
      (void)::kill(pid, signal);
    }
  }
}

}  // namespace safekit::sandbox
