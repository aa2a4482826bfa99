#include "datapath/resync/backup.h"

#include <algorithm>

#include "schema/base/digest.h"

namespace safekit::resync {

namespace {

/// File systems stamp inodes with the time of the last tick.
constexpr std::int64_t kTick = 20'000'000;

bool was_used(const journal::DataGenerations& generations, DataGeneration backup) {
  return generations.current == backup || generations.base == backup ||
         std::ranges::find(generations.history, backup) != generations.history.end();
}

void watch_since(journal::State& state, const Backup& backup, const linux_os::FileMoment& now, const std::string& boot) {
  const linux_os::FileMoment since = backup.detects_changes ? linux_os::FileMoment{backup.chosen - kTick, backup.setting} : now;
  state.watched = {.until = since.now, .setting = since.setting, .boot = boot, .left = true};
}

}  // namespace

DataGeneration generation_of(std::string_view uid) {
  const std::string text = fmt::format("backup {}", uid);
  return DataGeneration{digest128(as_bytes(text)).low | 1};
}

Status begin_backup(journal::State& state, const Backup& backup, DataGeneration fresh) {
  const DataGeneration generation = generation_of(backup.uid);
  journal::DataGenerations& all = state.generations;
  if (was_used(all, generation)) {
    return Error{Code::Conflict, fmt::format("the uid '{}' was used before; take another one for each backup", backup.uid)};
  }
  if (all.current.value != 0) all.history.insert(all.history.begin(), all.current);
  all.history.insert(all.history.begin(), generation);
  journal::take_over(all, fresh, std::move(all.history));
  all.base = generation;
  state.peer = backup.peer;
  state.base_log = {};
  state.full_wanted = false;
  state.since = 0;
  state.backup = backup.uid;
  return {};
}

void rest_for_backup(journal::State& state, const Backup& backup, const linux_os::FileMoment& now, const std::string& boot) {
  state.exact = true;
  state.exact_in_boot.clear();
  watch_since(state, backup, now, boot);
}

void declare_restored(journal::State& state, const Backup& backup, const linux_os::FileMoment& now, const std::string& boot) {
  state = {.generations = {.current = generation_of(backup.uid), .base = {}, .history = {}},
           .peer = backup.peer,
           .inconsistent = true,
           .ever_synchronised = true,
           .exact = true,
           .exact_in_boot = boot,
           .backup = backup.uid,
           .policy = state.policy};
  watch_since(state, backup, now, boot);
}

bool is_restored(const journal::State& primary, DataGeneration peer) {
  return !primary.backup.empty() && primary.generations.base == peer && peer == generation_of(primary.backup);
}

}  // namespace safekit::resync
