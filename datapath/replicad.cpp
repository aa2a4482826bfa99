// safekit-replicad: the replication of one mirror module on one node.
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "datapath/control/server.h"
#include "datapath/linux/clock.h"
#include "datapath/linux/log.h"
#include "datapath/linux/random.h"
#include "datapath/role_driver.h"

namespace {

using namespace safekit;

constexpr const char* kLog = "replicad";
constexpr Duration kReportEvery = milliseconds{900};  ///< "at least every second"
constexpr int kExitNotTaken = 3;

control::Server* signal_server = nullptr;
std::atomic<bool> signalled{false};
std::atomic<bool> hand_over_asked{false};

void on_signal(int number) {
  (number == SIGHUP ? hand_over_asked : signalled) = true;
  if (signal_server != nullptr) signal_server->wake();
}

struct Arguments {
  std::string module{};
  std::string state_directory{};
  std::string socket{};
  bool take_over{false};
};

constexpr std::string_view kUsage =
    "usage: safekit-replicad --module NAME --state-dir DIRECTORY --socket PATH [--take-over]\n"
    "Replicates the directories of one mirror module. Started and instructed by safekitd.\n"
    "--take-over: serves the mounts of the process before, which has died, on, or ends with exit code 3.\n";

Result<Arguments> parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; i += 2) {
    const std::string_view name{values[i]};
    if (name == "--take-over" && i + 1 == count) {
      arguments.take_over = true;
      break;
    }
    std::string* target = name == "--module"      ? &arguments.module
                          : name == "--state-dir" ? &arguments.state_directory
                          : name == "--socket"    ? &arguments.socket
                                                  : nullptr;
    if (target == nullptr) return Error{Code::Invalid, fmt::format("unknown argument '{}'", name)};
    if (i + 1 == count) return Error{Code::Invalid, fmt::format("'{}' needs a value", name)};
    *target = values[i + 1];
  }
  if (arguments.module.empty() || arguments.state_directory.empty() || arguments.socket.empty()) {
    return Error{Code::Invalid, "--module, --state-dir and --socket are all needed"};
  }
  return arguments;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGHUP, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

/// A descriptor per open file and per cached inode is wanted; the default soft limit is far too small.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // fewer descriptors are slower, not wrong
}

/// The mounts of the process before: taken over where that is asked for, else let go, so that nobody waits for them.
Result<RoleDriver::Succession> succession(const Arguments& arguments) {
  RoleDriver::Succession next{.directory = arguments.state_directory};
  std::error_code failed;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) next.keeper_program = (here.parent_path() / "safekit-keeper").string();
  auto keeper = Keeper::find(arguments.state_directory);
  if (!arguments.take_over) {
    if (keeper) (*keeper)->release();
    return next;
  }
  if (!keeper) return keeper.error();
  SK_TRY(auto kept, (*keeper)->fetch());
  next.inheritance = fuse::Inheritance{.keeper = std::move(*keeper), .kept = std::move(kept)};
  return next;
}

int serve(control::Server& server, RoleDriver& driver, std::atomic<bool>& changed) {
  control::Report told;
  linux_os::SystemClock clock;
  control::Inspection told_inspection;
  MonoTime told_at{};
  bool stopping = false;
  for (;;) {
    auto message = server.next(kReportEvery);
    if (!message) {
      std::fprintf(stderr, "safekit-replicad: %s\n", message.error().what.c_str());
      return 1;
    }
    if (*message && !stopping) {
      if (const auto* configure = std::get_if<control::Configure>(&**message)) driver.configure(*configure);
      if (const auto* want = std::get_if<control::Want>(&**message)) driver.want(*want);
      if (const auto* lease = std::get_if<control::Lease>(&**message)) driver.lease(*lease);
      if (const auto* inspect = std::get_if<control::Inspect>(&**message)) driver.inspect(*inspect);
    }
    if (signalled && !stopping) {
      stopping = true;
      driver.shut();
    }
    changed = false;
    driver.keep_guard();
    const control::Report report = driver.report();
    driver.keep_awake(report);
    told.traffic = report.traffic;  // no news by itself
    const bool connected = server.take_connected();
    if (connected || report != told || clock.mono_now() - told_at >= kReportEvery) {
      server.send(report);
      told = report;
      told_at = clock.mono_now();
    }
    if (auto inspection = driver.inspection(); inspection.number != 0 && (connected || inspection != told_inspection)) {
      server.send(inspection);
      told_inspection = std::move(inspection);
    }
    if (stopping && driver.is_idle()) {
      driver.end_guard();
      return 0;
    }
    if (const std::string why = driver.take_over_failed(); !why.empty()) {
      std::fprintf(stderr, "safekit-replicad: cannot take over: %s\n", why.c_str());
      return kExitNotTaken;
    }
    if (hand_over_asked.exchange(false) && !stopping) {
      if (driver.report().role != control::ReplicaRole::Primary) {
        stopping = true;
        driver.shut();
      } else {
        driver.hand_over();
      }
    }
    if (driver.has_handed_over()) std::_Exit(0);  // nothing is unmounted; the next process serves on
  }
}

}  // namespace

int main(int count, char** values) {
  if (count == 2 && std::string_view{values[1]} == "--help") {
    std::fputs(kUsage.data(), stdout);
    return 0;
  }
  const auto arguments = parse(count, values);
  if (!arguments) {
    std::fprintf(stderr, "safekit-replicad: %s\n%s", arguments.error().what.c_str(), kUsage.data());
    return 2;
  }
  raise_descriptor_limit();
  linux_os::SystemClock clock;
  linux_os::SystemRandom random;
  linux_os::StderrLog log;
  journal::Journal journal{arguments->state_directory};
  if (const Status opened = journal.open(); !opened) {
    std::fprintf(stderr, "safekit-replicad: %s\n", opened.error().what.c_str());
    return 1;
  }
  auto next = succession(*arguments);
  if (!next) {
    std::fprintf(stderr, "safekit-replicad: cannot take over: %s\n", next.error().what.c_str());
    return kExitNotTaken;
  }
  control::Server server;
  if (const Status opened = server.open(arguments->socket); !opened) {
    std::fprintf(stderr, "safekit-replicad: %s\n", opened.error().what.c_str());
    return 1;
  }
  signal_server = &server;
  catch_signals();
  log.write(LogLevel::Info, kLog, fmt::format("started module={} state-dir={}", arguments->module, arguments->state_directory));
  std::atomic<bool> changed{false};
  // Beside the journal's directory, which is removed with the module.
  const std::string lost = (std::filesystem::absolute(arguments->state_directory).lexically_normal() / "../lost-writes")
                               .lexically_normal().string();
  RoleDriver driver{{clock, random, log}, journal, arguments->module, lost, [&] {
                      // Wakes the loop at most once per report.
                      if (!changed.exchange(true)) server.wake();
                    },
                    std::move(*next)};
  const int result = serve(server, driver, changed);
  log.write(LogLevel::Info, kLog, "stopped");
  return result;
}
