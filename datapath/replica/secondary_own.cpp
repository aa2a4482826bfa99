// What this copy has, or may have, that the primary's has not.
#include "datapath/journal/activity_file.h"
#include "datapath/replica/activity_paths.h"
#include "datapath/replica/secondary.h"

namespace safekit::replica {

namespace {
constexpr const char* kLog = "secondary";
}

std::vector<wire::ActiveEntry> Secondary::own_activity(wire::Hello& hello) {
  if (hello.own_log.id == 0) return {};
  const auto activity = journal::ActivityFile::read(journal_.directory(), {hello.own_log.id, hello.own_log.checkpoint},
                                                    settings_.zone_bytes);
  auto paths = activity ? to_paths(*activity, applier_.root_descriptors())
                        : Result<std::vector<wire::ActiveEntry>>{activity.error()};
  if (paths && paths->size() <= wire::kActiveEntriesMax) return std::move(*paths);
  log_.write(LogLevel::Warning, kLog,
             fmt::format("step=read-activity error='{}': the copies are compared in full",
                         paths ? "too much was touched" : paths.error().what));
  hello.base_log = hello.own_log = {};
  return {};
}

void Secondary::add_outside(wire::Hello& hello, std::vector<wire::ActiveEntry>& entries) {
  const auto found = outside_ != nullptr ? outside_->tell() : nullptr;
  told_.reset();
  if (found == nullptr || found->empty()) return;
  hello.outside = wire::Outside::Unknown;
  if (!found->unknown.empty()) return;
  told_ = found;
  auto paths = to_paths(found->changes, applier_.root_descriptors());
  if (!paths || entries.size() + paths->size() > wire::kActiveEntriesMax) {
    log_.write(LogLevel::Warning, kLog, fmt::format("step=tell-changes error='{}': the copies are compared in full",
                                                    paths ? "too much was changed" : paths.error().what));
    return;
  }
  hello.outside = wire::Outside::Listed;
  for (wire::ActiveEntry& entry : *paths) {
    entry.outside = true;
    entries.push_back(std::move(entry));
  }
}

linux_os::FileMoment Secondary::look_outside() {
  const linux_os::FileMoment moment = linux_os::file_moment();
  if (look_outside_) look_outside_();
  return moment;
}

bool Secondary::meet_again() {
  const std::lock_guard lock{mutex_};
  if (!status_.synchronised || current_ == nullptr) return false;
  current_->shut();
  return true;
}

Status Secondary::begin_set_aside() {
  told_missed_ = false;
  if (told_ != nullptr && (!loses_ || own_marks_)) {
    journal::ZoneMap changed = lost::changed_by_others(told_->changes, settings_.zone_bytes);
    if (own_marks_) {
      own_marks_->merge(changed);
    } else {
      own_marks_ = std::move(changed);
      own_marks_whole_ = true;
    }
  }
  SK_TRY(auto keeper, LostKeeper::make({.directory = settings_.lost_directory,
                                        .quota = settings_.lost_bytes_max,
                                        .head = {.module = settings_.module,
                                                 .node = settings_.node,
                                                 .peer = settings_.peer,
                                                 .lost = journal_.state().generations.current,
                                                 .kept = primary_.current,
                                                 .by_others = !loses_,
                                                 .roots = applier_.root_paths()},
                                        .own = std::move(own_marks_),
                                        .own_is_whole = own_marks_whole_,
                                        .roots = applier_.root_descriptors()},
                                       clock_));
  applier_.set_aside_by(std::move(keeper));
  log_.write(LogLevel::Info, kLog,
             fmt::format("lost-writes=begin directory='{}' by-others={}", settings_.lost_directory, !loses_));
  return {};
}

/// Before the journal takes over the primary's generation: by the old one the set is found again.
Status Secondary::end_set_aside() {
  LostKeeper* keeper = applier_.keeper();
  if (keeper == nullptr) return {};
  SK_TRY_VOID(keeper->end());
  const lost::Summary& set = keeper->summary();
  log_.write(LogLevel::Info, kLog, fmt::format("lost-writes=end items={} bytes={} missed={}", set.items, set.bytes, set.missed_bytes));
  return {};
}

void Secondary::tell_missed() {
  const LostKeeper* keeper = applier_.keeper();
  if (keeper == nullptr || told_missed_ || keeper->summary().missed_items == 0) return;
  told_missed_ = true;
  const std::string what = fmt::format("not all that this copy alone has can be set aside in '{}': lostWritesMax is reached, the "
                                       "disk is full, or a file cannot be read; the rest is overwritten, the set names it",
                                       settings_.lost_directory);
  log_.write(LogLevel::Warning, kLog, fmt::format("problem='{}'", what));
  set_status([&](SecondaryStatus& status) { status.problem = what; });
}

}  // namespace safekit::replica
