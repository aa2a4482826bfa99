// Renames where `notReplicated` makes the peer see something else than a rename: what goes out is removed there; what comes in
// is made there with all it holds, under a name of no application first, so that it takes its place at once.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "datapath/fuse/operations.h"
#include "datapath/fuse/victim.h"
#include "datapath/replica/tree_call.h"

namespace safekit::fuse {
namespace {

std::string joined(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

/// The caller holds names.
Call<void> Operations::look_at(Moved& moved, Inode& old_parent, const std::string& name, Inode& new_parent,
                               const std::string& new_name) {
  const replica::Exclusion& rules = inodes_.exclusion(root_);
  SK_TRY(const SharedFd fd, inodes_.path_fd(old_parent));
  struct stat st {};
  SK_TRY_VOID(checked(::fstatat(fd->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW)));
  const bool directory = S_ISDIR(st.st_mode);
  moved.path_before = joined(inodes_.directory_path(old_parent), name);
  moved.path_after = joined(inodes_.directory_path(new_parent), new_name);
  moved.was_replicated = !inodes_.excludes(old_parent, name, directory);
  moved.is_replicated = !inodes_.excludes(new_parent, new_name, directory);
  moved.made_anew = directory && moved.was_replicated && moved.is_replicated &&
                    !(rules.paths_below(moved.path_before).empty() && rules.paths_below(moved.path_after).empty());
  SK_TRY(moved.inode, inodes_.adopt(old_parent, name, st, InodeTable::For::Pin));
  moved.staged.name = fmt::format("{}{}", replica::kStagedPrefix, moved.inode->id.value);
  return {};
}

Call<std::optional<Operations::Crossing>> Operations::border(const Move& move) {
  const auto names = order_.names_exclusive();
  Crossing crossing{};
  SK_TRY_VOID(look_at(crossing[0], *move.from, move.name, *move.to, move.new_name));
  Call<void> looked{};
  if ((move.flags & RENAME_EXCHANGE) != 0) looked = look_at(crossing[1], *move.to, move.new_name, *move.from, move.name);
  bool crosses = false;
  for (const Moved& moved : crossing) {
    if (moved.inode != nullptr) crosses = crosses || moved.made_anew || !moved.was_replicated || !moved.is_replicated;
  }
  if (looked && crosses) return std::optional{std::move(crossing)};
  for (const Moved& moved : crossing) {
    if (moved.inode != nullptr) inodes_.unpin(moved.inode->id);
  }
  if (!looked) return looked.error();
  return std::optional<Crossing>{};
}

Call<void> Operations::move_across(const Move& move, Crossing& crossing) {
  const InodeTable::MoveScope under_way{inodes_};
  Call<void> done{};
  for (Moved& moved : crossing) {
    if (done && moved.inode != nullptr && !moved.was_replicated && moved.is_replicated) done = stage(moved);
  }
  if (done) done = rename_across(move, crossing);
  if (!done) {
    const auto names = order_.names_exclusive();
    for (Moved& moved : crossing) unstage(moved);
  }
  for (Moved& moved : crossing) {
    // What came in below a directory that was made anew.
    if (done && moved.made_anew) send_staged(moved.staged);
    for (const Inode* inode : moved.staged.inodes) inodes_.unpin(inode->id);
    if (moved.inode != nullptr) inodes_.unpin(moved.inode->id);
  }
  return done;
}

Call<void> Operations::rename_across(const Move& move, Crossing& crossing) {
  SK_TRY(const SharedFd from, inodes_.path_fd(*move.from));
  SK_TRY(const SharedFd to, inodes_.path_fd(*move.to));
  const bool exchange = (move.flags & RENAME_EXCHANGE) != 0;
  auto replaced = exchange ? Call<Victim>{Victim{}} : victim_of(inodes_, to->get(), move.new_name.c_str());
  SequenceNumber sequence{};
  {
    const bool directories = S_ISDIR(crossing[0].inode->type) || (exchange && S_ISDIR(crossing[1].inode->type));
    SK_TRY(const auto scope, changing(move, directories));
    const auto content = replaced ? content_of(order_, *replaced) : std::nullopt;
    const auto names = order_.names_exclusive();
    if (replaced) SK_TRY_VOID(settle_victim(inodes_, to->get(), move.new_name.c_str(), *replaced));
    auto renamed = replaced ? checked(::renameat2(from->get(), move.name.c_str(), to->get(), move.new_name.c_str(), move.flags))
                            : Call<void>{replaced.error()};
    if (!renamed && replaced) keep_name(inodes_, *replaced);
    SK_TRY_VOID(renamed);
    if (replaced->inode == crossing[0].inode) {  // two names of one file: rename does nothing at all
      unstage(crossing[0]);
      return {};
    }
    std::vector<Inode*> gone;
    sequence = append_across(move, crossing, gone);
    forget_name(inodes_, *replaced, *move.to, move.new_name);
    if (crossing[0].is_replicated) forget_replicated_name(inodes_, *replaced, *move.to);
    inodes_.remove_name(*crossing[0].inode, move.from->id, move.name);
    if (exchange) inodes_.remove_name(*crossing[1].inode, move.to->id, move.new_name);
    inodes_.add_name(*crossing[0].inode, move.to->id, move.new_name);
    if (exchange) inodes_.add_name(*crossing[1].inode, move.from->id, move.name);
    leave_out(gone);
    outbox_.touch(*move.from);
    outbox_.touch(*move.to);
  }
  return outbox_.after_change(sequence);
}

/// What the peer does for a rename that has been done here; names are known as they were before. The caller holds names
/// exclusively. `gone`: inodes that are not replicated any more, pinned.
SequenceNumber Operations::append_across(const Move& move, Crossing& crossing, std::vector<Inode*>& gone) {
  SequenceNumber sequence{};
  struct End {
    InodeId parent{};
    const std::string& name;
  };
  const std::array<End, 2> ends{End{move.from->id, move.name}, End{move.to->id, move.new_name}};
  for (std::size_t i = 0; i < crossing.size(); ++i) {
    Moved& moved = crossing[i];
    if (moved.inode == nullptr || !moved.was_replicated) continue;
    if (moved.made_anew) {
      // Files keep what they are, by a link; only an entry that cannot be read is not there then, and a synchronisation finds it.
      (void)stage_entry(*moved.inode, inodes_.root_id(root_), moved.staged.name, moved.path_after, moved.staged);
    }
    if (moved.made_anew || !moved.is_replicated) {
      sequence = outbox_.append(wire::Remove{
          .parent = ends[i].parent, .name = ends[i].name, .directory = S_ISDIR(moved.inode->type)});
      find_gone(*moved.inode, moved.path_before, moved.is_replicated ? std::optional{moved.path_after} : std::nullopt, gone);
    } else {
      sequence = outbox_.append(wire::Rename{.id = moved.inode->id, .parent = ends[i].parent, .name = ends[i].name,
                                             .new_parent = ends[1 - i].parent, .new_name = ends[1 - i].name});
    }
  }
  for (std::size_t i = 0; i < crossing.size(); ++i) {
    const Moved& moved = crossing[i];
    if (moved.inode == nullptr || !moved.is_replicated || (moved.was_replicated && !moved.made_anew)) continue;
    sequence = outbox_.append(wire::Rename{.id = moved.inode->id, .parent = inodes_.root_id(root_), .name = moved.staged.name,
                                           .new_parent = ends[1 - i].parent, .new_name = ends[1 - i].name});
    if (auto root = inodes_.find(inodes_.root_id(root_).value)) outbox_.touch(**root);
  }
  return sequence;
}

Call<void> Operations::stage(Moved& moved) {
  {
    const auto names = order_.names_exclusive();
    SK_TRY_VOID(stage_entry(*moved.inode, inodes_.root_id(root_), moved.staged.name, moved.path_after, moved.staged));
  }
  send_staged(moved.staged);
  return {};
}

/// The caller holds names exclusively.
void Operations::unstage(Moved& moved) {
  if (moved.was_replicated || !std::exchange(moved.staged.begun, false)) return;
  outbox_.append(wire::Remove{.parent = inodes_.root_id(root_), .name = moved.staged.name,
                              .directory = S_ISDIR(moved.inode->type)});
  if (auto root = inodes_.find(inodes_.root_id(root_).value)) outbox_.touch(**root);
  leave_out(moved.staged.inodes);
}

/// An entry and all below it that is replicated where it goes. The caller holds names exclusively.
Call<void> Operations::stage_entry(Inode& inode, InodeId parent, const std::string& name, const std::string& path,
                                   Staged& staged) {
  SK_TRY(const SharedFd fd, inodes_.path_fd(inode));
  struct stat st {};
  SK_TRY_VOID(checked(::fstatat(fd->get(), "", &st, AT_EMPTY_PATH)));
  if (!S_ISDIR(inode.type) && !inode.nameless) {  // it is there by another name
    outbox_.append(wire::Link{.id = inode.id, .parent = parent, .name = name});
    staged.begun = true;
    return {};
  }
  wire::Create create{.parent = parent, .name = name, .id = inode.id, .attributes = to_attributes(st)};
  if (S_ISLNK(inode.type)) {
    auto target = replica::tree::link_target(fd->get(), "");
    if (!target) return Errno{EIO};
    create.link_target = std::move(*target);
  }
  outbox_.append(create);
  staged.begun = true;
  inodes_.pin(inode);
  staged.inodes.push_back(&inode);
  if (S_ISDIR(inode.type)) {
    SK_TRY(const Fd directory, inodes_.open_anew(inode, O_RDONLY | O_DIRECTORY));
    const auto entries = replica::tree::entries_of(directory.get());
    if (!entries) return Errno{EIO};
    for (const std::string& entry : *entries) {
      struct stat below {};
      SK_TRY_VOID(checked(::fstatat(directory.get(), entry.c_str(), &below, AT_SYMLINK_NOFOLLOW)));
      if (inodes_.exclusion(root_).excludes(path, entry, S_ISDIR(below.st_mode))) continue;
      SK_TRY(Inode * child, inodes_.adopt(inode, entry, below, InodeTable::For::Pin));
      const auto done = stage_entry(*child, inode.id, entry, joined(path, entry), staged);
      inodes_.unpin(child->id);
      SK_TRY_VOID(done);
    }
  }
  inode.nameless = false;  // after what is below it, which is judged by it
  return {};
}

/// What the inodes hold, with no names held; live changes follow.
void Operations::send_staged(const Staged& staged) {
  for (Inode* inode : staged.inodes) {
    const auto content = order_.content(inode->id);
    send_nameless(*inode);
  }
}

/// The inodes below a directory, and itself, that were replicated at one path and are not at another (or at none). Only those
/// that somebody knows matter. The caller holds names exclusively.
void Operations::find_gone(Inode& inode, const std::string& before, const std::optional<std::string>& after,
                           std::vector<Inode*>& gone) {
  const replica::Exclusion& rules = inodes_.exclusion(root_);
  if (!after) {
    inodes_.pin(inode);
    gone.push_back(&inode);
  }
  if (!S_ISDIR(inode.type)) return;
  const auto directory = inodes_.open_anew(inode, O_RDONLY | O_DIRECTORY);
  const auto entries = directory ? replica::tree::entries_of(directory->get())
                                 : Result<std::vector<std::string>>{Error{Code::Io, "a directory that cannot be opened"}};
  if (!entries) return;
  for (const std::string& entry : *entries) {
    struct stat st {};
    if (::fstatat(directory->get(), entry.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    Inode* child = inodes_.find(st.st_dev, st.st_ino);
    if (child == nullptr || rules.excludes(before, entry, S_ISDIR(st.st_mode))) continue;
    const bool stays = after && !rules.excludes(*after, entry, S_ISDIR(st.st_mode));
    find_gone(*child, joined(before, entry), stays ? std::optional{joined(*after, entry)} : std::nullopt, gone);
  }
}

/// After the names are known as they are now. The peer hears of these inodes again only when they come in.
void Operations::leave_out(std::vector<Inode*>& gone) {
  for (Inode* inode : gone) {
    if (S_ISDIR(inode->type) || !inodes_.has_replicated_name(*inode)) {
      inode->nameless = true;
      outbox_.append(wire::Forget{.id = inode->id});
    }
    inodes_.unpin(inode->id);
  }
  gone.clear();
}

}  // namespace safekit::fuse
