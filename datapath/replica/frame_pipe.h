#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "datapath/wire/frame.h"

namespace safekit::replica {

/// Frames on their way from the thread that receives them to one that works on them, in order. For streams of bulk, where each of
/// both has enough to do for a processor; a frame that somebody waits for gets there sooner without the second thread.
/// Bounds: kBytesMax of payloads, or one frame. Thread: push and drain: one. A service.
class FramePipe {
 public:
  static constexpr std::size_t kBytesMax = 4U << 20;
  /// On the pipe's thread. `is_last`: nothing more has come so far.
  using Work = std::function<Status(const wire::FrameView& frame, bool is_last)>;

  explicit FramePipe(Work work);
  /// What was not begun is dropped.
  ~FramePipe();
  FramePipe(const FramePipe&) = delete;
  FramePipe& operator=(const FramePipe&) = delete;

  /// Waits for room. Errors: that of an earlier frame, after which nothing more is worked on.
  Status push(const wire::FrameView& frame);
  /// Waits until all was worked on. Errors: as push.
  Status drain();

 private:
  struct Held {
    wire::FrameType type{};
    Bytes payload{};
  };
  void run();

  Work work_{};
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::deque<Held> frames_{};     ///< the first is being worked on
  std::vector<Bytes> emptied_{};  ///< for the next ones
  std::size_t bytes_{0};
  bool stopped_{false};
  Status failed_{};
  std::thread thread_{};
};

}  // namespace safekit::replica
