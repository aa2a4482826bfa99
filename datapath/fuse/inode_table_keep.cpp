// What another process needs to go on with the inodes of this one (docs/takeover.md).
#include <fcntl.h>
#include <sys/stat.h>

#include "datapath/fuse/inode_table.h"

namespace safekit::fuse {

void InodeTable::keep_if_needed(Inode& inode) {
  if (!keeping_.keep) return;
  SharedFd path;
  {
    const std::lock_guard lock{mutex_};
    if (inode.kept || !inode.keep_path || inode.opens == 0 || inode.id.value < kFirstId) return;
    inode.kept = true;
    path = inode.path;
  }
  keeping_.keep(inode.id.value, path->get());
}

std::vector<std::pair<std::uint64_t, SharedFd>> InodeTable::kept() {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<std::uint64_t, SharedFd>> found;
  for (const auto& [id, inode] : inodes_) {
    if (inode->kept) found.emplace_back(id, inode->path);
  }
  return found;
}

void InodeTable::restore(Ledger& ledger, std::map<std::uint64_t, Fd> kept) {
  SK_ASSERT(inodes_.size() == roots_.size());
  ledger_ = &ledger;
  for (const auto& [slot, from] : ledger.inodes()) restore_one(slot, from, kept);
  next_id_ = std::max(next_id_, ledger.next_id());
  for (const auto& entry : kept) keeping_.drop(entry.first);  // the kernel no longer refers to them
}

void InodeTable::restore_one(std::uint32_t slot, const LedgerInode& from, std::map<std::uint64_t, Fd>& kept) {
  if (from.id < kFirstId || from.handle.root >= roots_.size() || inodes_.contains(from.id)) return ledger_->remove(slot);
  auto inode = std::make_unique<Inode>();
  inode->id = InodeId{from.id};
  inode->slot = slot;
  inode->device = from.device;
  inode->number = from.number;
  inode->type = from.type;
  inode->handle = from.handle;
  inode->has_handle = true;
  inode->lookups = from.lookups;
  inode->opens = from.opens;
  inode->file_writable = from.writable;
  inode->may_set_id = true;  // looked at when it matters
  inode->recent = recent_.end();
  inode->last_sequence = replica::kBeforeTakeOver.value;
  inode->unreceived = true;
  if (const auto found = kept.find(from.id); found != kept.end()) {
    inode->path = std::make_shared<const Fd>(std::move(found->second));
    inode->keep_path = inode->kept = true;
    kept.erase(found);
  }
  if (from.parting) {
    // Its last name may be gone, and then its number may be another file's by now.
    auto path = inode->path ? reopen(inode->path->get(), O_PATH)
                            : open_handle(roots_[from.handle.root].directory.get(), from.handle, O_PATH | O_NOFOLLOW);
    struct stat attributes {};
    inode->nameless = !path || ::fstat(path->get(), &attributes) != 0 || attributes.st_nlink == 0;
  }
  const std::lock_guard lock{mutex_};
  next_id_ = std::max(next_id_, from.id + 1);
  if (!inode->nameless || inode->kept) by_key_[{inode->device, inode->number}] = inode.get();
  inodes_[from.id] = std::move(inode);
}

}  // namespace safekit::fuse
