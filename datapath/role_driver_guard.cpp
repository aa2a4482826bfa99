// What keeps the virtual addresses silent while this node has no right to act as primary.
#include "datapath/role_driver.h"

namespace safekit {

namespace {

using linux_os::AddressGuard;

constexpr Duration kLookEvery = seconds{1};  ///< at what others do to interfaces
constexpr const char* kLog = "replicad";

Result<std::vector<linux_os::GuardedAddress>> to_guarded(const std::vector<control::GuardedAddress>& from) {
  std::vector<linux_os::GuardedAddress> guarded;
  for (const auto& address : from) {
    SK_TRY(const IpAddress ip, parse_ip(address.address));
    guarded.push_back({.ip = ip, .interface = address.interface});
  }
  return guarded;
}

}  // namespace

/// Called with the mutex of a primary held.
void RoleDriver::feed_guard(MonoTime right) {
  const std::lock_guard lock{guard_mutex_};
  right_ = right;
  if (guard_) guard_->allow_until(right);
}

void RoleDriver::keep_guard() {
  std::vector<control::GuardedAddress> wanted;
  bool is_configured = false;
  bool is_primary = false;
  {
    const std::lock_guard lock{mutex_};
    is_configured = configure_.has_value();
    if (is_configured && configure_->leased) wanted = configure_->guarded;
    is_primary = want_.role == control::ReplicaRole::Primary || want_.order == 0;
  }
  if (!is_configured) return;
  if (wanted.empty()) return end_guard();
  const MonoTime now = ports_.clock.mono_now();
  if (guard_inherited_ && is_primary) {
    const std::lock_guard lock{guard_mutex_};
    if (right_ <= now) return;
  }
  const bool is_new = guarded_ != wanted;
  if (!is_new && now - guard_looked_at_ < kLookEvery) return;
  guard_looked_at_ = now;
  if (is_new || !guard_attached_) return attach_guard(wanted);
  tell_guard(guard_->ensure());
}

void RoleDriver::attach_guard(const std::vector<control::GuardedAddress>& wanted) {
  MonoTime right;
  {
    const std::lock_guard lock{guard_mutex_};
    right = right_;
  }
  guarded_ = wanted;
  guard_cleared_ = false;
  auto attached = [&]() -> Result<std::unique_ptr<AddressGuard>> {
    SK_TRY(const auto addresses, to_guarded(wanted));
    return AddressGuard::attach(module_, addresses, right);
  }();
  tell_guard(attached ? Status{} : Status{attached.error()});
  guard_attached_ = attached.has_value();
  if (!attached) return;  // what is in place, of other addresses, is fed still
  guard_inherited_ = false;
  std::unique_ptr<AddressGuard> old;  // its memory is given back without the mutex
  const std::lock_guard lock{guard_mutex_};
  old = std::exchange(guard_, std::move(*attached));
  guard_->allow_until(right_);
}

/// It is no reason not to serve: writes have the right of their own.
void RoleDriver::tell_guard(const Status& done) {
  const std::string problem = done ? std::string{} : done.error().what;
  if (std::exchange(guard_problem_, problem) == problem || problem.empty()) return;
  ports_.log.write(LogLevel::Warning, kLog,
                   fmt::format("address-guard=incomplete reason='{}': the virtual addresses of a node that hangs may go on "
                               "answering beside the other one", problem));
}

void RoleDriver::end_guard() {
  if (std::exchange(guard_cleared_, true)) return;
  guarded_.clear();
  guard_attached_ = guard_inherited_ = false;
  std::unique_ptr<AddressGuard> old;
  {
    const std::lock_guard lock{guard_mutex_};
    old = std::move(guard_);
  }
  // Also what a process left that was killed. Where packets cannot be filtered there is nothing.
  const Status removed = AddressGuard::remove_leftovers(module_);
  if (!removed && old != nullptr) {
    ports_.log.write(LogLevel::Warning, kLog, fmt::format("address-guard=left reason='{}': the virtual addresses stay silent until "
                                                          "this node starts again", removed.error().what));
  }
}

}  // namespace safekit
