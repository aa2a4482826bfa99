#include "datapath/fuse/session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include "datapath/linux/mounts.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace safekit::fuse {
namespace {

constexpr std::uint32_t kIdleThreadsMax = 4;
constexpr std::string_view kDirtyPercentMax = "25";  ///< of what all writers may leave dirty
/// After a successful umount the threads see the end at once, unless the mount lives on in another namespace.
constexpr std::chrono::seconds kEndMax{2};
constexpr std::chrono::milliseconds kPauseAgain{20};
constexpr std::size_t kPageBytes = 4096;

unsigned long flags_of(int directory) {
  struct statvfs found {};
  if (::fstatvfs(directory, &found) != 0) return 0;
  unsigned long flags = 0;
  for (const auto& [stat_flag, mount_flag] : {std::pair<unsigned long, unsigned long>{ST_NOSUID, MS_NOSUID},
                                              {ST_NODEV, MS_NODEV},
                                              {ST_NOEXEC, MS_NOEXEC},
                                              {ST_NOATIME, MS_NOATIME},
                                              {ST_RELATIME, MS_RELATIME}}) {
    if ((found.f_flag & stat_flag) != 0) flags |= mount_flag;
  }
  return flags;
}

/// A FUSE mount may hold one percent of the dirty pages that the kernel allows: too few for a database's working set.
void allow_dirty_pages(const std::string& path) {
  struct stat root {};
  if (::stat(path.c_str(), &root) != 0) return;
  const std::string limit = fmt::format("/sys/class/bdi/{}:{}/max_ratio", major(root.st_dev), minor(root.st_dev));
  const Fd file{::open(limit.c_str(), O_WRONLY | O_CLOEXEC)};
  (void)!::write(file.get(), kDirtyPercentMax.data(), kDirtyPercentMax.size());  // only speed depends on it
}

/// Ends a wait for the next request; nothing else.
constexpr int kPauseSignal = SIGUSR2;

void prepare_thread() {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, kPauseSignal);
  (void)::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the others are for main
  // A umask per thread. It cannot fail for root but in a sandbox, where files would get the umask of another
  // caller.
  SK_ASSERT(::unshare(CLONE_FS) == 0);
  (void)::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);  // helps under memory pressure; needs CAP_SYS_RESOURCE
}

}  // namespace

Session::Session(std::uint32_t root, Operations& operations, const Options& options, Ledger& ledger)
    : root_(root), operations_(operations), options_(options), ledger_(ledger) {}

Session::~Session() {
  SK_ASSERT(threads_ == 0);
}

Status Session::mount(const std::string& path, int directory) {
  path_ = path;
  device_.reset(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device_) {
    return Error{Code::Unsupported, fmt::format("cannot open '/dev/fuse': {}; load the 'fuse' kernel module",
                                                ::strerror(errno))};
  }
  struct stat root {};
  if (::fstat(directory, &root) != 0)
    return Error{Code::Io, fmt::format("'{}': {}", path, ::strerror(errno))};
  const std::string options =
      fmt::format("fd={},rootmode={:o},user_id=0,group_id=0,allow_other,default_permissions,max_read={}",
                  device_.get(), root.st_mode & S_IFMT, kWriteBytesMax);
  if (::mount(mounts::kSource.data(), path.c_str(), mounts::kType.data(), flags_of(directory),
              options.c_str()) != 0) {
    return Error{Code::Io, fmt::format("cannot mount over '{}': {}", path, ::strerror(errno))};
  }
  if (auto status = shake_hands(); !status) {
    (void)::umount2(path.c_str(), MNT_DETACH);  // it has served nobody yet
    return status;
  }
  begin_serving();
  if (options_.write_back) allow_dirty_pages(path);
  return {};
}

void Session::begin_serving() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  (void)::sigaction(kPauseSignal, &action, nullptr);
  operations_.set_agreement(ledger_.agreement());
  mounted_ = true;
  unmounted_here_ = false;
  ending_ = paused_ = false;
  const std::lock_guard lock{mutex_};
  start_thread_locked();
}

Status Session::inherit(const std::string& path, Fd device) {
  path_ = path;
  device_ = std::move(device);
  fuse_out_header again{};
  again.len = sizeof again;
  again.error = static_cast<std::int32_t>(kNotifyResend);
  // Before anything is read here, or it would come twice.
  if (::write(device_.get(), &again, sizeof again) != static_cast<ssize_t>(sizeof again)) {
    return Error{Code::Io, fmt::format("the mount over '{}' cannot be taken over: {}", path, ::strerror(errno))};
  }
  return {};
}

bool Session::pause(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  paused_ = true;
  std::unique_lock lock{mutex_};
  // Again and again: a signal that comes just before the read does not end it.
  while (threads_ > 0 && std::chrono::steady_clock::now() < end) {
    // Only these: a call below might end with EINTR.
    for (const auto& [thread, waits] : serving_) {
      if (*waits) (void)::pthread_kill(thread, kPauseSignal);
    }
    ended_.wait_for(lock, kPauseAgain, [this] { return threads_ == 0; });
  }
  return threads_ == 0;
}

Status Session::shake_hands() {
  std::vector<std::uint8_t> buffer(kRequestBytesMax);
  std::size_t size = 0;
  if (!next_request(buffer, size)) return Error{Code::Io, "the new FUSE mount ended at once"};
  const auto request = Request::parse(BytesView{buffer}.first(size));
  const auto in = request ? request->arguments<fuse_init_in>() : Call<fuse_init_in>{request.error()};
  if (!in || request->header().opcode != FUSE_INIT)
    return Error{Code::Unsupported, "the kernel's FUSE greeting is unknown"};
  const auto out = negotiate(*in, options_.write_back);
  if (!out) {
    return Error{Code::Unsupported,
                 fmt::format("FUSE {}.{} of this kernel is too old: 7.{} (Linux 5.15) is needed", in->major,
                             in->minor, kAbiMinorMin)};
  }
  const std::uint64_t flags = out->flags | std::uint64_t{out->flags2} << 32;
  ledger_.agree({.resend = (flags & kInitHasResend) != 0,
                 .write_back = options_.write_back,
                 .long_setxattr = (flags & FUSE_SETXATTR_EXT) != 0});
  Reply reply{{}};
  reply.add(*out);
  send(request->header(), 0, reply);
  return {};
}

Status Session::unmount() {
  if (!mounted_) return {};
  ending_ = true;
  if (!unmounted_here_) {
    SK_TRY(const auto kind, mounts::mount_kind(path_));
    if (kind == mounts::Kind::Other || kind == mounts::Kind::OurReadOnlyBind) {
      return Error{Code::Conflict,
                   fmt::format("something else is mounted over '{}': unmount that first", path_)};
    }
    if (kind == mounts::Kind::OurFuse) {
      if (auto status = mounts::unmount(path_); !status) {
        ending_ = false;
        return status;
      }
    }
    unmounted_here_ = true;
  }
  std::unique_lock lock{mutex_};
  if (!ended_.wait_for(lock, kEndMax, [this] { return threads_ == 0; })) {
    return Error{Code::Conflict,
                 fmt::format("'{}' is unmounted here, but is still in use in another mount namespace or by "
                             "a request that waits for the peer: stop what uses it and try again",
                             path_)};
  }
  mounted_ = false;
  device_.reset();
  return {};
}

void Session::start_thread_locked() {
  ++threads_;
  ++idle_;
  // Detached: the last thing it does is to count itself out under the lock, which `unmount` waits for.
  std::thread{[this] { serve(); }}.detach();
}

bool Session::next_request(std::span<std::uint8_t> buffer, std::size_t& size) {
  for (;;) {
    const ssize_t got = ::read(device_.get(), buffer.data(), buffer.size());
    if (got > 0) {
      size = static_cast<std::size_t>(got);
      return true;
    }
    if (got < 0 && errno == EINTR && paused_) return false;
    // ENOENT: the request was taken back while it was read.
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    return false;
  }
}

/// Pages of a reply that none reaches cost nothing. Those of a request are there before it comes: were the process killed while
/// the kernel copies into a page that is not, the caller would get an EIO.
Session::Room Session::take_room() {
  {
    const std::lock_guard lock{mutex_};
    if (!rooms_.empty()) {
      Room room = std::move(rooms_.back());
      rooms_.pop_back();
      return room;
    }
  }
  Room room = std::make_unique_for_overwrite<std::uint8_t[]>(kRequestBytesMax + kWriteBytesMax);
  for (std::size_t at = 0; at < kRequestBytesMax; at += kPageBytes) room[at] = 0;
  room[kRequestBytesMax - 1] = 0;
  return room;
}

void Session::serve() {
  prepare_thread();
  std::atomic<bool> waits{false};
  {
    const std::lock_guard lock{mutex_};
    serving_.emplace(::pthread_self(), &waits);
  }
  Ledger::Record* record = ledger_.lend();
  Attempt attempt{record};
  Room room = take_room();
  const std::span buffer{room.get(), kRequestBytesMax};
  Reply reply{{room.get() + kRequestBytesMax, kWriteBytesMax}};
  bool alive = true;
  for (;;) {
    std::size_t size = 0;
    waits = true;
    alive = !paused_ && next_request(buffer, size);
    waits = false;
    if (options_.polling != nullptr) options_.polling->note();
    std::unique_lock lock{mutex_};
    --idle_;
    if (!alive) break;
    if (idle_ == 0 && threads_ < options_.threads_max) start_thread_locked();
    lock.unlock();
    answer(BytesView{buffer}.first(size), reply, attempt);
    lock.lock();
    if (idle_ >= kIdleThreadsMax) break;
    ++idle_;
  }
  if (record != nullptr) ledger_.give_back(record);
  const bool first = !alive && !paused_ && !ending_.exchange(true);
  if (first && options_.on_end) options_.on_end(root_);
  const std::lock_guard lock{mutex_};
  serving_.erase(::pthread_self());
  if (rooms_.size() < kIdleThreadsMax) rooms_.push_back(std::move(room));
  --threads_;
  ended_.notify_all();
}

void Session::answer(BytesView bytes, Reply& reply, Attempt& attempt) {
  auto request = Request::parse(bytes);
  if (!request) return;
  reply.clear();
  if (Operations::has_reply(request->header().opcode)) {
    const std::uint64_t unique = request->header().unique & ~kUniqueResend;
    std::vector<Ledger::Record*> before;
    if (request->header().unique != unique) before = ledger_.earlier(root_, unique);
    operations_.take_back(before);
    attempt.begin(root_, unique, before);
  }
  request->carry(attempt);
  const auto done = operations_.run(*request, reply);
  if (!Operations::has_reply(request->header().opcode)) return;
  if (done && reply.invalidated()) send_invalidation(*reply.invalidated());
  send(request->header(), done ? 0 : done.error().number, reply);
}

void Session::send(const fuse_in_header& header, int number, const Reply& reply) const {
  const BytesView fixed = number == 0 ? reply.fixed() : BytesView{};
  const BytesView data = number == 0 ? reply.data() : BytesView{};
  fuse_out_header out{};
  out.len = static_cast<std::uint32_t>(sizeof out + fixed.size() + data.size());
  out.error = -number;
  out.unique = header.unique;
  const std::array<iovec, 3> parts{{{&out, sizeof out},
                                    {const_cast<std::uint8_t*>(fixed.data()), fixed.size()},
                                    {const_cast<std::uint8_t*>(data.data()), data.size()}}};
  (void)::writev(device_.get(), parts.data(), parts.size());  // refused only when the mount has ended
}

void Session::send_invalidation(std::uint64_t node) const {
  fuse_out_header header{};
  fuse_notify_inval_inode_out out{};
  header.len = sizeof header + sizeof out;
  header.error = FUSE_NOTIFY_INVAL_INODE;
  out.ino = node;
  out.off = -1;  // attributes only
  const std::array<iovec, 2> parts{{{&header, sizeof header}, {&out, sizeof out}}};
  (void)::writev(device_.get(), parts.data(),
                 parts.size());  // the kernel does not know the node: nothing is stale
}

}  // namespace safekit::fuse
