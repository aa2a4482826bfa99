#include "datapath/fuse/victim.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace safekit::fuse {

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

Call<void> settle_victim(InodeTable& inodes, int directory, const char* name, Victim& victim) {
  if (victim.inode == nullptr || victim.last_name) return {};
  struct stat attributes {};
  if (::fstatat(directory, name, &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return last_errno();
  }
  victim.last_name = attributes.st_nlink <= 1;
  if (!victim.last_name) return {};
  return inodes.hold(*victim.inode);
}

void keep_name(InodeTable& inodes, const Victim& victim) {
  if (victim.inode != nullptr && victim.last_name) inodes.unhold(*victim.inode);
}

std::optional<std::unique_lock<std::mutex>> content_of(replica::TreeOrder& order, const Victim& victim) {
  if (victim.inode == nullptr) return std::nullopt;
  return order.content(victim.inode->id);
}

void forget_name(InodeTable& inodes, const Victim& victim, const Inode& parent, const std::string& name) {
  if (victim.inode == nullptr) return;
  inodes.remove_name(*victim.inode, parent.id, name);
  if (victim.last_name) victim.inode->nameless = true;
}

void forget_replicated_name(InodeTable& inodes, const Victim& victim, const Inode& parent) {
  if (victim.inode == nullptr || victim.inode->nameless || inodes.exclusion(parent.handle.root).empty()) return;
  victim.inode->nameless = !inodes.has_replicated_name(*victim.inode);
}

}  // namespace safekit::fuse
