#include "datapath/replica/frame_pipe.h"

#include <utility>

namespace safekit::replica {

namespace {
constexpr std::size_t kEmptiedMax = 32;
}

FramePipe::FramePipe(Work work) : work_(std::move(work)), thread_([this] { run(); }) {}

FramePipe::~FramePipe() {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status FramePipe::push(const wire::FrameView& frame) {
  Bytes payload;
  {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return stopped_ || frames_.empty() || bytes_ + frame.payload.size() <= kBytesMax; });
    if (stopped_) return failed_;
    if (!emptied_.empty()) {
      payload = std::move(emptied_.back());
      emptied_.pop_back();
    }
  }
  payload.assign(frame.payload.begin(), frame.payload.end());
  {
    const std::lock_guard lock{mutex_};
    bytes_ += payload.size();
    frames_.push_back({frame.type, std::move(payload)});
  }
  changed_.notify_all();
  return {};
}

Status FramePipe::drain() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return stopped_ || frames_.empty(); });
  return failed_;
}

void FramePipe::run() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !frames_.empty(); });
    if (stopped_) return;
    Held& held = frames_.front();  // stays where it is while others are added behind it
    const bool is_last = frames_.size() == 1;
    lock.unlock();
    const Status done = work_({held.type, held.payload}, is_last);
    lock.lock();
    bytes_ -= held.payload.size();
    if (emptied_.size() < kEmptiedMax) emptied_.push_back(std::move(held.payload));
    frames_.pop_front();
    if (!done) {
      failed_ = done;
      stopped_ = true;
    }
    changed_.notify_all();
  }
}

}  // namespace safekit::replica
