#include "datapath/linux/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "datapath/linux/fd.h"

namespace safekit::mounts {
namespace {

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct Entry {
  int id{0};
  int parent{0};
  std::string device{};
  std::string root{};
  std::string point{};
  std::string options{};
  std::string type{};
  std::string source{};
};

/// The kernel writes space, tab, newline and backslash as three octal digits.
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result.push_back(static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)));
      i += 3;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

std::optional<Entry> parse(const std::string& line) {
  std::istringstream fields{line};
  Entry entry;
  std::string field;
  if (!(fields >> entry.id >> entry.parent >> entry.device >> entry.root >> entry.point >> entry.options))
    return std::nullopt;
  while (fields >> field && field != "-") {
  }
  if (!(fields >> entry.type >> entry.source)) return std::nullopt;
  entry.root = unescaped(entry.root);
  entry.point = unescaped(entry.point);
  return entry;
}

Result<std::vector<Entry>> read_entries() {
  std::ifstream file{"/proc/self/mountinfo"};
  if (!file) return Error{Code::Io, "cannot read '/proc/self/mountinfo': is /proc mounted?"};
  std::vector<Entry> entries;
  for (std::string line; std::getline(file, line);) {
    if (auto entry = parse(line)) entries.push_back(std::move(*entry));
  }
  return entries;
}

/// mountinfo shows paths without links and trailing slashes. The last component is not looked at, so that a
/// dead FUSE mount there is no obstacle.
std::string canonical(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || path.size() == 1) return path;
  const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
  const std::unique_ptr<char, decltype(&std::free)> real{::realpath(parent.c_str(), nullptr), &std::free};
  if (!real) return path;
  return (std::strcmp(real.get(), "/") == 0 ? "" : std::string{real.get()}) + path.substr(slash);
}

/// Of several mounts at one point the topmost has no other of them as its child.
const Entry* topmost(const std::vector<Entry>& entries, const std::string& point) {
  const Entry* top = nullptr;
  for (const Entry& entry : entries) {
    if (entry.point == point && (top == nullptr || entry.parent == top->id || entry.id > top->id))
      top = &entry;
  }
  return top;
}

bool has_option(const std::string& options, std::string_view wanted) {
  std::istringstream fields{options};
  for (std::string option; std::getline(fields, option, ',');) {
    if (option == wanted) return true;
  }
  return false;
}

bool covers_itself(const std::vector<Entry>& entries, const Entry& entry) {
  const auto below =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.id == entry.parent; });
  if (below == entries.end() || below->device != entry.device) return false;
  const std::string rest = entry.point.substr(below->point == "/" ? 0 : below->point.size());
  return entry.root == (below->root == "/" ? "" : below->root) + rest ||
         (rest.empty() && entry.root == below->root);
}

Error refused(const std::string& what, const std::string& path) {
  return Error{Code::Io, fmt::format("{} '{}': {}", what, path, std::strerror(errno))};
}

/// What identifies a mount: for FUSE its device, which is the same in every mount namespace; else the mount
/// itself.
struct Identity {
  std::uint64_t mount{0};
  std::uint64_t device{0};
  friend bool operator==(const Identity&, const Identity&) = default;
};

std::optional<Identity> identity(const std::string& path, bool by_device) {
  struct statx found {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID | STATX_TYPE,
              &found) != 0) {
    return std::nullopt;
  }
  if (by_device) return Identity{.device = (std::uint64_t{found.stx_dev_major} << 32) | found.stx_dev_minor};
  return Identity{.mount = found.stx_mnt_id};
}

std::vector<std::string> list(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> opened{::opendir(directory.c_str()), &::closedir};
  if (!opened) return names;
  while (const dirent* entry = ::readdir(opened.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

bool holds(const std::string& process, const Identity& mount, bool by_device) {
  for (const char* link : {"cwd", "root", "exe"}) {
    if (identity(fmt::format("{}/{}", process, link), by_device) == mount) return true;
  }
  for (const char* folder : {"fd", "map_files"}) {
    const std::string path = fmt::format("{}/{}", process, folder);
    for (const std::string& name : list(path)) {
      if (identity(fmt::format("{}/{}", path, name), by_device) == mount) return true;
    }
  }
  return false;
}

std::string command_of(const std::string& process) {
  std::ifstream file{process + "/comm"};
  std::string name;
  std::getline(file, name);
  return name;
}

std::string named(const std::vector<Holder>& found) {
  if (found.empty()) return "a process that could not be found";
  std::string text;
  for (const Holder& holder : found)
    text += fmt::format("{}'{}' (pid {})", text.empty() ? "" : ", ", holder.command, holder.pid);
  return text;
}

}  // namespace

Result<Kind> mount_kind(const std::string& path) {
  SK_TRY(const auto entries, read_entries());
  const Entry* top = topmost(entries, canonical(path));
  if (top == nullptr) return Kind::None;
  if (top->type == kType && top->source == kSource) return Kind::OurFuse;
  if (has_option(top->options, "ro") && covers_itself(entries, *top)) return Kind::OurReadOnlyBind;
  return Kind::Other;
}

Status bind_read_only(const std::string& path) {
  SK_TRY(const Kind kind, mount_kind(path));
  if (kind == Kind::OurReadOnlyBind) return {};
  if (kind == Kind::OurFuse)
    return Error{Code::Conflict, fmt::format("'{}' is still mounted for writing", path)};
  // The new mount is made read-only before it is attached, so that a crash leaves all or nothing.
  const Fd tree{::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)};
  if (!tree) return refused("cannot bind", path);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0 ||
      ::move_mount(tree.get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return refused("cannot make read-only", path);
  }
  return {};
}

Status unbind(const std::string& path) {
  for (;;) {
    SK_TRY(const Kind kind, mount_kind(path));
    if (kind != Kind::OurReadOnlyBind) return {};
    SK_TRY_VOID(unmount(path));
  }
}

Status clean_stale(const std::string& path) {
  for (;;) {
    SK_TRY(const Kind kind, mount_kind(path));
    if (kind != Kind::OurFuse) return {};
    struct statfs ignored {};
    if (::statfs(path.c_str(), &ignored) == 0 || (errno != ENOTCONN && errno != ECONNABORTED)) return {};
    // Nobody can write through a dead mount, so taking it off lazily leaves no live writer behind.
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
      return refused("cannot unmount the dead", path);
  }
}

Status unmount(const std::string& path) {
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
  if (errno != EBUSY) return refused("cannot unmount", path);
  return Error{Code::Conflict, fmt::format("'{}' is in use by {}: stop what uses it and try again", path,
                                           named(holders(path)))};
}

Result<Alone> open_alone(const std::string& path) {
  Alone opened{.mount = Fd{::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)}};
  if (opened.mount) {
    opened.directory.reset(::openat(opened.mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  } else if (errno == EPERM) {
    // Who may not clone a mount may not open files by handle or mount anything either: this is for unit tests.
    opened.directory.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (opened.directory) return opened;
  const bool absent = errno == ENOENT || errno == ENOTDIR;
  return Error{absent ? Code::Invalid : Code::Io, fmt::format("directory '{}': {}", path, std::strerror(errno))};
}

Result<std::vector<std::string>> mounted_below(const std::string& path) {
  SK_TRY(const auto entries, read_entries());
  const std::string prefix = canonical(path) + "/";
  std::set<std::string> found;
  for (const Entry& entry : entries) {
    if (entry.point.compare(0, prefix.size(), prefix) == 0) found.insert(entry.point);
  }
  return std::vector<std::string>{found.begin(), found.end()};
}

std::vector<Holder> holders(const std::string& path) {
  std::vector<Holder> found;
  const auto kind = mount_kind(path);
  const bool by_device = kind && *kind == Kind::OurFuse;
  const auto mount = identity(path, by_device);
  if (!mount) return found;
  for (const std::string& name : list("/proc")) {
    const pid_t pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
    const std::string process = "/proc/" + name;
    if (pid > 0 && holds(process, *mount, by_device))
      found.push_back({.pid = pid, .command = command_of(process)});
  }
  return found;
}

}  // namespace safekit::mounts
