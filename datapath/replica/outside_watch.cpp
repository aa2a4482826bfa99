#include "datapath/replica/outside_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

using Kind = journal::ActivityEntry::Kind;

constexpr const char* kLog = "outside";

std::string process_text(pid_t pid) {
  if (pid == 0) return "a process outside of this container";
  std::string command;
  std::getline(std::ifstream{fmt::format("/proc/{}/comm", pid)}, command);
  return command.empty() ? fmt::format("pid {}, which has ended", pid) : fmt::format("{} (pid {})", command, pid);
}

std::string below(const std::string& directory, const std::string& name) {
  if (name == ".") return directory;
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

std::optional<MonoTime> compare_at(const CompareTimes& times) {
  if (!times.found) return std::nullopt;
  const MonoTime gathered = *times.found + kCompareAfter;
  return times.compared ? std::max(gathered, *times.compared + kCompareEvery) : gathered;
}

OutsideWatch::OutsideWatch(Options options, std::shared_ptr<OutsideChanges> outside, journal::Journal& journal, const Clock& clock,
                           Log& log, Tasks tasks)
    : options_(std::move(options)), outside_(std::move(outside)), journal_(journal), clock_(clock), log_(log),
      tasks_(std::move(tasks)), own_(::getpid()) {}

OutsideWatch::~OutsideWatch() { stop(); }

Status OutsideWatch::start() {
  for (std::uint32_t root = 0; root < options_.roots.size(); ++root) {
    SK_TRY(const int mount, mount_id_of(options_.roots[root]));
    places_.push_back({root, mount});
    SK_TRY(const std::uint64_t file_system, linux_os::file_system_of(options_.roots[root]));
    file_systems_.push_back(file_system);
  }
  poke_ = Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!poke_) return system_error("eventfd", errno);
  SK_TRY(watch_, linux_os::WriteWatch::open(options_.roots));
  thread_ = std::jthread{[this](const std::stop_token& stop) { watch(stop); }};
  return {};
}

void OutsideWatch::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  drain();
}

OutsideWrites OutsideWatch::found() const {
  const std::lock_guard lock{mutex_};
  return published_;
}

void OutsideWatch::drain() {
  const std::lock_guard lock{mutex_};
  if (watch_ == nullptr || broken_) return;
  (void)read();
  if (times_.found) (void)::eventfd_write(poke_.get(), 1);
}

void OutsideWatch::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const bool came = await(stop);
    std::unique_lock lock{mutex_};
    if (came) {
      (void)wake_.wait_for(lock, stop, kGather, [] { return false; });
      if (broken_ || !read()) return;
    }
    const MonoTime now = clock_.mono_now();
    const bool tells = published_ != now_ && now >= published_at_ + kTellEvery;
    if (tells) {
      published_ = now_;
      published_at_ = now;
    }
    lock.unlock();
    if (tells) tasks_.changed();
    if (compare(now)) tasks_.changed();
  }
}

/// Until there is something to read; or, while something else is due, for a moment.
bool OutsideWatch::await(const std::stop_token& stop) {
  bool is_due = false;
  {
    const std::lock_guard lock{mutex_};
    is_due = times_.found.has_value() || published_ != now_;
  }
  const std::stop_callback wake{stop, [this] { (void)::eventfd_write(poke_.get(), 1); }};
  std::array<pollfd, 2> ready{pollfd{.fd = watch_->descriptor(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = poke_.get(), .events = POLLIN, .revents = 0}};
  const auto limit = static_cast<int>(std::chrono::duration_cast<milliseconds>(kLookEvery).count());
  const bool came = ::poll(ready.data(), ready.size(), is_due ? limit : -1) > 0 && ready[0].revents != 0;
  eventfd_t pokes = 0;
  (void)::eventfd_read(poke_.get(), &pokes);
  return came;
}

/// Asks for a meeting when it is time.
bool OutsideWatch::compare(MonoTime now) {
  {
    const std::lock_guard lock{mutex_};
    const auto due = compare_at(times_);
    if (!options_.compares || !due || now < *due) return false;
    // The primary has been told already.
    const auto untold = outside_->known();
    if (untold != nullptr && untold->empty()) times_.found.reset();
    if (!times_.found) return false;
  }
  if (!tasks_.compare()) return false;
  const std::lock_guard lock{mutex_};
  times_ = {.compared = now};
  told_.clear();
  return true;
}

/// False when nothing more can be read. Caller holds mutex_.
bool OutsideWatch::read() {
  auto events = watch_->read();
  if (!events) {
    note_unknown(events.error().what);
  } else {
    for (const linux_os::WriteEvent& event : *events) take(event);
  }
  inside_.clear();
  if (!batch_.empty()) keep();
  broken_ = !events;
  return !broken_;
}

void OutsideWatch::take(const linux_os::WriteEvent& event) {
  if (event.overflow) return note_unknown("the kernel dropped events: too much was changed at once on this file system");
  if (event.pid == own_) return;
  const At* const at = place_of(event);
  if (at == nullptr) return;
  const std::string path = below(at->path, event.name);
  const Exclusion none;
  const Exclusion& rules = at->root < options_.exclusions.size() ? options_.exclusions[at->root] : none;
  if (!rules.empty() && !path.empty() && rules.excludes_path(path, event.directory || event.name == ".")) return;
  note(event, *at);
  tell(options_.paths[at->root] + (path.empty() ? "" : "/" + path), event.pid);
  if (!event.directory || !event.names) return;
  // It may have been moved in, or within, with all below.
  elsewhere_.clear();
  inside_.clear();
}

/// The directory of the event, if it lies in one of the trees.
const OutsideWatch::At* OutsideWatch::place_of(const linux_os::WriteEvent& event) {
  std::string key{as_text(event.handle)};
  key.append(reinterpret_cast<const char*>(&event.file_system), sizeof event.file_system);
  if (elsewhere_.contains(key)) return nullptr;
  if (const auto known = inside_.find(key); known != inside_.end()) return &known->second;
  for (std::uint32_t root = 0; root < options_.roots.size(); ++root) {
    if (file_systems_[root] != event.file_system) continue;
    auto directory = open_key(options_.roots[root], to_key({root, event.handle_type, event.handle}), O_PATH);
    if (!directory) continue;  // it is gone, and what was done above it is told by other events
    auto path = tree::path_below(options_.roots[root], directory->get());
    if (!path) continue;
    if (inside_.size() >= kInsideMax) inside_.clear();
    return &inside_.insert_or_assign(std::move(key), At{root, std::move(*path), std::move(*directory)}).first->second;
  }
  if (elsewhere_.size() >= kElsewhereMax) elsewhere_.clear();
  elsewhere_.insert(std::move(key));
  return nullptr;
}

void OutsideWatch::note(const linux_os::WriteEvent& event, const At& at) {
  ++now_.count;
  auto parent = key_at(places_[at.root], at.directory.get(), "");
  if (!parent) return note_unknown(parent.error().what);
  if (event.name == ".") {
    (void)batch_.changes.add({.kind = Kind::Attributes, .key = *parent});
    return;
  }
  struct stat st {};
  const bool there = ::fstatat(at.directory.get(), event.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (event.names || !there) (void)batch_.changes.add({.kind = Kind::Names, .key = *parent});
  if (event.names && event.directory) (void)batch_.changes.add({.kind = Kind::Tree, .key = *parent, .name = event.name});
  if (!there) return;
  auto key = key_at(places_[at.root], at.directory.get(), event.name);
  if (!key) return;  // somebody was faster: another event tells of it
  if (S_ISDIR(st.st_mode)) {
    (void)batch_.changes.add({.kind = Kind::Attributes, .key = *key});
  } else if (st.st_nlink > 1) {
    note_unknown(fmt::format("'{}' was changed and has several names", event.name));
  } else {
    const Kind kind = S_ISREG(st.st_mode) ? Kind::Groups : Kind::Attributes;  // all content
    (void)batch_.changes.add({.kind = kind, .key = *key, .parent = *parent, .name = event.name});
  }
}

void OutsideWatch::note_unknown(const std::string& why) {
  if (!batch_.unknown.empty()) return;
  batch_.unknown = why;
  ++now_.count;
  now_.last = fmt::format("something unknown ({})", why);
}

/// The next start looks for it as well, should this process not live to tell of it.
void OutsideWatch::keep() {
  const bool unknown = !batch_.unknown.empty();
  if (unknown) {
    log_.write(LogLevel::Warning, kLog, fmt::format("written-outside=unknown reason='{}': all is compared", batch_.unknown));
  }
  outside_->add(std::exchange(batch_, {}));  // before the journal is looked at: an end of a synchronisation settles it
  const journal::Watched seen = journal_.state().watched;
  if (!seen.unsettled || (unknown && seen.until != 0)) {
    const Status noted = journal_.update([&](journal::State& state) {
      state.watched.unsettled = true;
      if (unknown) state.watched.until = 0;
    });
    if (!noted) log_.write(LogLevel::Error, kLog, fmt::format("step=note error='{}'", noted.error().what));
  }
  if (!times_.found) times_.found = clock_.mono_now();
}

void OutsideWatch::tell(const std::string& path, pid_t pid) {
  if (told_.size() >= kToldMax || !told_.insert(path).second) return;
  const std::string process = process_text(pid);
  now_.last = fmt::format("'{}' by {}", path, process);
  log_.write(LogLevel::Warning, kLog, fmt::format("written-outside='{}' by='{}'{}", path, process,
                                                  told_.size() == kToldMax ? " more are only counted" : ""));
}

}  // namespace safekit::replica
