#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "datapath/fuse/operations.h"

namespace safekit::fuse {
namespace {

/// Piece in which the content of a file that gets its first name is sent.
constexpr std::size_t kPieceBytes = 1 << 20;

using replica::Change;
using What = Change::What;

/// What ext4 has allocated before the disk was full, it leaves as growth of the file; the kernel above and the peer know of none.
void take_back_growth(int file, off_t size) {
  struct stat now {};
  if (::fstat(file, &now) != 0 || now.st_size <= size) return;
  (void)!::ftruncate(file, size);  // only room is given back: refused by a broken disk alone
}

/// Not refused at its beginning, for what was asked: XFS has punched a range that it finds no room for to fill with zeros.
bool may_be_made_in_part(Errno error) {
  constexpr std::array kBegun{ENOSPC, EDQUOT, EIO, EINTR, ENOMEM};
  return std::ranges::find(kBegun, error.number) != kBegun.end();
}

}  // namespace

Call<void> Operations::open(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_open_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  const bool changes = (in.flags & O_TRUNC) != 0;
  if (changes) SK_TRY_VOID(outbox_.permit());
  SK_TRY_VOID(open_existing(*inode, in.flags, (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0, request.attempt()));
  add_open(reply, in.flags);
  return changes ? outbox_.after_change(*inode) : outbox_.after_open(*inode);
}

Call<void> Operations::open_existing(Inode& inode, std::uint32_t flags, bool kill_set_id, Attempt& attempt) {
  const bool empty = (flags & O_TRUNC) != 0;
  SK_TRY_VOID(inodes_.open_file(inode, is_writable(flags) || empty));
  attempt.opened(inode.id);
  if (!empty) return {};
  const auto content = order_.content(inode.id);
  const auto truncated = truncate(inode, 0, kill_set_id);
  if (!truncated) {
    attempt.unopened();
    inodes_.close_file(inode);
  }
  return truncated;
}

/// The caller holds content.
Call<void> Operations::truncate(Inode& inode, std::uint64_t size, bool kill_set_id) {
  SK_TRY(const auto scope, outbox_.changing({{.what = What::Tail, .id = noted_id(inode), .offset = size}}));
  if (kill_set_id) SK_TRY_VOID(drop_set_id(inode));
  SK_TRY(Fd file, inodes_.open_anew(inode, O_WRONLY));
  SK_TRY_VOID(checked(::ftruncate(file.get(), static_cast<off_t>(size))));
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstat(file.get(), &attributes)));
  inode.unreceived = true;
  outbox_.append_to(inode,
                    wire::SetAttributes{.id = inode.id,
                                        .mask = wire::SetAttributes::kSize | wire::SetAttributes::kMtime,
                                        .attributes = to_attributes(attributes)});
  return {};
}

/// What the kernel leaves to us with HANDLE_KILLPRIV_V2; file capabilities go by themselves with the write
/// underneath. The caller holds content.
Call<void> Operations::drop_set_id(Inode& inode) {
  if (!inode.may_set_id) return {};
  SK_TRY(const SharedFd fd, inodes_.any_fd(inode));
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstatat(fd->get(), "", &attributes, AT_EMPTY_PATH)));
  mode_t mode = attributes.st_mode & ~mode_t{S_ISUID};
  if ((mode & S_IXGRP) != 0) mode &= ~mode_t{S_ISGID};  // without group execute it means mandatory locking
  if (mode == attributes.st_mode) {
    inode.may_set_id = (mode & (S_ISUID | S_ISGID)) != 0;
    return {};
  }
  SK_TRY(const auto scope, outbox_.changing({{.what = What::Attributes, .id = noted_id(inode)}}));
  SK_TRY_VOID(checked(::chmod(magic_path(fd->get()).c_str(), mode & 07777)));
  attributes.st_mode = mode;
  inode.may_set_id = (mode & (S_ISUID | S_ISGID)) != 0;
  outbox_.append_to(inode, wire::SetAttributes{.id = inode.id,
                                               .mask = wire::SetAttributes::kMode,
                                               .attributes = to_attributes(attributes)});
  return {};
}

Call<void> Operations::read(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_read_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd file, inodes_.file_fd(*inode));
  const auto room = reply.scratch(in.size);
  const ssize_t size = ::pread(file->get(), room.data(), room.size(), static_cast<off_t>(in.offset));
  if (size < 0) return last_errno();
  reply.use(static_cast<std::size_t>(size));
  return {};
}

/// The kernel sends FSYNC behind an O_SYNC or O_DSYNC write, but not where the open bypasses the cache.
Call<void> Operations::write(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_write_in>());
  SK_TRY(const BytesView data, request.bytes_at(sizeof in, in.size));
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd file, inodes_.file_fd(*inode));
  fuse_write_out out{};
  {
    SK_TRY(const auto scope,
           outbox_.changing({{.what = What::Content, .id = noted_id(*inode), .offset = in.offset, .size = in.size}}));
    const auto content = order_.content(inode->id);
    if ((in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0) SK_TRY_VOID(drop_set_id(*inode));
    const ssize_t size = ::pwrite(file->get(), data.data(), data.size(), static_cast<off_t>(in.offset));
    if (size < 0) {
      const Errno why = last_errno();
      outbox_.touch(*inode);  // ext4 has set the time before it looked for room
      return why;
    }
    out.size = static_cast<std::uint32_t>(size);
    inode->unreceived = true;
    outbox_.append_to(*inode, wire::Write{.id = inode->id, .offset = in.offset, .size = out.size},
                      data.first(out.size));
    outbox_.touch(*inode);
  }
  write_behind_.wrote(inode->id, file, in.offset, out.size);
  reply.add(out);
  if ((in.fh & kHandleUncached) != 0 && (in.flags & O_DSYNC) != 0) {
    return synchronise(*inode, (in.flags & O_SYNC) != O_SYNC);
  }
  return outbox_.after_change(*inode);
}

Call<void> Operations::flush(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_flush_in>());
  if ((in.fh & kHandleWritable) == 0 || !outbox_.waits_on_close()) return {};
  SK_TRY(Inode * inode, node(request.header().nodeid));
  // Another close at the same time may have taken the flag and wait still: this one waits as well.
  if (inode->unreceived.exchange(false)) {
    const auto content = order_.content(inode->id);
    outbox_.append_mtime(*inode);
  }
  return outbox_.after_close(*inode);
}

Call<void> Operations::fsync(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_fsync_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  return synchronise(*inode, (in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0);
}

Call<void> Operations::synchronise(Inode& inode, bool data_only) {
  SK_TRY(const SharedFd file, inodes_.file_fd(inode));
  std::optional<SequenceNumber> sync{};
  {
    const auto content = order_.content(inode.id);
    if (!data_only) outbox_.append_likely_mtime(inode);
    sync = outbox_.append_to(inode, wire::Sync{.id = inode.id, .data_only = data_only});
  }
  // The peer syncs at the same time.
  SK_TRY_VOID(checked(data_only ? ::fdatasync(file->get()) : ::fsync(file->get())));
  return outbox_.after_sync(sync);
}

Call<void> Operations::release(const Request& request, Reply&) {
  SK_TRY(Inode * inode, node(request.header().nodeid));
  request.attempt().released(inode->id);
  inodes_.close_file(*inode);
  return {};
}

Call<void> Operations::fallocate(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_fallocate_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd file, inodes_.file_fd(*inode));
  // Collapsing or inserting moves all that is behind it.
  const bool moves = (in.mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0;
  {
    const Change change{.what = moves ? What::Tail : What::Content, .id = noted_id(*inode), .offset = in.offset, .size = in.length};
    SK_TRY(const auto scope, outbox_.changing({change}));
    const auto content = order_.content(inode->id);
    struct stat before {};
    SK_TRY_VOID(checked(::fstat(file->get(), &before)));
    const auto done = checked(::fallocate(file->get(), static_cast<int>(in.mode), static_cast<off_t>(in.offset),
                                          static_cast<off_t>(in.length)));
    if (!done) {
      take_back_growth(file->get(), before.st_size);
      const bool replaces = moves || (in.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
      if (replaces && may_be_made_in_part(done.error())) outbox_.doubt(change);
      outbox_.touch(*inode);
      return done.error();
    }
    inode->unreceived = true;
    outbox_.append_to(
        *inode, wire::Fallocate{.id = inode->id, .mode = in.mode, .offset = in.offset, .length = in.length});
    outbox_.touch(*inode);
  }
  return outbox_.after_change(*inode);
}

Call<void> Operations::lseek(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_lseek_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd file, inodes_.file_fd(*inode));
  // The position of the shared descriptor means nothing: reads and writes name theirs.
  const off_t offset = ::lseek(file->get(), static_cast<off_t>(in.offset), static_cast<int>(in.whence));
  if (offset < 0) return last_errno();
  reply.add(fuse_lseek_out{.offset = static_cast<std::uint64_t>(offset)});
  return {};
}

/// Content, xattrs and mtime of what has just got its first name; it has that name, whatever comes. The caller holds content.
void Operations::send_nameless(Inode& inode) {
  if (!send_all_of(inode)) outbox_.doubt({.what = What::Tail, .id = inode.id});
}

Call<void> Operations::send_all_of(Inode& inode) {
  if (!S_ISREG(inode.type)) {  // a FIFO is not opened without somebody at its other end
    SK_TRY_VOID(send_xattrs(inode));
    inode.touched = true;
    outbox_.append_mtime(inode);
    return {};
  }
  SK_TRY(Fd file, inodes_.open_anew(inode, O_RDONLY));
  std::vector<std::uint8_t> piece(kPieceBytes);
  off_t end = 0;
  for (off_t start = 0; (start = ::lseek(file.get(), end, SEEK_DATA)) >= 0;) {
    end = ::lseek(file.get(), start, SEEK_HOLE);
    if (end < 0) return last_errno();
    while (start < end) {
      const auto wanted = std::min<std::size_t>(piece.size(), static_cast<std::size_t>(end - start));
      const ssize_t size = ::pread(file.get(), piece.data(), wanted, start);
      if (size < 0) return last_errno();
      if (size == 0) break;
      outbox_.append_to(inode,
                        wire::Write{.id = inode.id,
                                    .offset = static_cast<std::uint64_t>(start),
                                    .size = static_cast<std::uint32_t>(size)},
                        BytesView{piece}.first(static_cast<std::size_t>(size)));
      start += size;
    }
  }
  SK_TRY_VOID(send_xattrs(inode));
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstat(file.get(), &attributes)));
  inode.touched = false;
  inode.unreceived = true;
  outbox_.append_to(inode,
                    wire::SetAttributes{.id = inode.id,
                                        .mask = wire::SetAttributes::kSize | wire::SetAttributes::kMtime,
                                        .attributes = to_attributes(attributes)});
  return {};
}

}  // namespace safekit::fuse
