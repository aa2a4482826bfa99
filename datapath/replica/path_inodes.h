#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "datapath/replica/sink.h"

namespace safekit::replica {

/// For tests: a directory, by path; an id stands for a path as long as it is there.
class PathInodes final : public Inodes {
 public:
  explicit PathInodes(std::string top) : top_(std::move(top)) { paths_.push_back(""); }
  [[nodiscard]] std::uint32_t root_count() const override { return 1; }
  [[nodiscard]] InodeId root_id(std::uint32_t) const override { return {1}; }
  Result<wire::TreePath> path_of(InodeId id) override { return wire::TreePath{0, paths_.at(id.value - 1)}; }
  Result<InodeId> pin(InodeId parent, const std::string& name) override {
    const std::string& above = paths_.at(parent.value - 1);
    const std::string path = above.empty() ? name : above + "/" + name;
    struct stat st {};
    if (::lstat((top_ + "/" + path).c_str(), &st) != 0) return Error{Code::NotFound, path};
    ++pins;
    const auto found = std::ranges::find(paths_, path);
    const auto index = static_cast<std::uint64_t>(found - paths_.begin());
    if (found == paths_.end()) paths_.push_back(path);
    return InodeId{1 + index};
  }
  Result<InodeId> pin(const FileHandle& handle) override {
    ++pins;
    return InodeId{handle.bytes.at(0)};
  }
  void unpin(InodeId) override { --pins; }
  Result<FileHandle> handle_of(InodeId id) override { return FileHandle{0, 1, {static_cast<std::uint8_t>(id.value)}}; }
  Result<EntryPlace> place_of(InodeId) override { return Error{Code::NotFound, "not asked for"}; }
  Result<int> open(InodeId id, int flags) override {
    const int fd = ::open((top_ + "/" + paths_.at(id.value - 1)).c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return Error{Code::NotFound, "open"};
    return fd;
  }
  Moves moves_under_way() override { return moves; }

  Moves moves{};
  int pins{0};

 private:
  std::string top_;
  std::vector<std::string> paths_{};
};

}  // namespace safekit::replica
