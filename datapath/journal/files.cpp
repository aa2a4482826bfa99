#include "datapath/journal/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace safekit::journal::files {

Error io_error(const std::string& what, const std::string& path) {
  return Error{errno == ENOENT ? Code::NotFound : Code::Io, fmt::format("{} '{}': {}", what, path, std::strerror(errno))};
}

namespace {

Status write_file(const std::string& path, BytesView bytes, int flags) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0600);
  if (fd < 0) return io_error("cannot write", path);
  Status written = write_at(fd, path, bytes, 0);
  if (written && ::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) written = io_error("cannot write", path);
  if (written && ::fsync(fd) != 0) written = io_error("cannot write", path);
  ::close(fd);
  return written;
}

}  // namespace

Status write_synced(const std::string& path, BytesView bytes) { return write_file(path, bytes, O_CREAT | O_TRUNC); }

Status write_at(int fd, const std::string& path, BytesView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return io_error("cannot write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return {};
}

Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return io_error("cannot open", path);
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  if (!synced) return io_error("cannot sync", path);
  return {};
}

Result<Bytes> read_whole(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error("cannot read", path);
  Bytes bytes;
  std::array<std::uint8_t, 1 << 16> piece{};
  for (;;) {
    const ssize_t done = ::read(fd, piece.data(), piece.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      Error error = io_error("cannot read", path);
      ::close(fd);
      return error;
    }
    if (done == 0) break;
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + done);
  }
  ::close(fd);
  return bytes;
}

Status replace(const std::string& directory, const std::string& name, BytesView bytes) {
  const std::string path = directory + "/" + name;
  const std::string fresh = path + ".new";
  if (const Status written = write_synced(fresh, bytes); !written) {
    (void)::unlink(fresh.c_str());  // half of it would only take the room
    return written;
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return io_error("cannot rename", fresh);
  return sync_directory(directory);
}

Status exchange(const std::string& directory, const std::string& name, BytesView bytes) {
  const std::string path = directory + "/" + name;
  const std::string fresh = path + ".new";
  SK_TRY_VOID(write_file(fresh, bytes, O_CREAT));
  // Where there is none before it, or the file system cannot exchange, a plain rename does; then room is made anew.
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0) {
    if (::rename(fresh.c_str(), path.c_str()) != 0) return io_error("cannot rename", fresh);
    (void)reserve(directory, name, bytes);  // without it the next one needs room
  }
  return sync_directory(directory);
}

Status reserve(const std::string& directory, const std::string& name, BytesView bytes) {
  const std::string path = directory + "/" + name + ".new";
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && st.st_size > 0) return {};
  return write_file(path, bytes, O_CREAT);
}

}  // namespace safekit::journal::files
