#pragma once

#include <sched.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/linux/fd.h"
#include "e2e/sandbox/state.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::sandbox {

/// `what` and the text of errno.
[[nodiscard]] Error system_error(std::string_view what);

/// What a node has of its own.
inline constexpr int kNodeNamespaces =
    CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

/// The descriptor on which a spawned program says how its start went; see `Spawned`.
inline constexpr int kReportFd = 3;

/// A new process, first of its namespaces, that stands still until `release`. If it is never released (also
/// because we died), it ends by itself: so its number can be recorded before anything depends on it.
struct Spawned {
  Holder holder{};
  Fd channel{};
};

/// `namespaces`: CLONE_NEW* flags. The program `arguments` is this binary in its own session, with output to
/// `log`.
[[nodiscard]] Result<Spawned> spawn(int namespaces, const std::vector<std::string>& arguments,
                                    const std::filesystem::path& log);
/// Lets it run and waits for its report. Errors: what it reported, or Io when it ended without a report.
[[nodiscard]] Status release(Spawned& spawned);
/// In the spawned program: an empty text says that it is ready.
void report(std::string_view error);

[[nodiscard]] bool is_alive(const Holder& holder);
/// Alive to stay: it has been released and nobody is ending it.
[[nodiscard]] bool is_running(const Holder& holder);
/// SIGKILL, then waits until it is gone; for PID 1 of a namespace the kernel ends all others of it before.
[[nodiscard]] Status kill_and_wait(const Holder& holder, Duration limit);

/// A program run in some of another process's namespaces.
struct Command {
  std::vector<std::string> argv{};
  Holder inside{};      ///< whose namespaces; pid 0: our own
  int namespaces{0};    ///< CLONE_NEW* flags of those to enter
  std::string input{};  ///< its standard input
};

struct Completed {
  int code{0};           ///< as a shell gives it: 128 + signal when killed by one
  std::string output{};  ///< standard output and error
};

/// Runs it to its end. Errors: NotFound when `inside` is gone; Io.
[[nodiscard]] Result<Completed> run(const Command& command);
/// The same with our own terminal, input, output, and the signals we get passed on. Gives the exit code.
[[nodiscard]] Result<int> run_attached(const Command& command);

/// The directory of this binary, where its sister programs are.
[[nodiscard]] std::filesystem::path program_directory();
/// The search path inside nodes: our own programs first.
[[nodiscard]] std::string node_path();

}  // namespace safekit::sandbox
