#include "datapath/journal/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace safekit::journal::files {

Error io_error(const std::string& what, const std::string& path) {
  return Error{errno == ENOENT ? Code::NotFound : Code::Io, fmt::format("{} '{}': {}", what, path, std::strerror(errno))};
}

Status write_synced(const std::string& path, BytesView bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return io_error("cannot write", path);
  Status written = write_at(fd, path, bytes, 0);
  if (written && ::fsync(fd) != 0) written = io_error("cannot write", path);
  ::close(fd);
  return written;
}

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
  SK_TRY_VOID(write_synced(fresh, bytes));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return io_error("cannot rename", fresh);
  return sync_directory(directory);
}

}  // namespace safekit::journal::files
