// What others do to the copy while it is not served: from when on, and looking for it.
#include "datapath/linux/mounts.h"
#include "datapath/resync/outside.h"
#include "datapath/role_driver_roles.h"

namespace safekit {

/// Looks for what others changed in the copy before it was taken up; not between one role and the next.
Status RoleDriver::look_outside(const journal::State& before, std::vector<Fd> roots, const replica::Exclusions& exclusions,
                                const control::Configure& configure) {
  if (left_at_) return {};
  const auto now = linux_os::file_moment();
  const auto scope = resync::scope_of(before, replica::is_exact(before, boot_id_), now, boot_id_);
  SK_TRY_VOID(journal_.update([&](journal::State& state) {
    state.watched.left = false;
    state.watched.unsettled = state.ever_synchronised || !state.backup.empty();
    // Nor can it be told later, when a clock that was set back has caught up.
    if (scope.look == resync::Scope::Look::Everywhere) state.watched.until = 0;
  }));
  outside_ = std::make_shared<replica::OutsideChanges>(
      replica::OutsideChanges::Options{
          .roots = std::move(roots),
          .exclusions = exclusions,
          .scope = scope,
          .until = now.now,
          .workers = std::max(1U, configure.resync_workers)},
      ports_.clock, ports_.log);
  return {};
}

/// What is found at the next start was done by others, if what was found at the last one is not to be told still.
RoleDriver::Step RoleDriver::note_left() {
  outside_.reset();
  const Status noted = journal_.update([&](journal::State& state) {
    resync::watch_until(state, *left_at_, boot_id_);
    state.watched.left = !state.watched.unsettled;
  });
  if (!noted) return Problem{noted.error().what, true};
  left_at_.reset();
  return {};
}

/// A copy that was lost while it served lies below its mount still: nobody could get at it. Before it is uncovered.
RoleDriver::Step RoleDriver::note_covered(const control::Configure& configure) {
  const journal::State before = journal_.state();
  if (left_at_ || before.watched.left || before.watched.unsettled || !before.ever_synchronised) return {};
  for (const auto& directory : configure.directories) {
    const auto kind = mounts::mount_kind(directory.path);
    if (!kind) return Problem{kind.error().what, false};
    if (*kind != mounts::Kind::OurFuse && *kind != mounts::Kind::OurReadOnlyBind) return {};
  }
  left_at_ = linux_os::file_moment();
  return note_left();
}

}  // namespace safekit
