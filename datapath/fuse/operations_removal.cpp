#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/fuse/operations.h"
#include "datapath/fuse/victim.h"

namespace safekit::fuse {
namespace {

using What = replica::Change::What;

bool is_number(int directory, const std::string& name, std::uint64_t number) {
  struct stat attributes {};
  return ::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0 && attributes.st_ino == number;
}

/// A rename that may have been done already: what was moved stands at the new name and not at the old one.
bool was_moved(int from, const std::string& name, int to, const std::string& new_name, std::uint64_t number) {
  return is_number(to, new_name, number) && !is_number(from, name, number);
}

bool is_directory(int directory, const std::string& name) {
  struct stat attributes {};
  return ::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(attributes.st_mode);
}

}  // namespace

Call<void> Operations::remove(const Request& request, bool directory) {
  SK_TRY(const auto text, request.name_at(0));
  const std::string name{text};
  SK_TRY(Inode * parent, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.path_fd(*parent));
  SK_TRY(Victim victim, victim_of(inodes_, fd->get(), name.c_str()));
  SequenceNumber sequence{};
  {
    const What what = directory ? What::Tree : What::Names;
    const InodeId above = noted_id(*parent);
    SK_TRY(const auto scope,
           outbox_.changing({{.what = What::Names, .id = above}, {.what = what, .id = above, .name = name}}));
    const auto content = content_of(order_, victim);
    const auto names = order_.names_exclusive();
    SK_TRY_VOID(settle_victim(inodes_, fd->get(), name.c_str(), victim));
    const bool replicated = !inodes_.excludes(*parent, name, directory);
    request.attempt().begin_change();
    const auto removed = checked(::unlinkat(fd->get(), name.c_str(), directory ? AT_REMOVEDIR : 0));
    // The kernel asks only for names that are there: it was removed the first time.
    const bool gone = !removed && removed.error().number == ENOENT && request.attempt().is_repeated();
    if (!removed && !gone) {
      keep_name(inodes_, victim);
      return removed.error();
    }
    if (replicated) sequence = outbox_.append(wire::Remove{.parent = parent->id, .name = name, .directory = directory});
    forget_name(inodes_, victim, *parent, name);
    if (replicated) forget_replicated_name(inodes_, victim, *parent);
    outbox_.let_go(victim.inode);
    outbox_.touch(*parent);
  }
  return outbox_.after_change(sequence);
}

Call<void> Operations::unlink(const Request& request, Reply&) {
  return remove(request, false);
}

Call<void> Operations::rmdir(const Request& request, Reply&) {
  return remove(request, true);
}

Call<void> Operations::rename(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_rename_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(const auto new_name, request.name_at(sizeof in + name.size() + 1));
  SK_TRY(Inode * from, node(request.header().nodeid));
  SK_TRY(Inode * to, node(in.newdir));
  return move({.from = from, .name = std::string{name}, .to = to, .new_name = std::string{new_name}}, request.attempt());
}

Call<void> Operations::rename2(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_rename2_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(const auto new_name, request.name_at(sizeof in + name.size() + 1));
  SK_TRY(Inode * from, node(request.header().nodeid));
  SK_TRY(Inode * to, node(in.newdir));
  if ((in.flags & ~std::uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0) return Errno{EINVAL};
  return move({.from = from,
               .name = std::string{name},
               .to = to,
               .new_name = std::string{new_name},
               .flags = in.flags},
              request.attempt());
}

/// Where a directory moves, all below its old and its new name is in doubt after a crash.
Call<replica::ChangeScope> Operations::changing(const Move& move, bool directories) {
  const What what = directories ? What::Tree : What::Names;
  const InodeId from = noted_id(*move.from);
  const InodeId to = noted_id(*move.to);
  return outbox_.changing({{.what = What::Names, .id = from},
                           {.what = What::Names, .id = to},
                           {.what = what, .id = from, .name = move.name},
                           {.what = what, .id = to, .name = move.new_name}});
}

Call<void> Operations::move(const Move& move, Attempt& attempt) {
  SK_TRY(const SharedFd from, inodes_.path_fd(*move.from));
  SK_TRY(const SharedFd to, inodes_.path_fd(*move.to));
  if (attempt.is_repeated() && was_moved(from->get(), move.name, to->get(), move.new_name, attempt.evidence())) {
    outbox_.touch(*move.from);
    outbox_.touch(*move.to);
    return outbox_.after_change(replica::kBeforeTakeOver);
  }
  const bool exchange = (move.flags & RENAME_EXCHANGE) != 0;
  if (!inodes_.exclusion(move.from->handle.root).empty()) {
    SK_TRY(auto crossing, border(move));
    if (crossing) return move_across(move, *crossing);
  }
  SK_TRY(Victim replaced,
         exchange ? Call<Victim>{Victim{}} : victim_of(inodes_, to->get(), move.new_name.c_str()));
  SequenceNumber sequence{};
  {
    const bool directories = is_directory(from->get(), move.name) || (exchange && is_directory(to->get(), move.new_name));
    SK_TRY(const auto scope, changing(move, directories));
    const auto content = content_of(order_, replaced);
    const auto names = order_.names_exclusive();
    if (!exchange) SK_TRY_VOID(settle_victim(inodes_, to->get(), move.new_name.c_str(), replaced));
    struct stat moved {};
    SK_TRY_VOID(checked(::fstatat(from->get(), move.name.c_str(), &moved, AT_SYMLINK_NOFOLLOW)));
    SK_TRY(Inode * inode, inodes_.adopt(*move.from, move.name, moved, InodeTable::For::Pin));
    Inode* other = nullptr;
    struct stat swapped {};
    if (exchange && ::fstatat(to->get(), move.new_name.c_str(), &swapped, AT_SYMLINK_NOFOLLOW) == 0) {
      other = inodes_.find(swapped.st_dev, swapped.st_ino);
    }
    attempt.begin_change(moved.st_ino);
    const auto renamed =
        checked(::renameat2(from->get(), move.name.c_str(), to->get(), move.new_name.c_str(), move.flags));
    if (renamed && inode != replaced.inode) {  // two names of one file: rename does nothing at all
      sequence = outbox_.append(wire::Rename{.id = inode->id,
                                             .parent = move.from->id,
                                             .name = move.name,
                                             .new_parent = move.to->id,
                                             .new_name = move.new_name,
                                             .flags = move.flags});
      forget_name(inodes_, replaced, *move.to, move.new_name);
      outbox_.let_go(replaced.inode);
      inodes_.remove_name(*inode, move.from->id, move.name);
      inodes_.add_name(*inode, move.to->id, move.new_name);
      if (other != nullptr) {
        inodes_.remove_name(*other, move.to->id, move.new_name);
        inodes_.add_name(*other, move.from->id, move.name);
      }
      outbox_.touch(*move.from);
      outbox_.touch(*move.to);
    }
    inodes_.unpin(inode->id);
    if (!renamed) keep_name(inodes_, replaced);
    SK_TRY_VOID(renamed);
  }
  return outbox_.after_change(sequence);
}

}  // namespace safekit::fuse
