#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>

#include "datapath/fuse/operations.h"

namespace safekit::fuse {
namespace {

/// Entries of one getdents64 call at most; more than a whole reply needs is read again next time.
constexpr std::size_t kEntriesBytesMin = 1024;
constexpr std::size_t kEntriesBytesMax = 64 * 1024;

bool is_dots(std::string_view name) {
  return name == "." || name == "..";
}

template <class Out>
std::size_t room_for(std::string_view name) {
  return FUSE_DIRENT_ALIGN(offsetof(Out, name) + name.size());
}
template <>
std::size_t room_for<fuse_direntplus>(std::string_view name) {
  return FUSE_DIRENT_ALIGN(offsetof(fuse_direntplus, dirent.name) + name.size());
}

void fill(fuse_dirent& out, const dirent64& entry, std::string_view name) {
  out.ino = entry.d_ino;
  out.off = static_cast<std::uint64_t>(entry.d_off);
  out.namelen = static_cast<std::uint32_t>(name.size());
  out.type = entry.d_type;
}

}  // namespace

Call<void> Operations::opendir(const Request& request, Reply& reply) {
  SK_TRY(Inode * inode, node(request.header().nodeid));
  auto opened = std::make_shared<DirectoryStream>();
  SK_TRY(opened->fd, inodes_.open_anew(*inode, O_RDONLY | O_DIRECTORY));
  fuse_open_out out{};
  {
    const std::lock_guard lock{streams_mutex_};
    out.fh = next_stream_++;
    streams_[out.fh] = std::move(opened);
  }
  reply.add(out);
  return {};
}

/// One that an earlier process had open is opened again: positions are the file system's own and hold for every open.
Call<std::shared_ptr<DirectoryStream>> Operations::stream(std::uint64_t handle, Inode& inode) {
  {
    const std::lock_guard lock{streams_mutex_};
    if (const auto found = streams_.find(handle); found != streams_.end()) return found->second;
  }
  if (handle >> kEpochShift >= inodes_.epoch()) return Errno{EBADF};
  auto opened = std::make_shared<DirectoryStream>();
  SK_TRY(opened->fd, inodes_.open_anew(inode, O_RDONLY | O_DIRECTORY));
  opened->position = -1;
  const std::lock_guard lock{streams_mutex_};
  return streams_.emplace(handle, std::move(opened)).first->second;
}

Call<void> Operations::readdir(const Request& request, Reply& reply) {
  return read_directory(request, reply, false);
}

Call<void> Operations::readdirplus(const Request& request, Reply& reply) {
  return read_directory(request, reply, true);
}

Call<void> Operations::read_directory(const Request& request, Reply& reply, bool plus) {
  SK_TRY(const auto in, request.arguments<fuse_read_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const auto from, stream(in.fh, *inode));
  const std::lock_guard lock{from->mutex};
  const auto offset = static_cast<std::int64_t>(in.offset);
  if (from->position != offset)
    SK_TRY_VOID(checked(::lseek64(from->fd.get(), offset, SEEK_SET) < 0 ? -1 : 0));
  from->position = -1;  // unknown until the end, so that an error below leads to a seek
  alignas(dirent64) std::array<char, kEntriesBytesMax> entries;
  const std::size_t share = plus ? in.size / 5 : in.size;
  const ssize_t size =
      ::getdents64(from->fd.get(), entries.data(), std::clamp(share, kEntriesBytesMin, entries.size()));
  if (size < 0) return last_errno();
  const auto room = reply.scratch(in.size);
  std::size_t used = 0;
  std::int64_t next = offset;
  bool all = true;
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    const auto& read = *reinterpret_cast<const dirent64*>(entries.data() + at);
    at += read.d_reclen;
    const std::string_view name{read.d_name};
    const std::size_t needed = plus ? room_for<fuse_direntplus>(name) : room_for<fuse_dirent>(name);
    if (used + needed > room.size() || !request.attempt().has_room()) {
      all = false;
      break;
    }
    std::memset(room.data() + used, 0, needed);
    auto* out = reinterpret_cast<fuse_dirent*>(room.data() + used);
    if (plus) {
      auto* full = reinterpret_cast<fuse_direntplus*>(room.data() + used);
      // An entry without a node is shown without attributes, as one that vanished just now.
      const auto found =
          is_dots(name) ? Call<Entry>{Errno{ENOENT}} : entry(*inode, from->fd.get(), std::string{name}, request.attempt());
      if (found) fill_entry(full->entry_out, *found->inode, found->attributes);
      out = &full->dirent;
    }
    fill(*out, read, name);
    std::memcpy(reinterpret_cast<std::uint8_t*>(out) + offsetof(fuse_dirent, name), name.data(), name.size());
    used += needed;
    next = read.d_off;
  }
  if (all) from->position = next;
  reply.use(used);
  return {};
}

Call<void> Operations::releasedir(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_release_in>());
  const std::lock_guard lock{streams_mutex_};
  streams_.erase(in.fh);
  return {};
}

Call<void> Operations::fsyncdir(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_fsync_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const auto from, stream(in.fh, *inode));
  std::optional<SequenceNumber> sync{};
  {
    const auto content = order_.content(inode->id);
    outbox_.append_mtime(*inode);
    sync = outbox_.append_to(*inode, wire::Sync{.id = inode->id, .data_only = false});
  }
  SK_TRY_VOID(checked(::fsync(from->fd.get())));
  return outbox_.after_sync(sync);
}

}  // namespace safekit::fuse
