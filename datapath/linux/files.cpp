#include "datapath/linux/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "datapath/linux/fd.h"

namespace safekit::linux_os {
namespace {

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_not_of('/', path.rfind('/'));
  if (path.find('/') == std::string::npos) return ".";
  return slash == std::string::npos ? "/" : path.substr(0, slash + 1);
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return error_of(errno, fmt::format("write '{}'", path));
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

Status sync_directory(const std::string& path) {
  const Fd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory || ::fsync(directory.get()) != 0) return error_of(errno, fmt::format("sync '{}'", path));
  return {};
}

}  // namespace

Error error_of(int number, std::string_view doing) {
  Code code = Code::Io;
  if (number == ENOENT) code = Code::NotFound;
  if (number == EACCES || number == EPERM) code = Code::Denied;
  return Error{code, fmt::format("{}: {}", doing, ::strerrordesc_np(number))};
}

Result<std::string> read_file(const std::string& path, std::uint64_t bytes_max) {
  const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a FIFO must not hang the caller
  if (!file) return error_of(errno, fmt::format("read '{}'", path));
  std::string text;
  char block[16384];
  for (;;) {  // not by st_size: files of /proc say 0
    const ssize_t got = ::read(file.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_of(errno, fmt::format("read '{}'", path));
    if (got == 0) return text;
    text.append(block, static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      return Error{Code::Exhausted, fmt::format("'{}' holds more than {} bytes", path, bytes_max)};
    }
  }
}

Status replace_file(const std::string& path, std::string_view text, std::uint32_t mode, Durable durable) {
  std::string temporary = path + ".XXXXXX";
  const Fd file{::mkostemp(temporary.data(), O_CLOEXEC)};
  if (!file) return error_of(errno, fmt::format("create a file beside '{}'", path));
  Status done = write_all(file.get(), text, path);
  if (done && ::fchmod(file.get(), mode) != 0) done = error_of(errno, fmt::format("set mode of '{}'", path));
  if (done && durable == Durable::Yes && ::fsync(file.get()) != 0) done = error_of(errno, fmt::format("sync '{}'", path));
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0)
    done = error_of(errno, fmt::format("replace '{}'", path));
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return durable == Durable::Yes ? sync_directory(parent_of(path)) : Status{};
}

Status make_directories(const std::string& path, std::uint32_t mode) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return Error{Code::Conflict, fmt::format("'{}' is not a directory", path)};
  }
  const std::string parent = parent_of(path);
  if (parent != path) SK_TRY_VOID(make_directories(parent, mode));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return error_of(errno, fmt::format("make directory '{}'", path));
  return sync_directory(parent);
}

Status SystemFiles::replace(const std::string& path, std::string_view text, std::uint32_t mode) {
  SK_TRY_VOID(linux_os::make_directories(parent_of(path)));
  return replace_file(path, text, mode);
}

Status SystemFiles::put(const std::string& path, std::string_view text, std::uint32_t mode) {
  SK_TRY_VOID(linux_os::make_directories(parent_of(path)));
  return replace_file(path, text, mode, Durable::No);
}

Result<std::vector<FileInfo>> SystemFiles::list(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream{::opendir(directory.c_str()), &::closedir};
  if (!stream) {
    if (errno == ENOENT) return std::vector<FileInfo>{};
    return error_of(errno, fmt::format("list '{}'", directory));
  }
  std::vector<FileInfo> files;
  for (const dirent* entry = ::readdir(stream.get()); entry != nullptr; entry = ::readdir(stream.get())) {
    struct stat info {};
    if (::fstatat(::dirfd(stream.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;  // gone meanwhile
    if (S_ISREG(info.st_mode)) files.push_back({entry->d_name, static_cast<std::uint64_t>(info.st_size)});
  }
  std::ranges::sort(files, {}, &FileInfo::name);
  return files;
}

Status SystemFiles::truncate(const std::string& path) {
  if (::truncate(path.c_str(), 0) != 0) return error_of(errno, fmt::format("truncate '{}'", path));
  return {};
}

Status SystemFiles::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return error_of(errno, fmt::format("remove '{}'", path));
  return {};
}

Status SystemFiles::remove_tree(const std::string& path) {
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  if (failed) return error_of(failed.value(), fmt::format("remove '{}'", path));
  return {};
}

}  // namespace safekit::linux_os
