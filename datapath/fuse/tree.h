#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "datapath/fuse/options.h"
#include "datapath/linux/keeper.h"
#include "datapath/replica/exclusion.h"
#include "datapath/replica/sink.h"
#include "schema/base/result.h"

namespace safekit::fuse {

/// What was kept of the mounts of an earlier process.
struct Inheritance {
  std::unique_ptr<Keeper> keeper{};
  std::map<std::uint64_t, Fd> kept{};
};

/// The replicated directories of one module, each with our FUSE file system over it. A service.
/// Every change through a mount is made in the directory underneath, then appended to the sink.
///
/// What the sink may rely on when `append` is called:
/// * Create, Link, Remove, Rename: names is held exclusively (do not lock it again; path_of may be called).
/// * Write, Fallocate, SetAttributes, SetXattr, Sync: content(id) is held, names is not. path_of needs
/// names_shared.
/// * Forget: no lock is held, and no operation that names the id follows. path_of gives NotFound, handle_of
/// still answers.
/// * `path_of` answers with the names as they were *before* the operation being appended, so that a Bind put
/// into the
///   stream right before it has the right path. The FUSE side never appends Bind: the sink knows what the
///   peer knows.
/// * No operation on an inode follows the Remove (or overwriting Rename) of its last name. A file that is
/// made without a
///   name (O_TMPFILE) and linked later arrives as Create, then its content.
/// * The mtime of a file follows its writes as SetAttributes{kMtime} at close, fsync, or after a quarter of a
/// second; of a
///   directory whose entries changed after a quarter of a second or at fsync of the directory.
///
/// * Entries that `exclusions` name are served and never appended. A rename out of what is replicated arrives as Remove of the
///   whole; a rename in as Create, in the root under a name of kStagedPrefix, of all that comes in, its content, then Rename.
///
/// Errors: of `mount`: Invalid for a path that is no directory, Conflict when something of ours is mounted
/// there already,
///         Unsupported for a kernel without what we need, Io. Of `unmount`: Conflict naming the processes
///         that hold the directory; the mount goes on serving.
/// End:    unmount before destroying. A process that must end with a busy mount calls _exit: applications
/// then get
///         ENOTCONN, and mounts::clean_stale takes the mount off. One object mounts once.
/// Thread: mount and unmount by the owner; append and wait are called from FUSE threads and one housekeeping
/// thread.
class MountedTrees {
 public:
  /// `exclusions`: by index of the root; fewer than roots: the others have none.
  MountedTrees(std::vector<std::string> roots, Options options, replica::Sink& sink, replica::TreeOrder& order,
               replica::Exclusions exclusions = {});
  ~MountedTrees();
  MountedTrees(const MountedTrees&) = delete;
  MountedTrees& operator=(const MountedTrees&) = delete;

  /// Opens the directories (which makes `inodes()` usable), mounts over them and starts serving. On an error
  /// nothing stays mounted.
  Status mount();
  /// Opens what an earlier process, which is gone, had mounted over these directories; `resume` serves it on. Between the
  /// two the sink gets ready. Errors: Unsupported, Conflict, Corrupt, Io: it cannot be taken over; the keeper has let go.
  Status inherit(Inheritance inheritance);
  Status resume();
  /// Of what was inherited: calls returned without the peer. Noted for the next one by `note_alone`.
  [[nodiscard]] bool was_alone() const;
  void note_alone(bool alone);
  /// Why no other process could take the mounts over; empty: one can. A keeper that is gone is replaced by another one.
  [[nodiscard]] std::string unkept();
  /// Stops serving; the mounts stay for another process. False when calls are still under way after that time: the end of
  /// this process is then like its death. In both cases it has to end now.
  [[nodiscard]] bool hand_over(std::chrono::milliseconds limit);
  /// All or nothing is not possible: directories unmounted before a busy one stay unmounted; call again to go
  /// on. On success every change has been appended, mtimes too, and no thread runs any more.
  Status unmount();
  [[nodiscard]] bool mounted() const;

  [[nodiscard]] replica::Inodes& inodes();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit::fuse
