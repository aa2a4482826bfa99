#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "datapath/replica/outside_scan.h"
#include "datapath/resync/outside.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"

namespace safekit::replica {

/// What others changed in this copy while it was stopped: looked for once, on a thread of its own, when a role is taken up; kept
/// over changes of the role until both copies have met. A meeting waits for it, an application never. What is found later is
/// added (OutsideWatch). A service.
/// What the application touches while the search goes on is found too, or marked by its own operations, which are not
/// mirrored yet.
class OutsideChanges {
 public:
  struct Options {
    std::vector<Fd> roots{};  ///< the directories, underneath of whatever is mounted over them
    Exclusions exclusions{};
    resync::Scope scope{};
    std::int64_t until{INT64_MAX};  ///< when the role is taken up, of linux_os::FileMoment
    unsigned workers{1};
  };
  OutsideChanges(Options options, const Clock& clock, Log& log);
  /// Does not wait for the end of the search.
  ~OutsideChanges();
  OutsideChanges(const OutsideChanges&) = delete;
  OutsideChanges& operator=(const OutsideChanges&) = delete;

  /// Waits until the search has ended; none when `stop` came first.
  std::shared_ptr<const Outside> await(const std::stop_token& stop);
  /// What is still to be told to the peer; none while it is looked for.
  [[nodiscard]] std::shared_ptr<const Outside> known() const;
  /// The same, for the peer: what is added from now on it has not been told.
  std::shared_ptr<const Outside> tell();
  void add(const Outside& more);
  /// Since it was told last, or settled.
  [[nodiscard]] bool grew() const;
  /// The peer has what it was told.
  void settle();

 private:
  void look(const std::stop_token& stop);

  Options options_;
  const Clock& clock_;
  Log& log_;
  mutable std::mutex mutex_{};
  std::condition_variable_any done_{};
  std::shared_ptr<const Outside> found_{};
  Outside later_{};  ///< added since the peer was told
  std::jthread thread_{};
};

}  // namespace safekit::replica
