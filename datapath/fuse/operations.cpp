#include "datapath/fuse/operations.h"

#include <array>

namespace safekit::fuse {
namespace {

/// Every change goes through this mount, so what the kernel knows stays true until it changes it itself.
constexpr std::uint64_t kValidSeconds = 3600;

}  // namespace

Operations::Operations(std::uint32_t root, InodeTable& inodes, Outbox& outbox, replica::TreeOrder& order)
    : root_(root), inodes_(inodes), outbox_(outbox), order_(order),
      next_stream_((std::uint64_t{inodes.epoch()} << kEpochShift) + 1) {}

void Operations::take_back(const std::vector<Ledger::Record*>& records) {
  for (Ledger::Record* record : records) {
    const std::vector<std::uint64_t> counted{record->counted, record->counted + std::exchange(record->counts, 0)};
    const std::int32_t opens = std::exchange(record->opens, 0);
    // First: were this process to end here, the counts would stay too high, not become too low.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (const auto inode = inodes_.find(record->opened); opens != 0 && inode) {
      if (opens > 0)
        inodes_.close_file(**inode);
      else
        inodes_.reopen_file(**inode);
    }
    for (const std::uint64_t id : counted) inodes_.forget(InodeId{id}, 1);
  }
}

bool Operations::has_reply(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET;
}

/// Absent ones are answered with ENOSYS and not sent again: locks and access checks stay with the kernel,
/// INTERRUPT is not needed (no request waits for ever), copy_file_range becomes reads and writes, STATX
/// becomes GETATTR.
Operations::Kind Operations::kind_of(std::uint32_t opcode) {
  struct Row {
    std::uint32_t opcode{0};
    Function function{nullptr};
    bool changes{false};
  };
  static constexpr std::array kRows = std::to_array<Row>({
      {FUSE_LOOKUP, &Operations::lookup},
      {FUSE_FORGET, &Operations::forget},
      {FUSE_BATCH_FORGET, &Operations::batch_forget},
      {FUSE_GETATTR, &Operations::getattr},
      {FUSE_SETATTR, &Operations::setattr, true},
      {FUSE_READLINK, &Operations::readlink},
      {FUSE_SYMLINK, &Operations::symlink, true},
      {FUSE_MKNOD, &Operations::mknod, true},
      {FUSE_MKDIR, &Operations::mkdir, true},
      {FUSE_UNLINK, &Operations::unlink, true},
      {FUSE_RMDIR, &Operations::rmdir, true},
      {FUSE_RENAME, &Operations::rename, true},
      {FUSE_RENAME2, &Operations::rename2, true},
      {FUSE_LINK, &Operations::link, true},
      {FUSE_OPEN, &Operations::open},
      {FUSE_CREATE, &Operations::create, true},
      {FUSE_TMPFILE, &Operations::tmpfile, true},
      {FUSE_READ, &Operations::read},
      {FUSE_WRITE, &Operations::write, true},
      {FUSE_FLUSH, &Operations::flush},
      {FUSE_FSYNC, &Operations::fsync},
      {FUSE_RELEASE, &Operations::release},
      {FUSE_FALLOCATE, &Operations::fallocate, true},
      {FUSE_LSEEK, &Operations::lseek},
      {FUSE_OPENDIR, &Operations::opendir},
      {FUSE_READDIR, &Operations::readdir},
      {FUSE_READDIRPLUS, &Operations::readdirplus},
      {FUSE_RELEASEDIR, &Operations::releasedir},
      {FUSE_FSYNCDIR, &Operations::fsyncdir},
      {FUSE_STATFS, &Operations::statfs},
      {FUSE_SYNCFS, &Operations::syncfs},
      {FUSE_GETXATTR, &Operations::getxattr},
      {FUSE_LISTXATTR, &Operations::listxattr},
      {FUSE_SETXATTR, &Operations::setxattr, true},
      {FUSE_REMOVEXATTR, &Operations::removexattr, true},
      {FUSE_DESTROY, &Operations::nothing},
  });
  static constexpr auto kByOpcode = [] {
    std::array<Kind, 64> table{};
    for (const Row& row : kRows) table[row.opcode] = {row.function, row.changes};
    return table;
  }();
  return opcode < kByOpcode.size() ? kByOpcode[opcode] : Kind{};
}

Call<void> Operations::run(const Request& request, Reply& reply) {
  const std::uint32_t opcode = request.header().opcode;
  if (opcode == FUSE_IOCTL) return Errno{ENOTTY};
  const Kind kind = kind_of(opcode);
  if (kind.function == nullptr) return Errno{ENOSYS};
  if (kind.changes) SK_TRY_VOID(outbox_.permit());
  return (this->*kind.function)(request, reply);
}

Call<void> Operations::nothing(const Request&, Reply&) {
  return {};
}

Call<Inode*> Operations::node(std::uint64_t nodeid) {
  return inodes_.find(nodeid == FUSE_ROOT_ID ? inodes_.root_id(root_).value : nodeid);
}

std::uint64_t Operations::nodeid_of(const Inode& inode) const {
  return inode.id == inodes_.root_id(root_) ? FUSE_ROOT_ID : inode.id.value;
}

void Operations::fill_attributes(fuse_attr& out, const struct stat& attributes) {
  out.ino = attributes.st_ino;
  out.size = static_cast<std::uint64_t>(attributes.st_size);
  out.blocks = static_cast<std::uint64_t>(attributes.st_blocks);
  out.atime = static_cast<std::uint64_t>(attributes.st_atim.tv_sec);
  out.mtime = static_cast<std::uint64_t>(attributes.st_mtim.tv_sec);
  out.ctime = static_cast<std::uint64_t>(attributes.st_ctim.tv_sec);
  out.atimensec = static_cast<std::uint32_t>(attributes.st_atim.tv_nsec);
  out.mtimensec = static_cast<std::uint32_t>(attributes.st_mtim.tv_nsec);
  out.ctimensec = static_cast<std::uint32_t>(attributes.st_ctim.tv_nsec);
  out.mode = attributes.st_mode;
  out.nlink = static_cast<std::uint32_t>(attributes.st_nlink);
  out.uid = attributes.st_uid;
  out.gid = attributes.st_gid;
  out.rdev = static_cast<std::uint32_t>(attributes.st_rdev);
  out.blksize = static_cast<std::uint32_t>(attributes.st_blksize);
}

void Operations::fill_entry(fuse_entry_out& out, const Inode& inode, const struct stat& attributes) const {
  out.nodeid = nodeid_of(inode);
  out.entry_valid = kValidSeconds;
  out.attr_valid = kValidSeconds;
  fill_attributes(out.attr, attributes);
}

void Operations::add_entry(Reply& reply, const Inode& inode, const struct stat& attributes) const {
  fuse_entry_out out{};
  fill_entry(out, inode, attributes);
  reply.add(out);
}

void Operations::add_attributes(Reply& reply, const struct stat& attributes) {
  fuse_attr_out out{};
  out.attr_valid = kValidSeconds;
  fill_attributes(out.attr, attributes);
  reply.add(out);
}

/// Who only writes bypasses the page cache: the kernel then neither asks for file capabilities before the first write nor
/// copies into pages that nobody may ever read.
void Operations::add_open(Reply& reply, std::uint32_t flags) const {
  fuse_open_out out{};
  out.open_flags = FOPEN_KEEP_CACHE;
  if (is_writable(flags)) out.fh |= kHandleWritable;
  if ((flags & O_ACCMODE) == O_WRONLY && !outbox_.writes_back()) {
    out.fh |= kHandleUncached;
    out.open_flags |= FOPEN_DIRECT_IO;
  }
  if (!is_writable(flags) || !outbox_.waits_on_close()) out.open_flags |= FOPEN_NOFLUSH;
  reply.add(out);
}

}  // namespace safekit::fuse
