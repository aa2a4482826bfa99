// safekit-replicad: the replication of one mirror module on one node.
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
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

control::Server* signal_server = nullptr;
std::atomic<bool> signalled{false};

void on_signal(int) {
  signalled = true;
  if (signal_server != nullptr) signal_server->wake();
}

struct Arguments {
  std::string module{};
  std::string state_directory{};
  std::string socket{};
};

constexpr std::string_view kUsage =
    "usage: safekit-replicad --module NAME --state-dir DIRECTORY --socket PATH\n"
    "Replicates the directories of one mirror module. Started and instructed by safekitd.\n";

Result<Arguments> parse(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i < count; i += 2) {
    const std::string_view name{values[i]};
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
  ::signal(SIGPIPE, SIG_IGN);
}

/// A descriptor per open file and per cached inode is wanted; the default soft limit is far too small.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // fewer descriptors are slower, not wrong
}

int serve(control::Server& server, RoleDriver& driver, std::atomic<bool>& changed) {
  control::Report told;
  linux_os::SystemClock clock;
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
    }
    if (signalled && !stopping) {
      stopping = true;
      driver.shut();
    }
    changed = false;
    const control::Report report = driver.report();
    const bool connected = server.take_connected();
    if (connected || report != told || clock.mono_now() - told_at >= kReportEvery) {
      server.send(report);
      told = report;
      told_at = clock.mono_now();
    }
    if (stopping && driver.is_idle()) return 0;
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
                    }};
  const int result = serve(server, driver, changed);
  log.write(LogLevel::Info, kLog, "stopped");
  return result;
}
