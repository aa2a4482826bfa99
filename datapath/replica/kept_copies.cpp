#include "datapath/replica/kept_copies.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>

#include "datapath/linux/fd.h"
#include "datapath/linux/mounts.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"
#include "datapath/replica/tree_clone.h"

namespace safekit::replica {

namespace {

constexpr const char* kLog = "kept-copy";
constexpr std::size_t kProbeBytes = 4096;

/// A replicated directory and the one it lies in, seen without what is mounted on it: ours while this node is secondary.
struct Beside {
  mounts::Alone above{};
  std::string name{};
  [[nodiscard]] int directory() const { return above.directory.get(); }
  [[nodiscard]] std::string kept() const { return ".safekit-kept." + name; }
  [[nodiscard]] std::string making() const { return ".safekit-making." + name; }
  [[nodiscard]] std::string old_one() const { return ".safekit-old." + name; }
};

Result<Beside> beside_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || path.size() == 1) {
    return Error{Code::Unsupported, fmt::format("'{}' lies in no other directory", path)};
  }
  Beside place{.name = path.substr(slash + 1)};
  SK_TRY(place.above, mounts::open_alone(slash == 0 ? "/" : path.substr(0, slash)));
  return place;
}

bool is_there(const Beside& place, const std::string& name) {
  struct stat st {};
  return ::fstatat(place.directory(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

Status rename_at(const Beside& place, const std::string& from, const std::string& to) {
  if (::renameat(place.directory(), from.c_str(), place.directory(), to.c_str()) == 0) return {};
  return system_error(fmt::format("rename '{}'", from), errno);
}

Status sync_names(const Beside& place) {
  if (::fsync(place.directory()) == 0) return {};
  return system_error("sync directory", errno);
}

/// What stands there is the directory itself, with nothing mounted on or in it but our own.
Result<Fd> open_whole(const Beside& place, const std::string& path) {
  Fd fd{::openat(place.directory(), place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return system_error(fmt::format("open '{}'", path), errno);
  struct stat below {};
  struct stat seen {};
  if (::fstat(fd.get(), &below) != 0 || ::stat(path.c_str(), &seen) != 0) return system_error(fmt::format("stat '{}'", path), errno);
  if (below.st_dev != seen.st_dev || below.st_ino != seen.st_ino) {
    return Error{Code::Unsupported, fmt::format("'{}' is a mount point", path)};
  }
  SK_TRY(const auto mounted, mounts::mounted_below(path));
  if (!mounted.empty()) return Error{Code::Unsupported, fmt::format("'{}' is mounted in '{}'", mounted.front(), path)};
  return fd;
}

Status probe(const std::string& path) {
  SK_TRY(const Beside place, beside_of(path));
  SK_TRY(const Fd whole, open_whole(place, path));
  const auto unnamed = [&] { return Fd{::openat(place.directory(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)}; };
  const Fd from = unnamed();
  const Fd to = unnamed();
  if (!from || !to) return system_error("make a file", errno);
  SK_TRY_VOID(tree::write_at(from.get(), Bytes(kProbeBytes), 0));
  return share_content(from.get(), to.get());
}

/// Entry by entry, so that it can be ended: `go_on` says why it has to be.
Status remove_slowly(int directory, const std::string& name, const std::function<Status()>& go_on) {
  SK_TRY_VOID(go_on());
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return system_error(fmt::format("remove '{}'", name), errno);
  const Fd fd{::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return system_error(fmt::format("open '{}'", name), errno);
  SK_TRY(const auto below, tree::entries_of(fd.get()));
  for (const std::string& entry : below) SK_TRY_VOID(remove_slowly(fd.get(), entry, go_on));
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return {};
  return system_error(fmt::format("remove '{}'", name), errno);
}

Status make(const std::string& path, const TreeClone::Options& options, const Clock& clock, const std::stop_token& stop) {
  SK_TRY(const Beside place, beside_of(path));
  SK_TRY(const Fd from, open_whole(place, path));
  const auto go_on = [&]() -> Status {
    if (stop.stop_requested()) return Error{Code::Unavailable, "stopped"};
    if (clock.mono_now() > options.until) return Error{Code::Timeout, "what an earlier attempt has left is not removed in time"};
    return {};
  };
  for (const std::string& name : {place.making(), place.kept()}) SK_TRY_VOID(remove_slowly(place.directory(), name, go_on));
  if (::mkdirat(place.directory(), place.making().c_str(), 0700) != 0) return system_error("make the directory", errno);
  const Fd to{::openat(place.directory(), place.making().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!to) return system_error("open the directory", errno);
  SK_TRY_VOID(TreeClone(options, clock, stop).run(from.get(), to.get()));
  if (::syncfs(to.get()) != 0) return system_error("sync the file system", errno);
  return {};
}

}  // namespace

KeptCopies::KeptCopies(std::vector<std::string> paths, const Clock& clock, Log& log)
    : paths_(std::move(paths)), clock_(clock), log_(log) {}

KeptCopies::~KeptCopies() = default;  // the thread is asked to stop, and joined

bool KeptCopies::can_share() {
  if (!can_share_) can_share_ = std::ranges::all_of(paths_, [](const std::string& path) { return probe(path).has_value(); });
  return *can_share_;
}

Status KeptCopies::keep(const Options& options, const std::stop_token& stop) {
  dropper_ = {};  // it would take the new one away
  const TreeClone::Options to{.copies = options.copies, .until = clock_.mono_now() + options.takes_max};
  for (const std::string& path : paths_) SK_TRY_VOID(make(path, to, clock_, stop));
  for (const std::string& path : paths_) {
    SK_TRY(const Beside place, beside_of(path));
    SK_TRY_VOID(rename_at(place, place.making(), place.kept()));
    SK_TRY_VOID(sync_names(place));
  }
  return {};
}

bool KeptCopies::are_kept() {
  return !paths_.empty() && std::ranges::all_of(paths_, [](const std::string& path) {
    const auto place = beside_of(path);
    return place && is_there(*place, place->kept());
  });
}

Status KeptCopies::put_back() {
  dropper_ = {};
  for (const std::string& path : paths_) {
    SK_TRY(const Beside place, beside_of(path));
    if (!is_there(place, place.kept())) continue;  // it was put back before
    if (is_there(place, place.name)) {
      SK_TRY_VOID(tree::remove_all(place.directory(), place.old_one()));
      SK_TRY_VOID(rename_at(place, place.name, place.old_one()));
      SK_TRY_VOID(sync_names(place));
    }
    SK_TRY_VOID(rename_at(place, place.kept(), place.name));
    SK_TRY_VOID(sync_names(place));
  }
  return {};
}

void KeptCopies::drop() { remove_later(Kept::Goes); }

void KeptCopies::sweep() { remove_later(Kept::Stays); }

void KeptCopies::remove_later(Kept kept) {
  dropper_ = {};  // one that is under way is ended; this one goes on with it
  dropper_ = std::jthread{[this, kept](const std::stop_token& stop) { remove(kept, stop); }};
}

void KeptCopies::remove(Kept kept, const std::stop_token& stop) {
  const auto go_on = [&] { return stop.stop_requested() ? Status{Error{Code::Unavailable, "stopped"}} : Status{}; };
  for (const std::string& path : paths_) {
    const auto place = beside_of(path);
    if (!place) continue;  // nor was there any when something could have been made
    // First it loses the name by which it could come back.
    if (kept == Kept::Goes && !is_there(*place, place->old_one())) (void)rename_at(*place, place->kept(), place->old_one());
    std::vector<std::string> names{place->old_one(), place->making()};
    if (kept == Kept::Goes) names.push_back(place->kept());
    for (const std::string& name : names) {
      const Status gone = remove_slowly(place->directory(), name, go_on);
      if (stop.stop_requested()) return;
      if (!gone) log_.write(LogLevel::Warning, kLog, fmt::format("step=remove directory='{}' error='{}'", path, gone.error().what));
    }
  }
}

}  // namespace safekit::replica
