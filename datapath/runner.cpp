/// safekit-runner: every script of a module runs under one of these, so that a restarted safekitd finds the
/// script, its output and its end again. It owes nothing to safekitd: own session, files only, no shell.
///
///   safekit-runner --status FILE --output FILE|- [--header TEXT] [--group DIRECTORY] -- /absolute/script [argument...]
///
/// FILE of `--status`, `key=value` lines: first pid, start_ticks, pgid, started, script (before the script's
/// first instruction), at its end also ended and either exit or signal. DIRECTORY is the control group that the
/// script enters; where it cannot, it runs without one. The script has a session and process
/// group of its own, standard input /dev/null, and both outputs appended to FILE of `--output` (`-`: those of
/// the runner). Only the script itself is waited for: daemons that it leaves behind may keep the output open.
/// Ends as the script did.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

namespace {

constexpr int kUsage = 64;           // EX_USAGE
constexpr int kCannotStart = 125;    // the runner itself failed
constexpr int kNotExecutable = 126;  // as shells say it
constexpr int kNotFound = 127;

struct Options {
  std::string status{};
  std::string output{"-"};
  std::string header{};
  std::string group{};
  char** script{nullptr};
};

int complain(const std::string& what) {
  const std::string line = "safekit-runner: " + what + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());  // nowhere else to say it
  return kCannotStart;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--") {
      options.script = argv + i + 1;
      break;
    }
    if (name == "--status")
      options.status = argv[i + 1];
    else if (name == "--output")
      options.output = argv[i + 1];
    else if (name == "--header")
      options.header = argv[i + 1];
    else if (name == "--group")
      options.group = argv[i + 1];
    else
      return false;
  }
  return options.script != nullptr && options.script[0][0] == '/' && !options.status.empty();
}

std::string wall_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::to_string(static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
}

/// Field 22 of /proc/PID/stat, counted from the ')' that ends the command; "0" when it cannot be read.
std::string start_ticks_of(pid_t pid) {
  const int file = ::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  char text[1024];
  const ssize_t size = file < 0 ? 0 : ::read(file, text, sizeof text);
  if (file >= 0) ::close(file);
  std::string_view rest{text, size > 0 ? static_cast<std::size_t>(size) : 0};
  const auto bracket = rest.rfind(')');
  if (bracket == std::string_view::npos) return "0";
  rest.remove_prefix(bracket);
  for (int field = 2; field < 22; ++field) {
    const auto blank = rest.find(' ');
    if (blank == std::string_view::npos) return "0";
    rest.remove_prefix(blank + 1);
  }
  return std::string{rest.substr(0, rest.find(' '))};
}

/// Without fsync: after a power loss no script runs, and there is nothing to find again.
bool replace(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (file < 0) return false;
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  if (written && ::rename(temporary.c_str(), path.c_str()) == 0) return true;
  ::unlink(temporary.c_str());
  return false;
}

bool append(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0) return false;
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  return written;
}

void open_output(const Options& options) {
  if (options.output != "-") {
    int file = ::open(options.output.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (file < 0) {  // a service starts also when its output cannot be kept
      complain("cannot open '" + options.output + "': " + std::strerror(errno));
      file = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    ::dup2(file, STDOUT_FILENO);
    ::dup2(file, STDERR_FILENO);
  }
  if (options.header.empty()) return;
  const std::string line = options.header + "\n";
  (void)!::write(STDOUT_FILENO, line.data(), line.size());  // a full disk keeps no script from running
}

/// Only the script goes in: what ends the group does not end who tells of it.
bool enter_group(const std::string& group) {
  const int file = ::open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool entered = ::write(file, "0", 1) == 1;
  const int error = errno;
  ::close(file);
  errno = error;
  return entered;
}

/// In the child: waits until its identity is on record, then becomes the script.
[[noreturn]] void become(const Options& options, int go) {
  char** script = options.script;
  ::setsid();
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) std::signal(number, SIG_DFL);
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(kCannotStart);  // the runner could not write it, or was killed
  if (!options.group.empty() && !enter_group(options.group)) {
    complain("cannot enter control group '" + options.group + "': " + std::strerror(errno));
  }
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::execv(script[0], script);
  const int error = errno;
  complain(std::string{"cannot start '"} + script[0] + "': " + std::strerror(error));
  ::_exit(error == ENOENT ? kNotFound : kNotExecutable);
}

int run(const Options& options) {
  int go[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return complain(std::string{"no pipe: "} + std::strerror(errno));
  const pid_t script = ::fork();
  if (script < 0) return complain(std::string{"no process: "} + std::strerror(errno));
  if (script == 0) {
    ::close(go[1]);
    become(options, go[0]);
  }
  ::close(go[0]);
  const std::string pid = std::to_string(script);
  std::string text = "pid=" + pid + "\nstart_ticks=" + start_ticks_of(script) + "\npgid=" + pid +
                     "\nstarted=" + wall_nanoseconds() + "\nscript=" + options.script[0] + "\n";
  const bool recorded = replace(options.status, text);
  const int error = errno;
  if (recorded) (void)!::write(go[1], "g", 1);  // fails only when the script is dead already
  ::close(go[1]);
  int status = 0;
  while (::waitpid(script, &status, 0) < 0 && errno == EINTR) {
  }
  if (!recorded) return complain("cannot write '" + options.status + "': " + std::strerror(error));
  const bool signalled = WIFSIGNALED(status);
  const int number = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
  const std::string end =
      "ended=" + wall_nanoseconds() + (signalled ? "\nsignal=" : "\nexit=") + std::to_string(number) + "\n";
  // On a full disk a new file has no room where the old one's last block still has.
  if (!replace(options.status, text + end) && !append(options.status, end)) {
    return complain("cannot write '" + options.status + "': " + std::strerror(errno));
  }
  return signalled ? 128 + number : number;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    complain(
        "usage: safekit-runner --status FILE --output FILE|- [--header TEXT] [--group DIRECTORY] -- "
        "/absolute/script [argument...]");
    return kUsage;
  }
  ::setsid();  // fails for a leader: fine
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE})
    std::signal(number, SIG_IGN);  // it must see the end
  open_output(options);
  return run(options);
}
