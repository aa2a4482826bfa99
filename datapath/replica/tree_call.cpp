#include "datapath/replica/tree_call.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "datapath/replica/handle.h"

namespace safekit::replica::tree {

namespace {

constexpr mode_t kPermissions = 07777;

Status check(int result, const char* what) {
  if (result != 0) return system_error(what, errno);
  return {};
}

/// The name of a directory in the one above it.
Result<std::string> name_in(int above, const struct stat& wanted) {
  SK_TRY(const auto names, entries_of(above));
  for (const std::string& name : names) {
    struct stat st {};
    if (::fstatat(above, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino) return name;
  }
  return Error{Code::NotFound, "a directory without a name"};
}

}  // namespace

std::string proc_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

Status write_at(int fd, BytesView data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return system_error("write", errno);
    data = data.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return {};
}

Result<std::size_t> read_at(int fd, std::span<std::uint8_t> into, std::uint64_t offset) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t done = ::pread(fd, into.data() + filled, into.size() - filled, static_cast<off_t>(offset + filled));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return system_error("read", errno);
    if (done == 0) break;
    filled += static_cast<std::size_t>(done);
  }
  return filled;
}

Status set_attributes(int fd, std::uint32_t mask, const wire::Attributes& attributes) {
  using wire::SetAttributes;
  if ((mask & SetAttributes::kSize) != 0) {
    SK_TRY_VOID(check(::ftruncate(fd, static_cast<off_t>(attributes.size)), "truncate"));
  }
  // Owner before mode: a change of owner takes set-user-id bits away.
  if ((mask & SetAttributes::kOwner) != 0) {
    SK_TRY_VOID(check(::fchownat(fd, "", attributes.uid, attributes.gid, AT_EMPTY_PATH), "chown"));
  }
  if ((mask & SetAttributes::kMode) != 0 && !S_ISLNK(attributes.mode)) {
    const mode_t permissions = attributes.mode & kPermissions;
    if (::fchmod(fd, permissions) != 0) {
      if (errno != EBADF) return system_error("chmod", errno);
      SK_TRY_VOID(check(::chmod(proc_path(fd).c_str(), permissions), "chmod"));  // an O_PATH descriptor
    }
  }
  if ((mask & SetAttributes::kMtime) != 0) {
    const std::array<timespec, 2> times{
        timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
        timespec{.tv_sec = attributes.mtime.seconds, .tv_nsec = static_cast<long>(attributes.mtime.nanoseconds)}};
    SK_TRY_VOID(check(::utimensat(fd, "", times.data(), AT_EMPTY_PATH), "set time"));
  }
  return {};
}

Result<wire::Attributes> attributes_of(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return system_error("stat", errno);
  return wire::Attributes{.mode = st.st_mode,
                          .uid = st.st_uid,
                          .gid = st.st_gid,
                          .device = st.st_rdev,
                          .size = static_cast<std::uint64_t>(st.st_size),
                          .mtime = {st.st_mtim.tv_sec, static_cast<std::uint32_t>(st.st_mtim.tv_nsec)}};
}

Result<Xattrs> xattrs_of(int fd) {
  const std::string path = proc_path(fd);
  std::array<char, 1024> first{};
  std::vector<char> more;
  std::span<char> names{first};
  ssize_t size = ::flistxattr(fd, names.data(), names.size());
  if (size < 0 && errno == EBADF) size = ::listxattr(path.c_str(), names.data(), names.size());  // an O_PATH descriptor
  for (; size < 0; size = ::listxattr(path.c_str(), names.data(), names.size())) {
    if (errno == ENOTSUP) return Xattrs{};
    if (errno != ERANGE || names.size() > wire::kXattrBytesMax) return system_error("list xattrs", errno);
    more.resize(names.size() * 4);
    names = more;
  }
  Xattrs found;
  if (size == 0) return found;
  std::vector<char> value(wire::kXattrBytesMax);
  for (const char* name = names.data(); name < names.data() + size; name += std::char_traits<char>::length(name) + 1) {
    const ssize_t length = ::getxattr(path.c_str(), name, value.data(), value.size());
    if (length < 0 && (errno == ENODATA || errno == ENOTSUP)) continue;
    if (length < 0) return system_error("read xattr", errno);
    found.emplace_back(name, std::string{value.data(), static_cast<std::size_t>(length)});
  }
  std::ranges::sort(found);
  return found;
}

Status set_xattr(int fd, const std::string& name, const std::string& value) {
  return check(::setxattr(proc_path(fd).c_str(), name.c_str(), value.data(), value.size(), 0), "set xattr");
}

Status remove_xattr(int fd, const std::string& name) {
  if (::removexattr(proc_path(fd).c_str(), name.c_str()) == 0 || errno == ENODATA) return {};
  return system_error("remove xattr", errno);
}

Status make_node(int directory, const std::string& name, const wire::Attributes& attributes, const std::string& target) {
  const mode_t type = attributes.mode & S_IFMT;
  if (S_ISDIR(type)) return check(::mkdirat(directory, name.c_str(), 0700), "mkdir");
  if (S_ISLNK(type)) return check(::symlinkat(target.c_str(), directory, name.c_str()), "symlink");
  return check(::mknodat(directory, name.c_str(), attributes.mode, static_cast<dev_t>(attributes.device)), "mknod");
}

Status remove_all(int directory, const std::string& name) {
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return system_error(fmt::format("remove '{}'", name), errno);
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return {};
  const Fd fd{::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return system_error(fmt::format("remove '{}'", name), errno);
  SK_TRY(const auto below, entries_of(fd.get()));
  for (const std::string& entry : below) SK_TRY_VOID(remove_all(fd.get(), entry));
  return check(::unlinkat(directory, name.c_str(), AT_REMOVEDIR), "remove directory");
}

Result<std::vector<std::string>> entries_of(int directory) {
  const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return system_error("open directory", errno);
  DIR* listing = ::fdopendir(own);
  if (listing == nullptr) {
    ::close(own);
    return system_error("read directory", errno);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name{entry->d_name};
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int failed = errno;
  ::closedir(listing);
  if (failed != 0) return system_error("read directory", failed);
  return names;
}

Result<std::string> link_target(int directory, const std::string& name) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  if (size < 0) return system_error("read link", errno);
  return std::string{target.data(), static_cast<std::size_t>(size)};
}

Result<std::string> path_below(int root, int directory) {
  // Level by level: a path may be longer than the kernel tells.
  struct stat top {};
  if (::fstat(root, &top) != 0) return system_error("stat", errno);
  std::string path;
  Fd at;
  for (int here = directory;;) {
    struct stat st {};
    if (::fstat(here, &st) != 0) return system_error("stat", errno);
    if (st.st_dev == top.st_dev && st.st_ino == top.st_ino) return path;
    Fd above{::openat(here, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    struct stat parent {};
    if (!above || ::fstat(above.get(), &parent) != 0) return system_error("open '..'", errno);
    if (parent.st_dev == st.st_dev && parent.st_ino == st.st_ino) return Error{Code::NotFound, "not in the directory"};
    SK_TRY(const std::string name, name_in(above.get(), st));
    path = path.empty() ? name : name + "/" + path;
    at = std::move(above);
    here = at.get();
  }
}

}  // namespace safekit::replica::tree
