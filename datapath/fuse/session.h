#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include <pthread.h>

#include "datapath/fuse/operations.h"
#include "datapath/linux/fd.h"

namespace safekit::fuse {

/// One FUSE mount over a directory and the threads that serve it. A service; destroyed only when no thread
/// runs. Threads: as many as are busy at once, one more waits for the next request; a few idle ones are kept.
/// Placement: the kernel's. Kept on the CPU of a lone caller they only drive that one away: the scheduler moves whom they wake to
/// a CPU that is idle (docs/kernels.md). The device is not cloned per thread: closing a clone would fail its requests, which
/// forbids handing the mount over to another process.
class Session {
 public:
  Session(std::uint32_t root, Operations& operations, const Options& options, Ledger& ledger);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Errors: Unsupported for this kernel, Io. On an error nothing stays mounted.
  Status mount(const std::string& path, int directory);
  /// Takes a mount of an earlier process, which is gone: `device` is its device. What that one had not answered comes again,
  /// from `begin_serving` on.
  Status inherit(const std::string& path, Fd device);
  void begin_serving();
  /// Errors: Conflict naming who holds the mount, which goes on; also while another mount namespace has a
  /// copy of it.
  Status unmount();
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] int device() const { return device_.get(); }
  /// No request is read any more; returns whether all that were read have been answered within that time. The mount stays
  /// for another process.
  [[nodiscard]] bool pause(std::chrono::milliseconds limit);

 private:
  Status shake_hands();
  /// Where a thread has its requests and replies.
  using Room = std::unique_ptr<std::uint8_t[]>;
  [[nodiscard]] Room take_room();
  void start_thread_locked();
  void serve();
  [[nodiscard]] bool next_request(std::span<std::uint8_t> buffer, std::size_t& size);
  void answer(BytesView bytes, Reply& reply, Attempt& attempt);
  void send(const fuse_in_header& header, int number, const Reply& reply) const;
  void send_invalidation(std::uint64_t node) const;

  const std::uint32_t root_;
  Operations& operations_;
  const Options& options_;
  Ledger& ledger_;
  std::string path_{};
  Fd device_{};
  std::atomic<bool> mounted_{false};
  bool unmounted_here_{false};

  std::mutex mutex_{};
  std::condition_variable ended_{};
  std::vector<Room> rooms_{};  ///< of threads that have ended, at most kIdleThreadsMax
  std::uint32_t threads_{0};
  std::uint32_t idle_{0};
  std::atomic<bool> ending_{false};
  std::atomic<bool> paused_{false};
  std::map<pthread_t, const std::atomic<bool>*> serving_{};  ///< each thread, and whether it waits for a request
};

}  // namespace safekit::fuse
