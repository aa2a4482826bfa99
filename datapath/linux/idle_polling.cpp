#include "datapath/linux/idle_polling.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>

#include <fmt/format.h>

namespace safekit::linux_os {
namespace {

constexpr const char* kLog = "replicad";
/// The first idle state of real processors takes 1 to 2 us to leave; it saves most of what there is to save.
constexpr std::int32_t kLightSleepUs = 2;

}  // namespace

bool IdlePollRule::step(std::uint64_t calls) {
  calls_[next_] = calls;
  next_ = (next_ + 1) % kSteps;
  const std::uint64_t lately = std::accumulate(calls_.begin(), calls_.end(), std::uint64_t{0});
  polls_ = lately >= (polls_ ? kCallsMin / 2 : kCallsMin);
  return polls_;
}

bool IdlePollRule::is_quiet() const {
  return std::accumulate(calls_.begin(), calls_.end(), std::uint64_t{0}) == 0;
}

std::optional<std::int32_t> latency_to_ask(std::string_view driver) {
  if (driver.empty() || driver == "none") return std::nullopt;
  // Says 1 us, but leaves the processor to the host, which takes 20 to give it back: only a poll (0) is quicker.
  if (driver == "haltpoll") return 0;
  return kLightSleepUs;
}

IdlePolling::IdlePolling(Log& log, Places places) : log_(log), places_(std::move(places)) {
  thread_ = std::thread{[this] { run(); }};
}

IdlePolling::~IdlePolling() {
  {
    const std::lock_guard lock{mutex_};
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void IdlePolling::wake() {
  {
    const std::lock_guard lock{mutex_};
    asleep_ = false;
  }
  wake_.notify_all();
}

void IdlePolling::run() {
  sigset_t all;
  sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // they are for main
  IdlePollRule rule;
  std::uint64_t seen = 0;
  std::unique_lock lock{mutex_};
  while (!ended_) {
    if (rule.is_quiet()) {
      asleep_ = true;
      // Whoever counts after this look sees asleep_.
      if (calls_ != seen) asleep_ = false;
      wake_.wait(lock, [this] { return ended_ || !asleep_; });
    }
    if (wake_.wait_for(lock, IdlePollRule::kStep, [this] { return ended_; })) break;
    lock.unlock();
    const std::uint64_t calls = calls_;
    hold(rule.step(calls - std::exchange(seen, calls)));
    lock.lock();
  }
}

/// Kernel: Documentation/power/pm_qos_interface.rst, "Userspace ABI for the CPU latency QoS".
void IdlePolling::hold(bool held) {
  if (held == static_cast<bool>(request_) || impossible_) return;
  if (!held) return request_.reset();
  std::string driver;
  std::ifstream{places_.driver} >> driver;
  const auto latency = latency_to_ask(driver);
  std::string why = latency ? "" : "no cpuidle driver";
  if (latency) {
    request_.reset(::open(places_.device.c_str(), O_WRONLY | O_CLOEXEC));
    if (request_ && ::write(request_.get(), &*latency, sizeof *latency) == sizeof *latency) return;
    why = fmt::format("{}: {}", places_.device, std::strerror(errno));
    request_.reset();
  }
  impossible_ = true;
  log_.write(LogLevel::Info, kLog, fmt::format("idle-poll=impossible reason='{}'", why));
}

}  // namespace safekit::linux_os
