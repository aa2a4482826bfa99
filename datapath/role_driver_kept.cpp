// The last consistent copy of the data: where it is kept, and how it comes back.
#include "datapath/journal/activity_file.h"
#include "datapath/linux/mounts.h"
#include "datapath/role_driver_roles.h"

namespace safekit {

/// What an earlier process left and nobody needs goes away: of a copy that the journal does not name, all. A journal that is new (the
/// state directory was lost, the module made anew) knows of none, and what lies there may be the only copy that is whole.
void RoleDriver::use_kept(const control::Configure& configure) {
  if (kept_ != nullptr && kept_->paths() == paths_of(configure)) return;
  kept_ = std::make_shared<replica::KeptCopies>(paths_of(configure), ports_.clock, ports_.log);
  const journal::State state = journal_.state();
  if (state.kept == journal::State::Kept::None && state.ever_synchronised) {
    kept_->drop();
  } else {
    kept_->sweep();
  }
}

/// In the place of a copy that a synchronisation has not completed. Noted first: were it broken off, it would be done to the end at
/// the next start, whatever is wished for then, because some directories may be of one copy and some of the other.
RoleDriver::Step RoleDriver::put_back(const control::Configure& configure) {
  if (role_ != control::ReplicaRole::Idle) return Problem{"the last consistent copy can be put back only while the module is stopped", true};
  for (const auto& directory : configure.directories) {
    if (const Status clean = mounts::clean_stale(directory.path); !clean) return Problem{clean.error().what, false};
    if (Step problem = plain_again(directory.path, false)) return problem;
  }
  const auto done = [&]() -> Status {
    if (journal_.state().kept == journal::State::Kept::Kept && !kept_->are_kept()) {
      return Error{Code::NotFound, "the last consistent copy is not beside the replicated directories any more"};
    }
    SK_TRY_VOID(journal_.update([](journal::State& state) { state.kept = journal::State::Kept::Returning; }));
    SK_TRY_VOID(kept_->put_back());
    SK_TRY(const auto zones, journal_.take_zones());  // they were of other inodes, as is the log
    journal::ActivityFile::remove(journal_.directory());
    return journal_.update([](journal::State& state) {
      state.kept = journal::State::Kept::None;
      state.inconsistent = state.exact = false;
      state.exact_in_boot.clear();
      state.base_log = state.own_log = {};
      state.watched = {};
      state.full_wanted = true;
    });
  }();
  if (!done) return Problem{fmt::format("the last consistent copy cannot be put back: {}", done.error().what), true};
  ports_.log.write(LogLevel::Warning, "replicad", "last-consistent-copy=put-back");
  kept_->drop();
  return {};
}

}  // namespace safekit
