#include "datapath/linux/loop.h"

#include <map>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#pragma GCC diagnostic pop

#include "schema/base/result.h"

namespace safekit::linux_os {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// A descriptor that the caller owns: asio must not close it.
struct Watcher {
  Watcher(asio::io_context& context, int fd, Loop::Task run)
      : descriptor(context, fd), task(std::move(run)) {}
  ~Watcher() { release(); }
  void release() {
    if (descriptor.is_open()) descriptor.release();
  }
  asio::posix::stream_descriptor descriptor;
  Loop::Task task;
};

struct SignalWatch {
  SignalWatch(asio::io_context& context, int signal, Loop::Task run)
      : signals(context, signal), task(std::move(run)) {}
  asio::signal_set signals;
  Loop::Task task;
};

}  // namespace

struct AsioLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::uint64_t last_id{0};
  std::map<TimerId, asio::steady_timer> timers{};
  std::map<WatcherId, std::shared_ptr<Watcher>> watchers{};
  std::map<int, std::shared_ptr<SignalWatch>> signals{};

  void arm(WatcherId id, const std::shared_ptr<Watcher>& watcher) {
    watcher->descriptor.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [this, id, weak = std::weak_ptr<Watcher>{watcher}](const error_code& error) {
          const auto alive = weak.lock();
          if (!alive || error) return;  // unwatched between readiness and now
          alive->task();
          if (watchers.contains(id)) arm(id, alive);
        });
  }
  void arm(const std::shared_ptr<SignalWatch>& watch) {
    watch->signals.async_wait([this, weak = std::weak_ptr<SignalWatch>{watch}](const error_code& error, int) {
      const auto alive = weak.lock();
      if (!alive || error) return;
      arm(alive);  // first, so that a signal during the task is not lost
      alive->task();
    });
  }
};

AsioLoop::AsioLoop() : impl_(std::make_unique<Impl>()) {}
AsioLoop::~AsioLoop() = default;

void AsioLoop::post(Task task) {
  asio::post(impl_->context, std::move(task));
}

TimerId AsioLoop::after(Duration delay, Task task) {
  const TimerId id = ++impl_->last_id;
  auto& timer = impl_->timers.try_emplace(id, impl_->context, delay).first->second;
  timer.async_wait([this, id, task = std::move(task)](const error_code& error) {
    // Cancelled after it had become due: the error is none, but the entry is gone.
    if (error || impl_->timers.erase(id) == 0) return;
    task();
  });
  return id;
}

void AsioLoop::cancel(TimerId id) {
  impl_->timers.erase(id);
}

WatcherId AsioLoop::watch_readable(int fd, Task task) {
  const WatcherId id = ++impl_->last_id;
  auto watcher = std::make_shared<Watcher>(impl_->context, fd, std::move(task));
  impl_->watchers.emplace(id, watcher);
  impl_->arm(id, watcher);
  return id;
}

void AsioLoop::unwatch(WatcherId id) {
  const auto found = impl_->watchers.find(id);
  if (found == impl_->watchers.end()) return;
  // At once, also inside its own task: the caller closes the descriptor next, and its number may be used
  // again.
  found->second->release();
  impl_->watchers.erase(found);
}

void AsioLoop::on_signal(int signal, Task task) {
  impl_->signals.erase(signal);
  auto watch = std::make_shared<SignalWatch>(impl_->context, signal, std::move(task));
  impl_->signals.emplace(signal, watch);
  impl_->arm(watch);
}

void AsioLoop::run() {
  impl_->context.run();
  impl_->context.restart();
}
void AsioLoop::stop() {
  impl_->context.stop();
}

}  // namespace safekit::linux_os
