#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "datapath/control/message.h"
#include "datapath/fuse/tree.h"
#include "datapath/journal/journal.h"
#include "datapath/linux/address_guard.h"
#include "datapath/linux/clock.h"
#include "datapath/linux/idle_polling.h"
#include "datapath/replica/counted_stream.h"
#include "datapath/replica/kept_copies.h"
#include "datapath/replica/outside_changes.h"
#include "datapath/replica/primary.h"
#include "datapath/replica/promise_book.h"
#include "datapath/replica/secondary.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"
#include "schema/port/random.h"

namespace safekit {

/// Brings a replica to the role that is wanted and keeps it there: journal, mounts and the machine of the role. Its own
/// thread does what may take time (unmounting waits for the application), so that reports never wait. A service.
class RoleDriver {
 public:
  struct Ports {
    const Clock& clock;
    Random& random;
    Log& log;
  };
  /// How this process follows another one, and is followed (docs/takeover.md).
  struct Succession {
    std::string keeper_program{};
    std::string directory{};  ///< of the keeper's socket
    std::optional<fuse::Inheritance> inheritance{};  ///< mounts to be served on; let go when the first wish is for no Primary
  };
  /// `lost_directory`: where lost writes are set aside. `changed` is called from any thread when a new report is worth sending.
  RoleDriver(Ports ports, journal::Journal& journal, std::string module, std::string lost_directory,
             std::function<void()> changed, Succession succession);
  ~RoleDriver();
  RoleDriver(const RoleDriver&) = delete;
  RoleDriver& operator=(const RoleDriver&) = delete;

  void configure(control::Configure configure);
  void want(const control::Want& want);
  /// Level; kept for the next primary role too.
  void lease(const control::Lease& lease);
  /// Attaches what keeps the virtual addresses silent while there is no right to, keeps it in place and takes it off when it is not
  /// wanted any more. After each change, and now and then for what others change. It stays in the kernel when the process is killed,
  /// and for the one that takes over. Thread: one.
  void keep_guard();
  /// The process ends in order, and nobody takes over.
  void end_guard();
  /// Processors may be kept awake for the application, but not beside a synchronisation: that lives on the time which calls leave.
  /// `report`: the last one.
  void keep_awake(const control::Report& report);
  /// Asks the primary for a look at the copies; where there is none, `inspection` says so.
  void inspect(const control::Inspect& inspect);
  [[nodiscard]] control::Inspection inspection() const;
  /// As a wish for Idle; `is_idle` tells when that is reached.
  void shut();
  [[nodiscard]] bool is_idle() const;
  /// Why the mounts of the process before could not be taken over: this process is of no use then.
  [[nodiscard]] std::string take_over_failed() const;
  /// The mounts of a primary stay for the next process. When `has_handed_over` this one has to end at once, without being
  /// destroyed.
  void hand_over();
  [[nodiscard]] bool has_handed_over() const;
  [[nodiscard]] control::Report report() const;

 private:
  /// One role's objects; made and dropped by the driver's thread only, looked at by reports.
  struct PrimaryRole;
  struct SecondaryRole;
  struct Problem {
    std::string what{};
    bool fatal{false};
    friend bool operator==(const Problem&, const Problem&) = default;
  };
  using Step = std::optional<Problem>;

  void run();
  Step step(const control::Configure& configure, const control::Want& want);
  Step keep_marks(const control::Configure& configure, const control::Want& want);
  void use_kept(const control::Configure& configure);
  Step put_back(const control::Configure& configure);
  Step take_policy(const control::Configure& configure);
  Step take_policy_up(const control::Configure& configure, control::ReplicaRole role);
  Step end_policy(const control::SyncPolicy& policy, std::string refused, const std::function<void(journal::State&)>& change);
  bool await_promises(const control::Configure& configure);
  Step enter_primary(const control::Configure& configure, const control::Want& want);
  Step resume_primary(const control::Configure& configure, const control::Want& want);
  Result<std::optional<journal::ZoneMap>> take_marks(std::uint32_t zone_bytes);
  Result<std::unique_ptr<replica::ActivityTracker>> open_activity(std::uint32_t zone_bytes);
  std::shared_ptr<PrimaryRole> make_primary(const control::Configure& configure, const replica::Exclusions& exclusions);
  void hand_over_primary();
  void feed_guard(MonoTime right);
  void attach_guard(const std::vector<control::GuardedAddress>& wanted);
  void tell_guard(const Status& done);
  void take_lease(replica::Primary& primary);
  void begin_primary(const std::shared_ptr<PrimaryRole>& role, const control::Want& want);
  Step enter_secondary(const control::Configure& configure, const control::Want& want);
  Step enter(const control::Configure& configure, const control::Want& want);
  Status look_outside(const journal::State& before, std::vector<Fd> roots, const replica::Exclusions& exclusions,
                      const control::Configure& configure);
  void watch_secondary(SecondaryRole& role, const control::Configure& configure, const replica::Exclusions& exclusions);
  static void report_writes(const SecondaryRole& role, control::Report& report);
  static Result<std::vector<Fd>> roots_below(replica::Inodes& inodes);
  Step note_left();
  Step note_covered(const control::Configure& configure);
  Step leave_primary();
  Step leave_secondary(bool takeover);
  Step prepare_directories(const control::Configure& configure);
  Step look_for_needs(const control::Configure& configure);
  Step be_idle(const control::Configure& configure);
  static Step look_at(const control::ReplicaDirectory& directory);
  Step plain_again(const std::string& path, bool takeover);
  replica::Settings settings(const control::Configure& configure) const;
  void look_for_data(const control::Configure& configure);
  void set_role(control::ReplicaRole role);

  Ports ports_;
  journal::Journal& journal_;
  std::string module_{};
  std::string lost_directory_{};
  std::function<void()> changed_{};
  linux_os::IdlePolling polling_;
  std::string boot_id_{};
  Succession succession_{};  ///< of the driver's thread
  /// Of the driver's thread: what others changed before the role was taken up, and when the role before it was left, until the
  /// next one is reached or that is noted.
  std::shared_ptr<replica::OutsideChanges> outside_{};
  std::optional<linux_os::FileMoment> left_at_{};
  std::shared_ptr<replica::KeptCopies> kept_{};  ///< of the present directories

  // Of the thread of keep_guard:
  std::vector<control::GuardedAddress> guarded_{};  ///< by guard_
  MonoTime guard_looked_at_{};
  std::string guard_problem_{};
  bool guard_inherited_{false};  ///< that of the process before is in place, and goes on until there is a right
  bool guard_attached_{false};   ///< guarded_ are guarded
  bool guard_cleared_{false};

  std::mutex guard_mutex_{};  ///< after all others
  std::unique_ptr<linux_os::AddressGuard> guard_{};  ///< written by the thread of keep_guard
  MonoTime right_{};                                 ///< until then this node may act as primary

  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  bool ended_{false};
  bool poked_{false};
  bool hand_over_{false};
  bool handed_over_{false};
  std::optional<control::Configure> configure_{};
  control::Want want_{};
  control::Lease lease_{};
  replica::PromiseBook promises_{};  ///< of all secondary roles
  MonoTime began_{};                 ///< this process; what the one before it promised is not known
  std::uint64_t done_order_{0};   ///< the last wish fully acted upon
  std::uint64_t flags_order_{0};  ///< the last wish whose one-time flags were acted upon
  control::ReplicaRole role_{control::ReplicaRole::Idle};
  bool settled_{false};
  bool has_data_{false};
  Problem problem_{};
  replica::StreamCount stream_count_{};
  std::string policy_refused_{};  ///< why the last SyncPolicy was
  std::string mount_lost_{};
  linux_os::FileMoment mount_lost_at_{};
  std::string take_over_failed_{};
  std::optional<control::Inspection> inspected_{};  ///< the last one, of no primary that is there
  std::string hidden_{};  ///< what is mounted inside a replicated directory
  std::shared_ptr<PrimaryRole> primary_{};
  std::shared_ptr<SecondaryRole> secondary_{};

  std::thread reaper_{};  ///< waits for the last syncs of a secondary that has taken over
  std::thread thread_{};
};

}  // namespace safekit
