#include "datapath/replica/tree_clone.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "datapath/linux/fd.h"
#include "datapath/lost/claim.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

constexpr std::size_t kCopyBytes = 1U << 20;

/// Those of `to` become those of `from`: it may have inherited some.
Status clone_xattrs(int from, int to) {
  SK_TRY(const auto wanted, tree::xattrs_of(from));
  SK_TRY(const auto have, tree::xattrs_of(to));
  if (have == wanted) return {};
  for (const auto& [name, value] : have) {
    if (std::ranges::find(wanted, name, &std::pair<std::string, std::string>::first) == wanted.end()) {
      SK_TRY_VOID(tree::remove_xattr(to, name));
    }
  }
  for (const auto& [name, value] : wanted) SK_TRY_VOID(tree::set_xattr(to, name, value));
  return {};
}

/// Last: what is made in a directory changes its time, and inherits from it.
Status clone_attributes(int from, int to) {
  using wire::SetAttributes;
  SK_TRY(const auto attributes, tree::attributes_of(from));
  SK_TRY_VOID(tree::set_attributes(to, SetAttributes::kOwner, attributes));
  SK_TRY_VOID(clone_xattrs(from, to));
  return tree::set_attributes(to, SetAttributes::kMode | SetAttributes::kMtime, attributes);
}

Status copy_range(int from, int to, std::uint64_t begin, std::uint64_t end) {
  Bytes buffer(std::min<std::uint64_t>(kCopyBytes, end - begin));
  while (begin < end) {
    const std::span<std::uint8_t> piece{buffer.data(), std::min<std::uint64_t>(buffer.size(), end - begin)};
    SK_TRY(const std::size_t size, tree::read_at(from, piece, begin));
    if (size == 0) return {};
    SK_TRY_VOID(tree::write_at(to, piece.first(size), begin));
    begin += size;
  }
  return {};
}

}  // namespace

Status share_content(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL || errno == ENOTTY || errno == ENOSYS) {
    return Error{Code::Unsupported, "the file system does not let files share blocks"};
  }
  return system_error("share blocks", errno);
}

Status TreeClone::run(int from, int to) {
  top_ = to;
  linked_.clear();
  SK_TRY_VOID(clone_xattrs(from, to));  // what it has inherited from above, it must not pass on
  return directory(from, to, "");
}

Status TreeClone::check() const {
  if (stop_.stop_requested()) return Error{Code::Unavailable, "stopped"};
  if (clock_.mono_now() > options_.until) return Error{Code::Timeout, "there are too many files to clone in time"};
  return {};
}

Status TreeClone::directory(int from, int to, const std::string& path) {
  SK_TRY(const auto names, tree::entries_of(from));
  for (const std::string& name : names) {
    SK_TRY_VOID(check());
    SK_TRY_VOID(entry(from, to, path, name));
  }
  return clone_attributes(from, to);
}

Status TreeClone::entry(int from, int to, const std::string& path, const std::string& name) {
  struct stat st {};
  if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return system_error(fmt::format("stat '{}'", name), errno);
  const std::string own_path = path.empty() ? name : path + "/" + name;
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
    const auto [first, is_first] = linked_.try_emplace({st.st_dev, st.st_ino}, own_path);
    if (!is_first) {
      if (::linkat(top_, first->second.c_str(), to, name.c_str(), 0) == 0) return {};
      return system_error(fmt::format("link '{}'", own_path), errno);
    }
  }
  if (S_ISREG(st.st_mode)) return file(from, to, name);
  const bool is_directory = S_ISDIR(st.st_mode);
  std::string target;
  if (S_ISLNK(st.st_mode)) {
    SK_TRY(target, tree::link_target(from, name));
  }
  SK_TRY_VOID(tree::make_node(to, name, {.mode = st.st_mode, .device = st.st_rdev}, target));
  const int flags = (is_directory ? O_RDONLY | O_DIRECTORY : O_PATH) | O_NOFOLLOW | O_CLOEXEC;
  const Fd old_one{::openat(from, name.c_str(), flags)};
  const Fd fresh{::openat(to, name.c_str(), flags)};
  if (!old_one || !fresh) return system_error(fmt::format("open '{}'", own_path), errno);
  return is_directory ? directory(old_one.get(), fresh.get(), own_path) : clone_attributes(old_one.get(), fresh.get());
}

Status TreeClone::file(int from, int to, const std::string& name) {
  const Fd old_one{::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC)};
  if (!old_one) return system_error(fmt::format("open '{}'", name), errno);
  const Fd fresh{::openat(to, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
  if (!fresh) return system_error(fmt::format("make '{}'", name), errno);
  SK_TRY(const auto attributes, tree::attributes_of(old_one.get()));
  if (attributes.size > 0) SK_TRY_VOID(content(old_one.get(), fresh.get(), attributes.size));
  return clone_attributes(old_one.get(), fresh.get());
}

Status TreeClone::content(int from, int to, std::uint64_t size) {
  const Status shared = share_content(from, to);
  if (shared || shared.error().code != Code::Unsupported || !options_.copies) return shared;
  struct stat st {};
  struct statvfs fs {};
  if (::fstat(from, &st) != 0 || ::fstatvfs(to, &fs) != 0) return system_error("stat", errno);
  const auto bytes = static_cast<std::uint64_t>(st.st_blocks) * 512;
  const lost::Room room{.quota = UINT64_MAX,
                        .free = static_cast<std::uint64_t>(fs.f_bavail) * fs.f_frsize,
                        .total = static_cast<std::uint64_t>(fs.f_blocks) * fs.f_frsize};
  if (!lost::fits(room, bytes)) return Error{Code::Exhausted, "too little room would be left"};
  for (std::uint64_t at = 0; at < size;) {
    SK_TRY_VOID(check());
    const off_t data = ::lseek(from, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    const off_t hole = data < 0 ? -1 : ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return system_error("look for holes", errno);
    const auto end = std::min(static_cast<std::uint64_t>(hole), static_cast<std::uint64_t>(data) + 64 * kCopyBytes);
    SK_TRY_VOID(copy_range(from, to, static_cast<std::uint64_t>(data), end));
    at = end;
  }
  if (::ftruncate(to, static_cast<off_t>(size)) != 0) return system_error("set the size", errno);
  return {};
}

}  // namespace safekit::replica
