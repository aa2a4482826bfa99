#include "e2e/sandbox/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "e2e/sandbox/process.h"

namespace safekit::sandbox {

namespace fs = std::filesystem;

namespace {

/// A tree of files held by a descriptor, to be shown at `target`.
struct Tree {
  Fd fd{};
  fs::path target{};
};

bool is_within(const fs::path& path, const fs::path& directory) {
  const auto [end, unused] = std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return end == directory.end();
}

Status mount_at(const char* type, const fs::path& target, unsigned long flags,
                const std::string& options = "") {
  if (::mount(type, target.c_str(), type, flags, options.c_str()) == 0) return {};
  return system_error(fmt::format("mounting {} on '{}'", type, target.string()));
}

Result<Tree> clone_tree(const fs::path& source, fs::path target) {
  Fd fd(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!fd) return system_error(fmt::format("'{}'", source.string()));
  return Tree{std::move(fd), std::move(target)};
}

Status attach(const Tree& tree) {
  if (::move_mount(tree.fd.get(), "", AT_FDCWD, tree.target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0) return {};
  return system_error(fmt::format("mounting on '{}'", tree.target.string()));
}

Status make_directories(const fs::path& path) {
  std::error_code failure{};
  fs::create_directories(path, failure);
  if (failure) return Error{Code::Io, fmt::format("'{}': {}", path.string(), failure.message())};
  return {};
}

/// An empty directory with the owner and mode of `model`.
Status make_like(const fs::path& path, const fs::path& model) {
  SK_TRY_VOID(make_directories(path));
  struct stat info {};
  if (::stat(model.c_str(), &info) != 0) return {};
  if (::chown(path.c_str(), info.st_uid, info.st_gid) != 0 ||
      ::chmod(path.c_str(), info.st_mode & 07777) != 0)
    return system_error(fmt::format("'{}'", path.string()));
  return {};
}

/// Lets a node have directories in / that the machine lacks: a root in memory that shows all the machine's.
Status replace_root(const fs::path& place, const std::vector<fs::path>& missing) {
  std::vector<Tree> trees{};
  std::vector<std::pair<fs::path, fs::path>> links{};
  for (const auto& entry : fs::directory_iterator("/")) {
    const fs::path target = place / entry.path().filename();
    if (entry.is_symlink()) {
      links.emplace_back(fs::read_symlink(entry.path()), target);
    } else {
      SK_TRY(Tree tree, clone_tree(entry.path(), target));
      trees.push_back(std::move(tree));
    }
  }
  SK_TRY_VOID(make_directories(place));
  SK_TRY_VOID(mount_at("tmpfs", place, 0, "mode=755"));
  for (const auto& [text, target] : links) fs::create_symlink(text, target);
  for (const Tree& tree : trees) {
    struct stat info {};
    (void)::fstat(tree.fd.get(), &info);
    if (S_ISDIR(info.st_mode)) {
      SK_TRY_VOID(make_directories(tree.target));
    } else {
      SK_TRY_VOID(write_text(tree.target, ""));
    }
    SK_TRY_VOID(attach(tree));
  }
  for (const fs::path& name : missing) SK_TRY_VOID(make_directories(place / name));
  if (::chdir(place.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return system_error("pivot_root");
  return {};
}

fs::path existing_ancestor(fs::path path) {
  while (!fs::exists(path)) path = path.parent_path();
  return path;
}

bool is_within_any(const fs::path& path, const std::vector<fs::path>& directories) {
  return std::any_of(directories.begin(), directories.end(),
                     [&](const fs::path& own) { return is_within(path, own); });
}

/// Turns directories of the machine in which mount points are missing into ones that the node may change.
/// They all come before the first mount point is used, and outer ones first: an overlay hides what is mounted
/// below it. The upper layers are in the node's /run, in memory: what a node adds there lasts until its power
/// goes.
Status overlay_where_missing(const std::vector<Tree>& trees, std::vector<fs::path> own) {
  std::vector<fs::path> places{};
  for (const Tree& tree : trees) {
    const bool is_inner = std::any_of(trees.begin(), trees.end(), [&](const Tree& outer) {
      return outer.target != tree.target && is_within(tree.target, outer.target);
    });
    const fs::path existing = existing_ancestor(tree.target);
    if (!is_inner && existing != tree.target) places.push_back(existing);
  }
  std::sort(places.begin(), places.end());
  for (const fs::path& place : places) {
    if (is_within_any(place, own)) continue;
    const fs::path upper = fs::path("/run/.overlay") / fmt::format("{}", own.size()) / "upper";
    const fs::path work = upper.parent_path() / "work";
    SK_TRY_VOID(make_like(upper, place));
    SK_TRY_VOID(make_directories(work));
    SK_TRY_VOID(mount_at(
        "overlay", place, 0,
        fmt::format("lowerdir={},upperdir={},workdir={}", place.string(), upper.string(), work.string())));
    own.push_back(place);
  }
  return {};
}

/// A fresh /run with the machine's directories, empty, as after a boot.
Status mount_run() {
  const fs::path host = "/run";
  std::vector<std::pair<fs::path, struct stat>> directories{};
  for (const auto& entry : fs::directory_iterator(host)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) == 0 && S_ISDIR(info.st_mode))
      directories.emplace_back(entry.path(), info);
  }
  SK_TRY_VOID(mount_at("tmpfs", host, MS_NOSUID | MS_NODEV, "mode=755"));
  for (const auto& [path, info] : directories) {
    if (::mkdir(path.c_str(), 0700) != 0 || ::chown(path.c_str(), info.st_uid, info.st_gid) != 0 ||
        ::chmod(path.c_str(), info.st_mode & 07777) != 0)
      return system_error(fmt::format("'{}'", path.string()));
  }
  return {};
}

/// Where the machine has control groups of version 2; empty: nowhere.
fs::path control_group_root() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs info {};
    if (::statfs(path, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC) return path;
  }
  return {};
}

/// One group of the machine for each node; its name is the node's directory.
fs::path control_group_of(const NodeFiles& files) {
  std::string name = files.directory.string();
  std::replace(name.begin(), name.end(), '/', '-');
  return control_group_root() / ("safekit-sandbox" + name);
}

/// A node sees its own control groups and no others, as those of its machine. Without them it does without.
Status mount_control_groups(const NodeFiles& files) {
  const fs::path root = control_group_root();
  if (root.empty()) return {};
  std::error_code error;
  fs::create_directories(control_group_of(files), error);
  if (error) return {};
  SK_TRY(const Tree own, clone_tree(control_group_of(files), root));
  return attach(own);
}

/// File systems of the kernel that show the namespaces they are mounted in.
Status mount_kernel_files(const NodeFiles& files) {
  SK_TRY_VOID(mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  SK_TRY(const Tree cgroup, clone_tree("/sys/fs/cgroup", "/sys/fs/cgroup"));
  SK_TRY_VOID(mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  SK_TRY_VOID(attach(cgroup));
  SK_TRY_VOID(mount_control_groups(files));
  (void)mount_at("bpf", "/sys/fs/bpf", 0);  // only farm modules need it; not every kernel has it
  (void)mount_at("fusectl", "/sys/fs/fuse/connections", 0);  // a help when looking for a hung mount, no more
  return mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV);
}

/// A node that is powered on has booted, though its kernel has not: programs see that by the kernel's boot
/// identity.
Status mount_boot_identity() {
  const fs::path kernel = "/proc/sys/kernel/random";
  SK_TRY(const std::string identity, read_text(kernel / "uuid"));
  SK_TRY_VOID(write_text("/run/.boot_id", identity));
  SK_TRY(const Tree file, clone_tree("/run/.boot_id", kernel / "boot_id"));
  return attach(file);
}

std::vector<std::pair<fs::path, fs::path>> own_directories(const NodeFiles& files) {
  std::vector<std::pair<fs::path, fs::path>> list{{files.directory / "state", "/var/lib/safekit"},
                                                  {files.directory / "run", "/run/safekit"},
                                                  {files.directory / "etc", "/etc/safekit"}};
  for (const std::string& path : files.private_paths)
    list.emplace_back(files.directory / "root" / fs::path(path).relative_path(), path);
  return list;
}

}  // namespace

Status make_node_files(const NodeFiles& files) {
  SK_TRY_VOID(make_directories(files.directory / "log"));
  std::error_code ignored{};
  fs::remove_all(files.directory / "run", ignored);  // as a boot does; what cannot be removed fails below
  for (const auto& [source, target] : own_directories(files)) {
    if (!fs::exists(source)) SK_TRY_VOID(make_like(source, target));
  }
  return {};
}

void remove_control_groups(const NodeFiles& files) {
  std::error_code error;
  if (control_group_root().empty() || !fs::is_directory(control_group_of(files), error)) return;
  std::vector<fs::path> groups{control_group_of(files)};
  for (const auto& entry : fs::recursive_directory_iterator{groups.front(), error}) {
    if (entry.is_directory(error)) groups.push_back(entry.path());
  }
  for (auto group = groups.rbegin(); group != groups.rend(); ++group) (void)::rmdir(group->c_str());  // what is left is empty
}

Status enter_node_files(const NodeFiles& files) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return system_error("making mounts private");
  std::vector<Tree> trees{};
  std::vector<fs::path> missing_in_root{};
  for (const auto& [source, target] : own_directories(files)) {
    SK_TRY(Tree tree, clone_tree(source, fs::weakly_canonical(target)));
    const fs::path first = *tree.target.relative_path().begin();
    if (!fs::exists("/" / first)) missing_in_root.push_back(first);
    trees.push_back(std::move(tree));
  }
  SK_TRY(const Tree hosts, clone_tree(files.hosts, "/etc/hosts"));
  if (!missing_in_root.empty()) SK_TRY_VOID(replace_root(files.directory / "new-root", missing_in_root));
  SK_TRY_VOID(mount_run());
  SK_TRY_VOID(mount_kernel_files(files));
  SK_TRY_VOID(mount_boot_identity());
  std::vector<fs::path> own{"/run"};
  for (const fs::path& name : missing_in_root) own.push_back("/" / name);
  SK_TRY_VOID(overlay_where_missing(trees, std::move(own)));
  std::sort(trees.begin(), trees.end(), [](const Tree& a, const Tree& b) { return a.target < b.target; });
  for (const Tree& tree : trees) {
    SK_TRY_VOID(make_directories(tree.target));
    SK_TRY_VOID(attach(tree));
  }
  return fs::exists("/etc/hosts") ? attach(hosts) : Status{};
}

}  // namespace safekit::sandbox
