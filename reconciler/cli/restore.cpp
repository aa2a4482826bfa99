#include "reconciler/cli/restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "reconciler/cli/files.h"
#include "reconciler/cli/output.h"

namespace safekit::cli {
namespace {

using api::LostItem;
using api::LostPiece;

constexpr std::size_t kNotesMax = 20;
constexpr mode_t kPermissions = 07777;

/// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

Error io_error(const std::string& path) {
  return Error{Code::Io, fmt::format("cannot write '{}': {}", api::escaped(path), std::strerror(errno))};
}

bool is_missing(const LostPiece& piece) { return piece.state == "no-room" || piece.state == "unreadable"; }

bool is_incomplete(const LostItem& item) { return std::any_of(item.pieces.begin(), item.pieces.end(), is_missing); }

/// A directory below which paths are made without ever following a link.
class Tree {
 public:
  explicit Tree(Descriptor top) : top_(std::move(top)) {}
  struct Place {
    Descriptor directory{};
    std::string name{};
  };
  /// The directory that `path` lies in, made where it is missing. Errors: Corrupt for a path that leads elsewhere, Io.
  Result<Place> place(const std::string& path) const {
    Place at{.directory = Descriptor{::dup(top_.get())}};
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string part = path.substr(begin, end - begin);
      begin = end + 1;
      if (part.empty()) continue;
      if (part == "." || part == "..") return Error{Code::Corrupt, fmt::format("unsafe path '{}'", api::escaped(path))};
      if (!at.name.empty()) {
        if (::mkdirat(at.directory.get(), at.name.c_str(), 0700) != 0 && errno != EEXIST) return io_error(path);
        Descriptor next{::openat(at.directory.get(), at.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (!next) return io_error(path);
        at.directory = std::move(next);
      }
      at.name = part;
    }
    if (at.name.empty()) return Error{Code::Corrupt, "an item without a name"};
    return at;
  }

 private:
  Descriptor top_;
};

Result<Tree> make_tree(int above, const char* name) {
  if (::mkdirat(above, name, 0700) != 0) return io_error(name);
  Descriptor fd{::openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return io_error(name);
  return Tree{std::move(fd)};
}

class Restorer {
 public:
  Restorer(Tree files, Tree parts, const LostData& data) : files_(std::move(files)), parts_(std::move(parts)), data_(data) {}

  Status add(const LostItem& item) {
    if (item.kind == "absent") return {};
    if (is_incomplete(item)) ++done_.incomplete;
    if (item.kind == "directory") {
      directories_.push_back(&item);
      return {};
    }
    if (item.kind == "file" && !item.removed) {
      if (item.pieces.empty()) return {};  // only its attributes differed: the listing has them
      ++done_.parts;
      return add_file(parts_, item);
    }
    if (!item.removed) return {};
    ++done_.whole;
    if (item.kind == "file") return add_file(files_, item);
    return add_other(item);
  }

  /// Directories get their attributes last: what is put into them changes them.
  Status end() {
    for (auto item = directories_.rbegin(); item != directories_.rend(); ++item) {
      if (!(*item)->removed) continue;
      ++done_.whole;
      SK_TRY(const auto place, files_.place((*item)->path));
      if (::mkdirat(place.directory.get(), place.name.c_str(), 0700) != 0 && errno != EEXIST) return io_error((*item)->path);
      const Descriptor fd{::openat(place.directory.get(), place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
      if (!fd) return io_error((*item)->path);
      set_attributes(fd.get(), **item);
    }
    return {};
  }
  [[nodiscard]] Restored take() { return std::move(done_); }

 private:
  Status add_file(const Tree& tree, const LostItem& item) {
    SK_TRY(const auto place, tree.place(item.path));
    std::string name = place.name;
    constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    Descriptor fd{::openat(place.directory.get(), name.c_str(), kFlags, 0600)};
    if (!fd && errno == EEXIST) {
      // Two files had this name, one after the other.
      name += fmt::format(".{}", item.number);
      fd = Descriptor{::openat(place.directory.get(), name.c_str(), kFlags, 0600)};
    }
    if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(item.size)) != 0) return io_error(item.path);
    for (const LostPiece& piece : item.pieces) {
      if (piece.state == "kept") SK_TRY_VOID(copy(fd.get(), piece, item.path));
    }
    set_attributes(fd.get(), item);
    for (const std::string& other : item.names) {
      SK_TRY(const auto link, tree.place(other));
      if (::linkat(place.directory.get(), name.c_str(), link.directory.get(), link.name.c_str(), 0) != 0) {
        note(fmt::format("'{}' is not made as a further name of '{}': {}", api::escaped(other), api::escaped(item.path),
                         std::strerror(errno)));
      }
    }
    return {};
  }

  Status copy(int fd, const LostPiece& piece, const std::string& path) {
    for (std::uint64_t done = 0; done < piece.size;) {
      SK_TRY(const std::string bytes, data_(piece.at + done, std::min<std::uint64_t>(piece.size - done, api::kLostBytesMax)));
      if (bytes.empty()) return Error{Code::Corrupt, "the server gives no bytes"};
      for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t put = ::pwrite(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(piece.offset + done + at));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return io_error(path);
        at += static_cast<std::size_t>(put);
      }
      done += bytes.size();
    }
    return {};
  }

  Status add_other(const LostItem& item) {
    SK_TRY(const auto place, files_.place(item.path));
    const bool is_link = item.kind == "link";
    const int made = is_link ? ::symlinkat(item.link_target.c_str(), place.directory.get(), place.name.c_str())
                             : ::mknodat(place.directory.get(), place.name.c_str(), item.mode, static_cast<dev_t>(item.device));
    if (made != 0) {
      note(fmt::format("'{}' is not made: {}", api::escaped(item.path), std::strerror(errno)));
      return {};
    }
    const timespec mtime{.tv_sec = item.mtime_seconds, .tv_nsec = static_cast<long>(item.mtime_nanoseconds)};
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, mtime};
    if (::fchownat(place.directory.get(), place.name.c_str(), item.uid, item.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      note(fmt::format("owner {}:{} of '{}': {}", item.uid, item.gid, api::escaped(item.path), std::strerror(errno)));
    }
    if (::utimensat(place.directory.get(), place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return io_error(item.path);
    return {};
  }

  void set_attributes(int fd, const LostItem& item) {
    const auto failed = [&](const std::string& what) {
      note(fmt::format("{} of '{}': {}", what, api::escaped(item.path), std::strerror(errno)));
    };
    mode_t mode = item.mode & kPermissions;
    if (::fchown(fd, item.uid, item.gid) != 0) {
      failed(fmt::format("owner {}:{}", item.uid, item.gid));
      mode &= 0777;  // another owner's set-user-id file would be this user's
    }
    if (::fchmod(fd, mode) != 0) failed("mode");
    for (const auto& [name, value] : item.xattrs) {
      if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0) failed("attribute " + api::escaped(name));
    }
    const timespec mtime{.tv_sec = item.mtime_seconds, .tv_nsec = static_cast<long>(item.mtime_nanoseconds)};
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, mtime};
    if (::futimens(fd, times) != 0) failed("time");
  }

  void note(std::string text) {
    if (done_.notes.size() < kNotesMax) done_.notes.push_back(std::move(text));
  }

  Tree files_;
  Tree parts_;
  const LostData& data_;
  std::vector<const LostItem*> directories_{};
  Restored done_{};
};

std::uint64_t bytes_of(const LostItem& item, bool missing) {
  std::uint64_t bytes = 0;
  for (const LostPiece& piece : item.pieces) {
    if (is_missing(piece) == missing && piece.state != "zeros") bytes += piece.size;
  }
  return bytes;
}

}  // namespace

std::string lost_table(const std::vector<api::LostItem>& items, bool pieces) {
  Table table{{"WHAT", "KIND", "SIZE", "SET ASIDE", "LOST", "PATH"}};
  for (const LostItem& item : items) {
    const std::string what = item.kind == "absent"                             ? "not here"
                             : item.removed                                    ? "removed"
                             : item.kind == "file" && !item.pieces.empty() ? "changed"
                                                                               : "attributes";
    std::string path = api::escaped(item.path);
    if (!item.link_target.empty()) path += " -> " + api::escaped(item.link_target);
    for (const std::string& name : item.names) path += " = " + api::escaped(name);
    table.add({what, item.kind, std::to_string(item.size), std::to_string(bytes_of(item, false)),
               std::to_string(bytes_of(item, true)), path});
    if (!pieces) continue;
    for (const LostPiece& piece : item.pieces) {
      table.add({"", piece.state, std::to_string(piece.size), "", "", fmt::format("  bytes {} to {}", piece.offset, piece.offset + piece.size)});
    }
  }
  return table.text();
}

Result<Restored> restore(const std::string& directory, const std::vector<api::LostItem>& items, const LostData& data) {
  std::error_code failed;
  if (std::filesystem::exists(directory, failed) && !std::filesystem::is_empty(directory, failed)) {
    return Error{Code::Conflict, fmt::format("'{}' is not empty; name a new directory", directory)};
  }
  std::filesystem::create_directories(directory, failed);
  const Descriptor top{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!top) return io_error(directory);
  SK_TRY(auto files, make_tree(top.get(), "files"));
  SK_TRY(auto parts, make_tree(top.get(), "parts"));
  Restorer restorer{std::move(files), std::move(parts), data};
  for (const LostItem& item : items) SK_TRY_VOID(restorer.add(item));
  SK_TRY_VOID(restorer.end());
  SK_TRY_VOID(write_file(directory + "/listing", lost_table(items, true)));
  return restorer.take();
}

}  // namespace safekit::cli
