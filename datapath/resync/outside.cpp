#include "datapath/resync/outside.h"

namespace safekit::resync {

namespace {
constexpr std::int64_t kSecond = 1'000'000'000;
/// Readings of the clocks are apart by less; a clock that was set back by no more is not found out.
constexpr std::int64_t kSetBackMax = 10'000'000;
}  // namespace

Scope scope_of(const journal::State& state, bool exact, const linux_os::FileMoment& now, const std::string& boot) {
  const auto everywhere = [](std::string why) { return Scope{.look = Scope::Look::Everywhere, .why = std::move(why)}; };
  const journal::Watched& watched = state.watched;
  if (!state.ever_synchronised && state.backup.empty()) return {};
  if (!exact && state.base_log.id == 0 && state.own_log.id == 0) return everywhere("this copy was not left in order");
  if (watched.until == 0) return everywhere("it was not noted when this copy was left");
  // Who wrote meanwhile may have done it under an earlier time.
  const bool set_back = watched.boot == boot && now.setting < watched.setting - kSetBackMax;
  if (set_back || now.now < watched.until) return everywhere("the clock was set back since this copy was left");
  Scope scope{.look = Scope::Look::Changed, .since = watched.until, .by_others = watched.left};
  if (!watched.left && !watched.unsettled && watched.boot != boot) {
    // The machine went down while it served: what was changed before this boot is in the logs, and more precisely.
    scope.since = std::max(scope.since, now.setting);
    scope.by_others = true;
  }
  return scope;
}

bool is_since(const Stamp& changed, std::int64_t since) {
  if (changed.seconds != since / kSecond) return changed.seconds > since / kSecond;
  return changed.nanoseconds == 0 || changed.nanoseconds >= since % kSecond;
}

void watch_until(journal::State& state, const linux_os::FileMoment& now, const std::string& boot) {
  if (state.watched.unsettled) return;
  state.watched.until = now.now;
  state.watched.setting = now.setting;
  state.watched.boot = boot;
}

void settle(journal::State& state, const linux_os::FileMoment& now, const std::string& boot) {
  state.watched.unsettled = false;
  watch_until(state, now, boot);
}

}  // namespace safekit::resync
