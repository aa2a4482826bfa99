#include "datapath/fuse/name_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "datapath/fuse/file_handle.h"

namespace safekit::fuse {
namespace {

bool same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool leads_to(int root, const std::string& path, const struct stat& target) {
  struct stat found {};
  return ::fstatat(root, path.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && same(found, target);
}

std::optional<std::string> remembered(const NameQuestion& question, const struct stat& target) {
  std::array<char, 4097> text{};
  std::array<std::string, 2> paths{};
  const std::array<int, 2> descriptors{question.root, question.target};
  for (std::size_t i = 0; i < 2; ++i) {
    const ssize_t size = ::readlink(magic_path(descriptors[i]).c_str(), text.data(), text.size() - 1);
    if (size <= 0) return std::nullopt;
    paths[i].assign(text.data(), static_cast<std::size_t>(size));
  }
  const std::string prefix = paths[0] == "/" ? paths[0] : paths[0] + "/";
  if (paths[1].size() <= prefix.size() || paths[1].compare(0, prefix.size(), prefix) != 0)
    return std::nullopt;
  std::string path = paths[1].substr(prefix.size());
  if (!leads_to(question.root, path, target)) return std::nullopt;
  return path;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::optional<std::string> walked(int root, const struct stat& target) {
  std::vector<std::string> pending{""};
  while (!pending.empty()) {
    const std::string at = std::move(pending.back());
    pending.pop_back();
    const int fd =
        ::openat(root, at.empty() ? "." : at.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    const std::unique_ptr<DIR, CloseDirectory> directory{::fdopendir(fd)};
    if (!directory) continue;
    while (const dirent* entry = ::readdir(directory.get())) {
      if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
      std::string path = at.empty() ? entry->d_name : at + "/" + entry->d_name;
      if (entry->d_ino == target.st_ino && leads_to(root, path, target)) return path;
      if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) pending.push_back(std::move(path));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_name(const NameQuestion& question) {
  struct stat target {};
  if (::fstat(question.target, &target) != 0 || target.st_nlink == 0) return std::nullopt;
  if (auto path = remembered(question, target)) return path;
  return walked(question.root, target);
}

}  // namespace safekit::fuse
