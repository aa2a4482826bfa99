#include "datapath/replica/outside_changes.h"

#include <utility>

namespace safekit::replica {

namespace {
constexpr const char* kLog = "outside";
}

OutsideChanges::OutsideChanges(Options options, const Clock& clock, Log& log)
    : options_(std::move(options)), clock_(clock), log_(log) {
  thread_ = std::jthread{[this](const std::stop_token& stop) { look(stop); }};
}

OutsideChanges::~OutsideChanges() = default;  // the thread is asked to stop, and joined

void OutsideChanges::look(const std::stop_token& stop) {
  using Look = resync::Scope::Look;
  const MonoTime began = clock_.mono_now();
  Outside found;
  switch (options_.scope.look) {
    case Look::Nowhere: break;
    case Look::Everywhere: found.unknown = options_.scope.why; break;
    case Look::Changed:
      found = scan(options_.roots, options_.exclusions, {options_.scope.since, options_.until}, options_.workers, stop);
      break;
  }
  if (stop.stop_requested()) return;
  options_.roots.clear();  // nobody is kept from unmounting them
  if (!found.unknown.empty()) {
    log_.write(LogLevel::Warning, kLog,
               fmt::format("changed-while-stopped=unknown reason='{}': the copies are compared in full", found.unknown));
  } else if (options_.scope.look == Look::Changed) {
    const auto took = std::chrono::duration_cast<milliseconds>(clock_.mono_now() - began).count();
    log_.write(found.found == 0 || !options_.scope.by_others ? LogLevel::Info : LogLevel::Warning, kLog,
               fmt::format("{}={} looked-at={} ms={}{}{}", options_.scope.by_others ? "changed-while-stopped" : "changed-since-last-noted",
                           found.found, found.looked_at, took,
                           found.found == 0 ? "" : fmt::format(" first='{}'", found.first),
                           found.meanwhile == 0 ? "" : fmt::format(" touched-meanwhile={}", found.meanwhile)));
  }
  {
    const std::lock_guard lock{mutex_};
    found.add(later_);
    found_ = std::make_shared<const Outside>(std::move(found));
  }
  done_.notify_all();
}

std::shared_ptr<const Outside> OutsideChanges::await(const std::stop_token& stop) {
  std::unique_lock lock{mutex_};
  done_.wait(lock, stop, [this] { return found_ != nullptr; });
  return stop.stop_requested() ? nullptr : found_;
}

std::shared_ptr<const Outside> OutsideChanges::known() const {
  const std::lock_guard lock{mutex_};
  return found_;
}

std::shared_ptr<const Outside> OutsideChanges::tell() {
  const std::lock_guard lock{mutex_};
  if (found_ != nullptr) later_ = {};
  return found_;
}

void OutsideChanges::add(const Outside& more) {
  const std::lock_guard lock{mutex_};
  later_.add(more);
  if (found_ == nullptr) return;  // the search adds it
  Outside all = *found_;
  all.add(more);
  found_ = std::make_shared<const Outside>(std::move(all));
}

bool OutsideChanges::grew() const {
  const std::lock_guard lock{mutex_};
  return !later_.empty();
}

void OutsideChanges::settle() {
  const std::lock_guard lock{mutex_};
  found_ = std::make_shared<const Outside>(std::exchange(later_, {}));
}

}  // namespace safekit::replica
