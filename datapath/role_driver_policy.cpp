// How the next synchronisation is to be made, as a person chose it.
#include "datapath/journal/activity_file.h"
#include "datapath/resync/backup.h"
#include "datapath/role_driver_roles.h"

namespace safekit {

namespace {

using control::ReplicaRole;
using control::SyncPolicy;

resync::Backup backup_of(const control::Configure& configure) {
  const SyncPolicy& policy = configure.policy;
  return {.uid = policy.uid,
          .peer = configure.peer,
          .chosen = policy.chosen,
          .setting = policy.setting,
          .detects_changes = policy.detect};
}

}  // namespace

/// The refusal is there before the number by which it is asked for, and read after it (report).
RoleDriver::Step RoleDriver::end_policy(const SyncPolicy& policy, std::string refused,
                                        const std::function<void(journal::State&)>& change) {
  const bool taken = refused.empty();
  if (!taken) ports_.log.write(LogLevel::Warning, "replicad", fmt::format("policy=refused reason='{}'", refused));
  {
    const std::lock_guard lock{mutex_};
    policy_refused_ = std::move(refused);
  }
  const Status done = journal_.update([&](journal::State& state) {
    if (taken) change(state);
    state.policy = policy.number;
  });
  return done ? Step{} : Problem{done.error().what, true};
}

/// What can be done in the role that it has. The rest is for the beginning of a role (take_policy_up).
RoleDriver::Step RoleDriver::take_policy(const control::Configure& configure) {
  const SyncPolicy& policy = configure.policy;
  if (policy.number == 0 || policy.number == journal_.state().policy) return {};
  if (policy.mode == SyncPolicy::Mode::Full || policy.mode == SyncPolicy::Mode::Default) {
    return end_policy(policy, {}, [&](journal::State& state) {
      state.full_wanted = state.full_wanted || policy.mode == SyncPolicy::Mode::Full;
      state.backup.clear();
      state.since = 0;
    });
  }
  if (role_ == ReplicaRole::Idle) return {};
  const bool begins = policy.mode == SyncPolicy::Mode::BackupPrimary && role_ == ReplicaRole::Primary;
  const Status begun = begins ? primary_->primary->begin_backup(backup_of(configure))
                              : Status{Error{Code::Conflict, "the module runs; stop it on this node first"}};
  return end_policy(policy, begun ? std::string{} : begun.error().what, [](journal::State&) {});
}

/// Before a role is taken up from Idle. What was chosen for the other role is dropped: the steps were others than it was meant for.
RoleDriver::Step RoleDriver::take_policy_up(const control::Configure& configure, ReplicaRole role) {
  const SyncPolicy& policy = configure.policy;
  if (policy.number == 0 || policy.number == journal_.state().policy) return {};
  const bool for_primary = policy.mode == SyncPolicy::Mode::BackupPrimary;
  const linux_os::FileMoment now = linux_os::file_moment();
  journal::State next = journal_.state();  // nobody else changes it in no role
  Status begun{};
  if (for_primary != (role == ReplicaRole::Primary)) {
    begun = Error{Code::Conflict, "the module was started in the other role"};
  } else if (for_primary) {
    begun = resync::begin_backup(next, backup_of(configure), DataGeneration{ports_.random.u64() | 1});
    if (begun) resync::rest_for_backup(next, backup_of(configure), now, boot_id_);
  } else if (policy.mode == SyncPolicy::Mode::BackupSecondary) {
    resync::declare_restored(next, backup_of(configure), now, boot_id_);
  } else {
    next.since = policy.chosen;
    next.full_wanted = false;
  }
  if (Step problem = end_policy(policy, begun ? std::string{} : begun.error().what, [&](journal::State& state) { state = next; })) {
    return problem;
  }
  if (begun && for_primary) {
    if (const Status saved = journal_.save_zones(journal::ZoneMap{configure.zone_bytes}); !saved) return Problem{saved.error().what, true};
  }
  if (begun && policy.mode == SyncPolicy::Mode::BackupSecondary) journal::ActivityFile::remove(journal_.directory());
  return {};
}

}  // namespace safekit
