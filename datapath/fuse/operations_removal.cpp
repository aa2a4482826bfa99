#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "datapath/fuse/operations.h"

namespace safekit::fuse {
namespace {

using What = replica::Change::What;

/// What is about to lose a name. The kernel holds the lock of its directory, so the name stays what it is.
struct Victim {
  Inode* inode{nullptr};  ///< nullptr: there is none, or nobody knows it
  bool last_name{false};
};

Call<Victim> victim_of(InodeTable& inodes, int directory, const char* name) {
  struct stat attributes {};
  if (::fstatat(directory, name, &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Victim{};
    return last_errno();
  }
  Victim victim{.inode = inodes.find(attributes.st_dev, attributes.st_ino),
                .last_name = S_ISDIR(attributes.st_mode) || attributes.st_nlink <= 1};
  // Whoever has it open or stands in it goes on using it, and its inode number cannot be given to another
  // file before.
  if (victim.inode != nullptr && victim.last_name) SK_TRY_VOID(inodes.hold(*victim.inode));
  return victim;
}

/// With this lock no operation on the victim follows the removal of its last name in the stream.
std::optional<std::unique_lock<std::mutex>> content_of(replica::TreeOrder& order, const Victim& victim) {
  if (victim.inode == nullptr) return std::nullopt;
  return order.content(victim.inode->id);
}

bool moves_directory(int directory, const std::string& name) {
  struct stat attributes {};
  return ::fstatat(directory, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(attributes.st_mode);
}

void forget_name(InodeTable& inodes, const Victim& victim, const Inode& parent, const std::string& name) {
  if (victim.inode == nullptr) return;
  inodes.remove_name(*victim.inode, parent.id, name);
  if (victim.last_name) victim.inode->nameless = true;
}

}  // namespace

Call<void> Operations::remove(const Request& request, bool directory) {
  SK_TRY(const auto text, request.name_at(0));
  const std::string name{text};
  SK_TRY(Inode * parent, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.path_fd(*parent));
  SK_TRY(const Victim victim, victim_of(inodes_, fd->get(), name.c_str()));
  SequenceNumber sequence{};
  {
    const auto scope = outbox_.changing({{.what = What::Names, .id = parent->id},
                                         {.what = directory ? What::Tree : What::Names, .id = parent->id, .name = name}});
    const auto content = content_of(order_, victim);
    const auto names = order_.names_exclusive();
    SK_TRY_VOID(checked(::unlinkat(fd->get(), name.c_str(), directory ? AT_REMOVEDIR : 0)));
    sequence = outbox_.append(wire::Remove{.parent = parent->id, .name = name, .directory = directory});
    forget_name(inodes_, victim, *parent, name);
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
  return move({.from = from, .name = std::string{name}, .to = to, .new_name = std::string{new_name}});
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
               .flags = in.flags});
}

Call<void> Operations::move(const Move& move) {
  SK_TRY(const SharedFd from, inodes_.path_fd(*move.from));
  SK_TRY(const SharedFd to, inodes_.path_fd(*move.to));
  const bool exchange = (move.flags & RENAME_EXCHANGE) != 0;
  SK_TRY(const Victim replaced,
         exchange ? Call<Victim>{Victim{}} : victim_of(inodes_, to->get(), move.new_name.c_str()));
  SequenceNumber sequence{};
  {
    const What what = moves_directory(from->get(), move.name) || (exchange && moves_directory(to->get(), move.new_name))
                          ? What::Tree
                          : What::Names;
    const auto scope = outbox_.changing({{.what = What::Names, .id = move.from->id},
                                         {.what = What::Names, .id = move.to->id},
                                         {.what = what, .id = move.from->id, .name = move.name},
                                         {.what = what, .id = move.to->id, .name = move.new_name}});
    const auto content = content_of(order_, replaced);
    const auto names = order_.names_exclusive();
    struct stat moved {};
    SK_TRY_VOID(checked(::fstatat(from->get(), move.name.c_str(), &moved, AT_SYMLINK_NOFOLLOW)));
    SK_TRY(Inode * inode, inodes_.adopt(*move.from, move.name, moved, InodeTable::For::Pin));
    Inode* other = nullptr;
    struct stat swapped {};
    if (exchange && ::fstatat(to->get(), move.new_name.c_str(), &swapped, AT_SYMLINK_NOFOLLOW) == 0) {
      other = inodes_.find(swapped.st_dev, swapped.st_ino);
    }
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
    SK_TRY_VOID(renamed);
  }
  return outbox_.after_change(sequence);
}

}  // namespace safekit::fuse
