#include "datapath/replica/outside_scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "datapath/journal/zone_map.h"
#include "datapath/replica/handle.h"
#include "datapath/resync/outside.h"

namespace safekit::replica {

namespace {

using journal::ActivityEntry;
using Kind = journal::ActivityEntry::Kind;

constexpr unsigned kStatMask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_CTIME;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kStatFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// What somebody has removed, replaced or mounted over since its name was read.
bool is_gone(int number) { return number == ENOENT || number == ENOTDIR || number == ELOOP || number == EXDEV || number == ESTALE; }

Fd open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return Fd{static_cast<int>(::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how))};
}

class Scanner {
 public:
  Scanner(const std::vector<Fd>& roots, const Exclusions& exclusions, const Absence& absence, const std::stop_token& stop)
      : roots_(roots), exclusions_(exclusions), absence_(absence), stop_(stop) {}

  Outside run(unsigned workers) {
    for (std::uint32_t root = 0; root < roots_.size(); ++root) {
      if (const Status begun = begin(root); !begun) give_up(begun.error().what);
    }
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < workers; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (!found_.unknown.empty()) found_.changes = {};
    return std::move(found_);
  }

 private:
  struct Directory {
    std::uint32_t root{0};
    std::string path{};
    bool changed{false};
  };
  /// A directory that is being read.
  struct Reading {
    const Directory& at;
    int fd{-1};
    std::optional<HandleKey> key{};  ///< when it is needed
    std::uint64_t looked_at{0};
    std::vector<Directory> below{};
  };

  Status begin(std::uint32_t root) {
    SK_TRY(const int mount, mount_id_of(roots_[root].get()));
    places_.push_back({root, mount});
    struct statx st {};
    if (::statx(roots_[root].get(), "", AT_EMPTY_PATH, kStatMask, &st) != 0) return system_error("stat", errno);
    const bool changed = is_changed(st);
    if (changed) {
      SK_TRY(HandleKey key, key_at(places_[root], roots_[root].get(), ""));
      note({.kind = Kind::Names, .key = std::move(key)});
      count(st, ".");
    }
    waiting_.push_back({root, "", changed});
    return {};
  }

  void work() {
    std::unique_lock lock{mutex_};
    for (;;) {
      wake_.wait(lock, [this] { return ended_ || !waiting_.empty() || busy_ == 0; });
      if (ended_ || waiting_.empty()) break;
      // The last one found is the deepest: few wait.
      const Directory at = std::move(waiting_.back());
      waiting_.pop_back();
      ++busy_;
      lock.unlock();
      Reading reading{.at = at};
      const Status done = read(reading);
      lock.lock();
      --busy_;
      found_.looked_at += reading.looked_at;
      std::ranges::move(reading.below, std::back_inserter(waiting_));
      if (!done) give_up_locked(fmt::format("{}: {}", at.path.empty() ? "." : at.path, done.error().what));
      if (waiting_.size() > kWaitingMax) give_up_locked("too many directories");
      ended_ = ended_ || stop_.stop_requested();
      wake_.notify_all();
    }
    wake_.notify_all();
  }

  Status read(Reading& reading) {
    Fd fd = open_below(roots_[reading.at.root].get(), reading.at.path);
    if (!fd) return is_gone(errno) ? Status{} : Status{system_error("open directory", errno)};
    const std::unique_ptr<DIR, CloseDirectory> listing{::fdopendir(fd.get())};
    if (!listing) return system_error("read directory", errno);
    reading.fd = fd.release();  // it is the listing's now
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(listing.get());
      if (entry == nullptr) return errno == 0 ? Status{} : Status{system_error("read directory", errno)};
      const std::string name{entry->d_name};
      if (name == "." || name == "..") continue;
      SK_TRY_VOID(look(reading, name));
      if (stop_.stop_requested()) return {};
    }
  }

  Status look(Reading& reading, const std::string& name) {
    struct statx st {};
    if (::statx(reading.fd, name.c_str(), kStatFlags, kStatMask, &st) != 0) {
      return is_gone(errno) ? Status{} : Status{system_error(fmt::format("stat '{}'", name), errno)};
    }
    const bool directory = S_ISDIR(st.stx_mode);
    if (reading.at.root < exclusions_.size() && exclusions_[reading.at.root].excludes(reading.at.path, name, directory)) return {};
    ++reading.looked_at;
    const bool changed = is_changed(st);
    std::string path = reading.at.path.empty() ? name : reading.at.path + "/" + name;
    if (changed) {
      const Status noted = found(reading, name, path, st);
      if (!noted && noted.error().code != Code::NotFound && noted.error().code != Code::Conflict) return noted;
    }
    if (directory) reading.below.push_back({reading.at.root, std::move(path), changed});
    return {};
  }

  /// Errors: NotFound when it is gone, Conflict in another mount.
  Status found(Reading& reading, const std::string& name, const std::string& path, const struct statx& st) {
    SK_TRY(HandleKey key, key_at(places_[reading.at.root], reading.fd, name));
    if (!reading.key) {
      SK_TRY(reading.key, key_at(places_[reading.at.root], reading.fd, ""));
    }
    if (S_ISDIR(st.stx_mode)) {
      note({.kind = Kind::Names, .key = std::move(key)});
      count(st, path);
      if (reading.at.changed) note({.kind = Kind::Tree, .key = *reading.key, .name = name});
      return {};
    }
    if (st.stx_nlink > 1) {
      give_up(fmt::format("{} was changed and has several names", path));
      return {};
    }
    // Content from the first zone to the end.
    note({.kind = S_ISREG(st.stx_mode) ? Kind::Groups : Kind::Attributes, .key = std::move(key), .parent = *reading.key, .name = name});
    count(st, path);
    return {};
  }

  [[nodiscard]] bool is_changed(const struct statx& st) const {
    return resync::is_since({st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec}, absence_.since);
  }

  void note(const ActivityEntry& entry) {
    const std::lock_guard lock{mutex_};
    found_.changes.add(entry);
    if (found_.changes.everything || found_.changes.inodes.size() > journal::ZoneMap::kInodesMax) {
      give_up_locked("too much was changed");
    }
  }
  void count(const struct statx& st, const std::string& path) {
    const std::lock_guard lock{mutex_};
    if (st.stx_ctime.tv_sec * kSecond + st.stx_ctime.tv_nsec > absence_.until) {
      ++found_.meanwhile;
      return;
    }
    ++found_.found;
    if (found_.first.empty()) found_.first = path;
  }
  void give_up(std::string why) {
    const std::lock_guard lock{mutex_};
    give_up_locked(std::move(why));
  }
  void give_up_locked(std::string why) {
    if (found_.unknown.empty()) found_.unknown = std::move(why);
    ended_ = true;
  }

  const std::vector<Fd>& roots_;
  const Exclusions& exclusions_;
  const Absence absence_;
  const std::stop_token stop_;
  std::vector<Place> places_{};

  std::mutex mutex_{};
  std::condition_variable wake_{};
  std::vector<Directory> waiting_{};
  unsigned busy_{0};
  bool ended_{false};
  Outside found_{};
};

}  // namespace

void Outside::add(const Outside& more) {
  changes.merge(more.changes);
  const bool too_much = changes.everything || changes.inodes.size() > journal::ZoneMap::kInodesMax;
  if (unknown.empty()) unknown = too_much ? "too much was changed" : more.unknown;
  if (!unknown.empty()) changes = {};
}

Outside scan(const std::vector<Fd>& roots, const Exclusions& exclusions, const Absence& absence, unsigned workers,
             const std::stop_token& stop) {
  return Scanner{roots, exclusions, absence, stop}.run(workers);
}

}  // namespace safekit::replica
