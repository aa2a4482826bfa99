#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "datapath/linux/fd.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// Descriptors that outlive this process: a small process of its own (safekit-keeper) holds them too, and gives them to the
/// next one that connects. It survives the death of its client and of safekitd; it ends when it is told to, or when nobody
/// has connected for kKeeperWaits after its client was gone: then all is closed, so that nobody waits for ever for a
/// file system without a server.
/// Shape:  SOCK_SEQPACKET at DIRECTORY/keeper.sock (root only). Messages: u32 version, u32 type, u64 key, with Keep and Kept
///         one descriptor (docs/takeover.md).
/// Thread: any. A service; its destructor only disconnects.
class Keeper {
 public:
  /// Starts `program` and connects. Errors: Io, Unavailable.
  static Result<std::unique_ptr<Keeper>> start(const std::string& program, const std::string& directory);
  /// Connects to one that is there. Errors: NotFound, Io.
  static Result<std::unique_ptr<Keeper>> find(const std::string& directory);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  [[nodiscard]] bool is_gone() const;
  /// Errors: Unavailable when it is gone, or takes nothing: from then on nothing is kept.
  Status keep(std::uint64_t key, int descriptor);
  Status drop(std::uint64_t key);
  /// All that it holds. Errors: Unavailable; Conflict when it could not hold everything; Unsupported for another version.
  Result<std::map<std::uint64_t, Fd>> fetch();
  /// It closes everything and ends; returns when that is done, or after 2 s. A child of this process is killed then at the latest.
  void release();

 private:
  Keeper(Fd socket, pid_t child) : socket_(std::move(socket)), child_(child) {}

  Fd socket_{};
  pid_t child_{0};
};

inline constexpr Duration kKeeperWaits = seconds{10};

/// The other end: serves the clients of a listening socket, one at a time. Gives the exit code of the process.
[[nodiscard]] int serve_keeper(Fd listener, Duration wait_max);

}  // namespace safekit
