#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>

#include <sched.h>

#include "datapath/fuse/operations.h"
#include "datapath/linux/fd.h"

namespace safekit::fuse {

/// One FUSE mount over a directory and the threads that serve it. A service; destroyed only when no thread
/// runs. Threads: as many as are busy at once, one more waits for the next request; a few idle ones are kept.
/// Placement: waking a thread on an idle CPU costs several times what a request costs. While one caller alone
/// sends requests, the threads stay on the CPU on which it runs (it sleeps while they work); with several
/// they run anywhere. The device is not cloned per thread: closing a clone would fail its requests, which
/// forbids handing the mount over to another process.
class Session {
 public:
  Session(std::uint32_t root, Operations& operations, const Options& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Errors: Unsupported for this kernel, Io. On an error nothing stays mounted.
  Status mount(const std::string& path, int directory);
  /// Errors: Conflict naming who holds the mount, which goes on; also while another mount namespace has a
  /// copy of it.
  Status unmount();
  [[nodiscard]] bool mounted() const { return mounted_; }

 private:
  Status shake_hands();
  void start_thread_locked();
  void serve();
  [[nodiscard]] bool next_request(std::span<std::uint8_t> buffer, std::size_t& size);
  void answer(BytesView bytes, Reply& reply);
  void send(const fuse_in_header& header, int number, const Reply& reply) const;
  void send_invalidation(std::uint64_t node) const;
  void watch_caller(std::uint32_t pid);
  void follow(int& placed) const;

  const std::uint32_t root_;
  Operations& operations_;
  const Options& options_;
  std::string path_{};
  Fd device_{};
  cpu_set_t all_cpus_{};
  std::atomic<bool> mounted_{false};
  bool unmounted_here_{false};

  std::mutex mutex_{};
  std::condition_variable ended_{};
  std::uint32_t threads_{0};
  std::uint32_t idle_{0};
  std::atomic<bool> ending_{false};

  std::atomic<std::uint32_t> caller_{0};  ///< thread that sent the last request
  std::atomic<std::uint32_t> streak_{0};  ///< how many it has sent in a row
  std::atomic<int> cpu_{-1};              ///< where to serve; -1: anywhere
};

}  // namespace safekit::fuse
