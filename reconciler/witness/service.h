#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "reconciler/api/request.h"
#include "reconciler/witness/lease_book.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/random.h"

namespace safekit::witness {

/// Answers who asks for leases: a book, and its file. What is granted is on disk before the answer goes out. Thread: any. A service.
class LeaseService {
 public:
  struct Ports {
    Files& files;
    const Clock& clock;
    Random& random;
  };
  /// What became of leases that may have been granted before, when the file is not there.
  enum class Before {
    Nothing,  ///< none was: this witness is new
    Unknown,  ///< the file was lost: nothing is granted until the longest of them has run out
  };
  LeaseService(const Ports& ports, std::string file);
  LeaseService(const LeaseService&) = delete;
  LeaseService& operator=(const LeaseService&) = delete;
  /// Before the first question; until it has succeeded nothing is granted. A damaged file counts as lost. Errors: Io, Unsupported.
  Status open(Before before);
  /// The three routes of protocol.h; the caller has judged who asks.
  [[nodiscard]] api::Response answer(const api::Request& request);

 private:
  Result<std::string> acquire(const std::string& body);
  Result<std::string> release(const std::string& body);
  Status keep(const LeaseBook& book);

  Ports ports_;
  std::string file_;
  std::mutex mutex_{};
  LeaseBook book_{};  ///< guarded by mutex_
  bool open_{false};  ///< the same
  std::optional<MonoTime> file_due_{};  ///< the same; when the file that was lost is made anew: what it did not say is over then
};

}  // namespace safekit::witness
