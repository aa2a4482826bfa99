#include "datapath/linux/control_groups.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "datapath/linux/files.h"

namespace safekit::linux_os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDirectoriesMax = 10'000;

/// A group and those below it, outer ones first.
std::vector<std::string> tree_of(const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) return {};
  std::vector<std::string> found{directory};
  fs::recursive_directory_iterator at{directory, error};
  for (; !error && at != fs::recursive_directory_iterator{} && found.size() < kDirectoriesMax; at.increment(error)) {
    if (at->is_directory(error)) found.push_back(at->path().string());
  }
  return found;
}

}  // namespace

std::string control_group_root() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    struct statfs info {};
    if (::statfs(path, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC) return path;
  }
  return {};
}

ControlGroups::ControlGroups() {
  const std::string root = control_group_root();
  if (root.empty()) {
    problem_ = "control groups of version 2 are not mounted";
    return;
  }
  const std::string directory = root + "/safekit";
  std::error_code error;
  if (fs::create_directories(directory, error); error) {
    problem_ = fmt::format("'{}' cannot be made: {}", directory, error.message());
  } else if (::access((directory + "/cgroup.kill").c_str(), W_OK) != 0) {
    problem_ = fmt::format("'{}' cannot be written", directory);
  } else {
    root_ = directory;
  }
}

std::string ControlGroups::directory(const std::string& name) const { return root_.empty() ? std::string{} : root_ + "/" + name; }

Status ControlGroups::make(const std::string& name) {
  if (root_.empty()) return Error{Code::Unsupported, problem_};
  std::error_code error;
  fs::create_directories(directory(name), error);
  return error ? error_of(error.value(), fmt::format("make '{}'", directory(name))) : Status{};
}

bool ControlGroups::is_populated(const std::string& name) const {
  const auto events = read_file(directory(name) + "/cgroup.events");
  return events && events->find("populated 1") != std::string::npos;
}

std::vector<std::int32_t> ControlGroups::processes(const std::string& name) const {
  std::vector<std::int32_t> found;
  if (root_.empty()) return found;
  for (const std::string& group : tree_of(directory(name))) {
    const auto text = read_file(group + "/cgroup.procs");
    std::istringstream lines{text ? *text : std::string{}};
    for (std::int32_t pid = 0; lines >> pid;) {
      if (pid != 0) found.push_back(pid);  // 0: of another PID namespace
    }
  }
  return found;
}

Status ControlGroups::kill(const std::string& name) {
  if (root_.empty()) return {};
  const std::string path = directory(name) + "/cgroup.kill";
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? Status{} : error_of(errno, fmt::format("write '{}'", path));
  const bool written = ::write(file, "1", 1) == 1;
  const int error = errno;
  ::close(file);
  return written || error == ENODEV ? Status{} : error_of(error, fmt::format("write '{}'", path));
}

void ControlGroups::tidy(const std::string& name, const std::set<std::string>& kept) {
  if (root_.empty()) return;
  const std::vector<std::string> groups = tree_of(directory(name));
  for (auto group = groups.rbegin(); group != groups.rend(); ++group) {
    // Refused while something runs there, or in one below.
    if (!kept.contains(group->substr(root_.size() + 1))) (void)::rmdir(group->c_str());
  }
}

}  // namespace safekit::linux_os
