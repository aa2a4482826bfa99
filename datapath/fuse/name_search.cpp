#include "datapath/fuse/name_search.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
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
  if (question.exclusion != nullptr && question.exclusion->excludes_path(path, S_ISDIR(target.st_mode))) return std::nullopt;
  return path;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

using Directory = std::unique_ptr<DIR, CloseDirectory>;

/// Depth first, each directory opened in the one above it: a path may be longer than the kernel takes.
class Walk {
 public:
  Walk(const struct stat& target, const replica::Exclusion* exclusion) : target_(target), exclusion_(exclusion) {}

  Call<std::string> from(int root) {
    enter(root, ".");
    while (!open_.empty()) {
      errno = 0;
      const dirent* entry = ::readdir(open_.back().directory.get());
      if (entry == nullptr) {
        note(errno);
        open_.pop_back();
      } else if (is_dots(entry->d_name)) {
        continue;
      } else if (exclusion_ != nullptr && !exclusion_->empty() && is_excluded(*entry)) {
        continue;
      } else if (is(*entry)) {
        return path_to(entry->d_name);
      } else if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) {
        enter(::dirfd(open_.back().directory.get()), entry->d_name);
      }
    }
    return Errno{failed_ != 0 ? failed_ : ENOENT};
  }

 private:
  struct Level {
    Directory directory{};
    std::string name{};
  };

  /// What is gone since it was listed has no name of ours below it; any other failure may hide one.
  void note(int number) {
    if (number != 0 && number != ENOENT && number != ENOTDIR && failed_ == 0) failed_ = number;
  }

  void enter(int above, const char* name) {
    const int fd = ::openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return note(errno);
    Directory directory{::fdopendir(fd)};
    if (directory) {
      open_.push_back({std::move(directory), name});
    } else {
      note(errno);
      ::close(fd);
    }
  }

  bool is(const dirent& entry) {
    if (entry.d_ino != target_.st_ino) return false;
    struct stat found {};
    if (::fstatat(::dirfd(open_.back().directory.get()), entry.d_name, &found, AT_SYMLINK_NOFOLLOW) == 0)
      return same(found, target_);
    note(errno);
    return false;
  }

  bool is_excluded(const dirent& entry) {
    bool directory = entry.d_type == DT_DIR;
    struct stat found {};
    if (entry.d_type == DT_UNKNOWN &&
        ::fstatat(::dirfd(open_.back().directory.get()), entry.d_name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
      directory = S_ISDIR(found.st_mode);
    }
    std::string path;
    for (std::size_t i = 1; i < open_.size(); ++i) path += (i > 1 ? "/" : "") + open_[i].name;
    return exclusion_->excludes(path, entry.d_name, directory);
  }

  static bool is_dots(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

  std::string path_to(const char* name) const {
    std::string path;
    for (std::size_t i = 1; i < open_.size(); ++i) path += open_[i].name + "/";
    return path + name;
  }

  const struct stat target_;
  const replica::Exclusion* exclusion_;
  std::vector<Level> open_{};
  int failed_{0};
};

}  // namespace

Call<std::string> find_name(const NameQuestion& question) {
  struct stat target {};
  SK_TRY_VOID(checked(::fstat(question.target, &target)));
  if (target.st_nlink == 0) return Errno{ENOENT};
  if (auto path = remembered(question, target)) return std::move(*path);
  return Walk{target, question.exclusion}.from(question.root);
}

}  // namespace safekit::fuse
