#include "datapath/role_driver.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "datapath/exclusions.h"
#include "datapath/linux/mounts.h"
#include "datapath/role_driver_roles.h"

namespace safekit {

namespace {

using control::ReplicaRole;

constexpr Duration kRetryEvery = milliseconds{300};
constexpr const char* kLog = "replicad";

std::string_view name_of(ReplicaRole role) {
  switch (role) {
    case ReplicaRole::Idle: return "idle";
    case ReplicaRole::Primary: return "primary";
    case ReplicaRole::Secondary: return "secondary";
  }
  return "unknown";
}

control::SyncPhase phase_of(replica::Progress::Phase phase) {
  using Phase = replica::Progress::Phase;
  switch (phase) {
    case Phase::None: return control::SyncPhase::None;
    case Phase::Connecting: return control::SyncPhase::Connecting;
    case Phase::Comparing: return control::SyncPhase::Comparing;
    case Phase::Copying: return control::SyncPhase::Copying;
    case Phase::Done: return control::SyncPhase::Done;
  }
  return control::SyncPhase::None;
}

replica::Settings::Snapshot to_settings(control::Snapshot snapshot) {
  switch (snapshot) {
    case control::Snapshot::Never: return replica::Settings::Snapshot::Never;
    case control::Snapshot::Auto: return replica::Settings::Snapshot::Auto;
    case control::Snapshot::Always: return replica::Settings::Snapshot::Always;
  }
  return replica::Settings::Snapshot::Never;
}

void put_progress(control::Report& report, const replica::Progress& progress) {
  report.phase = phase_of(progress.phase);
  report.files_total = progress.files_total;
  report.files_done = progress.files_done;
  report.bytes_copied = progress.bytes_copied;
  report.bytes_compared = progress.bytes_compared;
  report.scanning = progress.scanning;
  report.directories_total = progress.directories_total;
  report.directories_done = progress.directories_done;
  report.bytes_total = progress.bytes_total;
  report.bytes_done = progress.bytes_done;
}

}  // namespace

RoleDriver::RoleDriver(Ports ports, journal::Journal& journal, std::string module, std::string lost_directory,
                       std::function<void()> changed, Succession succession)
    : ports_(ports), journal_(journal), module_(std::move(module)), lost_directory_(std::move(lost_directory)),
      changed_(std::move(changed)), polling_(ports.log), succession_(std::move(succession)) {
  began_ = ports_.clock.mono_now();
  guard_inherited_ = succession_.inheritance.has_value();
  std::ifstream{"/proc/sys/kernel/random/boot_id"} >> boot_id_;
  thread_ = std::thread{[this] { run(); }};
}

RoleDriver::~RoleDriver() {
  {
    const std::lock_guard lock{mutex_};
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (succession_.inheritance) succession_.inheritance->keeper->release();  // nobody asked for it
  if (reaper_.joinable()) reaper_.join();
}

void RoleDriver::configure(control::Configure configure) {
  {
    const std::lock_guard lock{mutex_};
    if (configure_ == configure) return;
    configure_ = std::move(configure);
    poked_ = true;
    if (primary_) {
      primary_->primary->verify_after_resync(configure_->verify_after_resync);
      primary_->primary->need_right(configure_->leased);
    }
    if (secondary_) secondary_->secondary->promise_for(configure_->promise);
  }
  wake_.notify_all();
}

void RoleDriver::want(const control::Want& want) {
  std::shared_ptr<PrimaryRole> primary;
  bool is_new = false;
  {
    const std::lock_guard lock{mutex_};
    is_new = want.order != want_.order;
    want_ = want;
    settled_ = false;
    poked_ = true;
    primary = primary_;
  }
  // At once, not behind a role change that takes time: writers may be waiting for it. A wish that is only repeated (a new
  // safekitd) gives no new permission.
  if (primary && is_new && want.role == ReplicaRole::Primary) primary->primary->allow_alone(want.may_be_alone, want.pairing, want.by_lease);
  if (primary && want.role != ReplicaRole::Primary) primary->primary->leave();
  wake_.notify_all();
}

/// At once, as a wish: writers may be waiting for it.
void RoleDriver::lease(const control::Lease& lease) {
  const std::lock_guard lock{mutex_};
  lease_ = lease;
  if (primary_) primary_->primary->lease(lease.until, lease.refused);
}

void RoleDriver::keep_awake(const control::Report& report) {
  const bool synchronises = report.phase == control::SyncPhase::Comparing || report.phase == control::SyncPhase::Copying;
  const std::lock_guard lock{mutex_};
  polling_.allow(configure_ && configure_->idle_poll && !synchronises);
}

void RoleDriver::shut() {
  control::Want idle;
  {
    const std::lock_guard lock{mutex_};
    idle = want_;
  }
  idle.role = ReplicaRole::Idle;
  want(idle);
}

bool RoleDriver::is_idle() const {
  const std::lock_guard lock{mutex_};
  return role_ == ReplicaRole::Idle && !primary_ && !secondary_;
}

void RoleDriver::hand_over() {
  {
    const std::lock_guard lock{mutex_};
    hand_over_ = poked_ = true;
  }
  wake_.notify_all();
}

bool RoleDriver::has_handed_over() const {
  const std::lock_guard lock{mutex_};
  return handed_over_;
}

std::string RoleDriver::take_over_failed() const {
  const std::lock_guard lock{mutex_};
  return take_over_failed_;
}

void RoleDriver::run() {
  std::unique_lock lock{mutex_};
  bool retry = false;
  for (;;) {
    const auto due = [this] { return ended_ || poked_; };
    if (retry) {
      wake_.wait_for(lock, kRetryEvery, due);
    } else {
      wake_.wait(lock, due);
    }
    if (ended_) break;
    poked_ = false;
    if (std::exchange(hand_over_, false)) {
      if (primary_ && role_ == ReplicaRole::Primary) {
        lock.unlock();
        return hand_over_primary();
      }
      handed_over_ = !primary_ && !secondary_;
    }
    const control::Want want = want_;
    if (!configure_) {
      done_order_ = want.order;
      settled_ = want.role == ReplicaRole::Idle;
      retry = false;
      continue;
    }
    const control::Configure configure = *configure_;
    lock.unlock();
    const Step problem = step(configure, want);
    lock.lock();
    if (problem && *problem != problem_) {
      ports_.log.write(LogLevel::Warning, kLog, fmt::format("role={} problem='{}'", name_of(want.role), problem->what));
    }
    problem_ = problem.value_or(Problem{});
    settled_ = !problem && want == want_;
    done_order_ = want.order;
    retry = problem.has_value();
    lock.unlock();
    changed_();
    lock.lock();
  }
}

RoleDriver::Step RoleDriver::step(const control::Configure& configure, const control::Want& want) {
  if (configure.module != module_) return Problem{fmt::format("configured for module '{}', not '{}'", configure.module, module_), true};
  if (succession_.inheritance) {
    if (want.order == 0) return {};  // nothing is wished for yet
    if (want.role == ReplicaRole::Primary) return resume_primary(configure, want);
    succession_.inheritance->keeper->release();
    succession_.inheritance.reset();
  }
  use_kept(configure);
  if (journal_.state().kept == journal::State::Kept::Returning) {
    if (Step problem = put_back(configure)) return problem;
  }
  if (want.role == ReplicaRole::Primary && role_ == ReplicaRole::Idle) {
    if (Step problem = look_for_needs(configure)) return problem;
  }
  if (Step problem = keep_marks(configure, want)) return problem;
  if (Step problem = take_policy(configure)) return problem;
  // role_, primary_ and secondary_ are written by this thread only.
  if (role_ == ReplicaRole::Idle && left_at_) {
    if (Step problem = note_left()) return problem;  // the next role was not reached
  }
  if (role_ == want.role) {
    if (role_ == ReplicaRole::Idle) return be_idle(configure);
    const std::lock_guard lock{mutex_};
    if (primary_) {
      primary_->primary->limit_resync(configure.resync_rate);
      primary_->primary->confirm_silence_after(configure.silence);
    }
    if (secondary_) {
      secondary_->secondary->confirm_silence_after(configure.silence);
      secondary_->secondary->promise_for(configure.promise);
    }
    if (!mount_lost_.empty()) return Problem{mount_lost_, true};
    return {};
  }
  if (role_ == ReplicaRole::Primary) {
    if (Step problem = leave_primary()) return problem;
  }
  if (role_ == ReplicaRole::Secondary) {
    if (Step problem = leave_secondary(want.role == ReplicaRole::Primary)) return problem;
  }
  const Step entered = enter(configure, want);
  // From one role into the next nothing is left alone; else whatever comes is somebody else's.
  if (left_at_ && (entered || want.role == ReplicaRole::Idle)) {
    if (Step problem = note_left()) return entered ? entered : problem;
  }
  left_at_.reset();
  return entered;
}

RoleDriver::Step RoleDriver::enter(const control::Configure& configure, const control::Want& want) {
  switch (want.role) {
    case ReplicaRole::Idle: return be_idle(configure);
    case ReplicaRole::Primary: return enter_primary(configure, want);
    case ReplicaRole::Secondary: return enter_secondary(configure, want);
  }
  return {};
}

/// Marks are durable before the report that confirms them.
RoleDriver::Step RoleDriver::keep_marks(const control::Configure& configure, const control::Want& want) {
  const bool fresh = want.order != flags_order_;
  const journal::State before = journal_.state();
  if (fresh && want.force_up_to_date && before.inconsistent && before.kept == journal::State::Kept::Kept) {
    if (Step problem = put_back(configure)) return problem;
  }
  // Until the primary knows of it (the wish without the mark), nothing may make this copy equal again.
  if (secondary_) secondary_->secondary->hold(want.mark_out_of_date);
  const Status noted = journal_.update([&](journal::State& state) {
    if (want.mark_out_of_date && want.role != ReplicaRole::Primary && fresh) state.up_to_date = false;
    // A copy that is marked has to be synchronised again: the stream that thought it complete ends in the same step.
    if (fresh && want.mark_out_of_date && secondary_) secondary_->secondary->drop();
    if (fresh && want.force_up_to_date) {
      // What a synchronisation had half done is in no log of this copy.
      if (state.inconsistent) state.base_log = state.own_log = {};
      state.up_to_date = true;
      state.inconsistent = false;
    }
    if (fresh && want.full_resync) state.full_wanted = true;
  });
  if (!noted) return Problem{noted.error().what, true};
  flags_order_ = want.order;
  return {};
}

RoleDriver::Step RoleDriver::prepare_directories(const control::Configure& configure) {
  if (Step problem = note_covered(configure)) return problem;
  std::string hidden;
  for (const auto& directory : configure.directories) {
    if (const Status clean = mounts::clean_stale(directory.path); !clean) return Problem{clean.error().what, false};
    if (Step problem = plain_again(directory.path, false)) return problem;
    if (Step problem = look_at(directory)) return problem;
    const auto below = mounts::mounted_below(directory.path);
    if (!below) return Problem{below.error().what, false};
    for (const std::string& point : *below) {
      hidden = fmt::format("'{}' is mounted inside the replicated directory '{}': it is neither replicated nor seen by the "
                           "application; stop the module and unmount it", point, directory.path);
    }
  }
  const std::lock_guard lock{mutex_};
  if (!hidden.empty() && hidden != hidden_) ports_.log.write(LogLevel::Warning, kLog, hidden);
  hidden_ = std::move(hidden);
  return {};
}

/// What only a person can mend.
RoleDriver::Step RoleDriver::look_at(const control::ReplicaDirectory& directory) {
  struct stat st {};
  if (::stat(directory.path.c_str(), &st) != 0) {
    return Problem{fmt::format("replicated directory '{}': {}; make it on this node", directory.path, std::strerror(errno)), true};
  }
  if (!S_ISDIR(st.st_mode)) {
    return Problem{fmt::format("'{}' is to be replicated but is no directory; name a directory", directory.path), true};
  }
  for (const std::string& needed : directory.must_exist) {
    const std::string path = directory.path + "/" + needed;
    if (::lstat(path.c_str(), &st) == 0) continue;
    return Problem{fmt::format("'{}' must exist before replication starts ({}); is the file system mounted?", path,
                               std::strerror(errno)), true};
  }
  return {};
}

/// Told at the start of the module already: on a node that becomes secondary it would come out only when it has to follow.
RoleDriver::Step RoleDriver::be_idle(const control::Configure& configure) {
  if (Step problem = note_covered(configure)) return problem;
  for (const auto& directory : configure.directories) {
    if (const Status clean = mounts::clean_stale(directory.path); !clean) return Problem{clean.error().what, false};
    if (Step problem = look_at(directory)) return problem;
  }
  look_for_data(configure);
  return {};
}

/// Before a copy is marked as the valid one: a start that cannot be must not leave such a mark behind.
RoleDriver::Step RoleDriver::look_for_needs(const control::Configure& configure) {
  if (Step problem = prepare_directories(configure)) return problem;
  const Fd device{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
  if (device) return {};
  return Problem{fmt::format("cannot open '/dev/fuse': {}; load the kernel module (modprobe fuse), or give the device to this "
                             "container", std::strerror(errno)), true};
}

RoleDriver::Step RoleDriver::plain_again(const std::string& path, bool takeover) {
  const Status unbound = mounts::unbind(path);
  if (unbound) return {};
  // A reader that stands in the read-only view keeps that view; it must not hold up a failover.
  if (takeover && unbound.error().code == Code::Conflict && ::umount2(path.c_str(), MNT_DETACH) == 0) return {};
  return Problem{unbound.error().what, false};
}

replica::Settings RoleDriver::settings(const control::Configure& configure) const {
  return {.cluster_id = configure.cluster_id,
          .module = configure.module,
          .node = configure.node,
          .peer = configure.peer,
          .zone_bytes = configure.zone_bytes,
          .root_count = static_cast<std::uint32_t>(configure.directories.size()),
          .workers = configure.resync_workers,
          .sync_durable = configure.secondary_ack == control::SecondaryAck::Durable,
          .send_timeout = configure.send_timeout,
          .lock_timeout = configure.lock_timeout,
          .uses_zones = configure.uses_zones,
          .resync_detail = configure.resync_detail,
          .resync_timeout = configure.resync_timeout,
          .verify_after_resync = configure.verify_after_resync,
          .boot_id = boot_id_,
          .lost_directory = lost_directory_,
          .lost_bytes_max = configure.lost_bytes_max,
          .snapshot = to_settings(configure.snapshot)};
}

RoleDriver::Step RoleDriver::enter_secondary(const control::Configure& configure, const control::Want& want) {
  if (Step problem = prepare_directories(configure)) return problem;
  if (Step problem = take_policy_up(configure, control::ReplicaRole::Secondary)) return problem;
  const journal::State before = journal_.state();
  auto role = std::make_shared<SecondaryRole>();
  role->paths = paths_of(configure);
  const auto exclusions = exclusions_of(configure);
  if (!exclusions) return Problem{exclusions.error().what, true};
  role->applier = std::make_unique<replica::Applier>(role->paths, *exclusions);
  if (const Status opened = role->applier->open(); !opened) return Problem{opened.error().what, true};
  for (const std::string& path : role->paths) {
    if (const Status bound = mounts::bind_read_only(path); !bound) return Problem{bound.error().what, false};
  }
  role->source = replica::counted(make_tls_listener(tls_peer(configure), configure.listen_address, configure.port), stream_count_);
  role->secondary = std::make_unique<replica::Secondary>(settings(configure), journal_, *role->applier, *role->source,
                                                         ports_.clock, ports_.log, changed_);
  role->secondary->keep_by(kept_);
  role->secondary->confirm_silence_after(configure.silence);
  role->secondary->note_promises_in(promises_);
  role->secondary->promise_for(configure.promise);
  role->secondary->keep_awake_by(polling_);
  std::vector<Fd> roots;
  for (const int root : role->applier->root_descriptors()) roots.emplace_back(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  if (const Status looked = look_outside(before, std::move(roots), *exclusions, configure); !looked) {
    return Problem{looked.error().what, true};
  }
  watch_secondary(*role, configure, *exclusions);
  role->secondary->hold(want.mark_out_of_date);
  role->secondary->start();
  {
    const std::lock_guard lock{mutex_};
    secondary_ = role;
  }
  set_role(ReplicaRole::Secondary);
  return {};
}

RoleDriver::Step RoleDriver::leave_secondary(bool takeover) {
  secondary_->secondary->stop(!takeover);
  // A takeover goes on at once, and does not wait for the clock.
  if (!left_at_) left_at_ = takeover ? linux_os::file_moment() : linux_os::next_file_moment();
  if (secondary_->watch) secondary_->watch->stop();  // all that was done up to that moment is noted
  for (const std::string& path : secondary_->paths) {
    if (Step problem = plain_again(path, takeover)) return problem;
  }
  std::shared_ptr<SecondaryRole> old;
  {
    const std::lock_guard lock{mutex_};
    old = std::move(secondary_);
    secondary_ = {};
  }
  // A sync under way may take long; a takeover does not wait for it.
  if (reaper_.joinable()) reaper_.join();
  reaper_ = std::thread{[role = std::move(old)]() mutable { role.reset(); }};
  set_role(ReplicaRole::Idle);
  return {};
}

void RoleDriver::set_role(ReplicaRole role) {
  {
    const std::lock_guard lock{mutex_};
    role_ = role;
  }
  ports_.log.write(LogLevel::Info, kLog, fmt::format("role={}", name_of(role)));
  changed_();
}

void RoleDriver::look_for_data(const control::Configure& configure) {
  bool found = false;
  for (const auto& directory : configure.directories) {
    std::error_code failed;
    for (std::filesystem::directory_iterator entry{directory.path, failed}, end; !failed && entry != end; entry.increment(failed)) {
      found = found || entry->path().filename() != "lost+found";
    }
  }
  const std::lock_guard lock{mutex_};
  has_data_ = found;
}

control::Report RoleDriver::report() const {
  control::Report report;
  std::string hidden;
  std::shared_ptr<PrimaryRole> primary;
  std::shared_ptr<SecondaryRole> secondary;
  {
    const std::lock_guard lock{mutex_};
    report.order = done_order_;
    report.role = role_;
    report.settled = settled_;
    report.configured = configure_.has_value();
    report.has_data = has_data_;
    report.replaceable = true;
    report.problem = problem_.what;
    report.fatal = problem_.fatal;
    report.traffic = {.received = stream_count_.received, .sent = stream_count_.sent};
    primary = primary_;
    secondary = secondary_;
    if (role_ != ReplicaRole::Idle) hidden = hidden_;
  }
  const journal::State state = journal_.state();
  report.up_to_date = state.up_to_date;
  report.inconsistent = state.inconsistent;
  report.ever_synchronised = state.ever_synchronised;
  report.last_primary = state.last_primary;
  report.generation = state.generations.current;
  report.policy = state.policy;
  {
    const std::lock_guard lock{mutex_};
    report.policy_refused = policy_refused_;
  }
  report.restorable = state.inconsistent && state.kept == journal::State::Kept::Kept;
  report.full_wanted = state.full_wanted;
  report.backup = state.backup;
  std::string problem;
  if (primary) {
    const auto status = primary->primary->status();
    report.connected = status.connected;
    report.peer_synchronised = status.peer_synchronised;
    report.waiting_for_alone = status.waiting_for_alone;
    report.diverged = status.diverged;
    report.zones_dirty = status.zones_dirty;
    report.pairing = status.pairing;
    report.traffic.written = status.written;
    report.replaceable = primary->trees->unkept().empty();
    report.fatal = report.fatal || status.fenced;
    report.frozen = status.frozen;
    put_progress(report, status.progress);
    problem = status.problem;
  } else if (secondary) {
    const auto status = secondary->secondary->status();
    report.connected = status.connected;
    report.peer_synchronised = status.synchronised;
    report.unverified = status.unverified;
    report_writes(*secondary, report);
    report.fatal = report.fatal || status.fatal;
    report.diverged = status.diverged;
    put_progress(report, status.progress);
    problem = status.problem;
  }
  if (report.problem.empty()) report.problem = problem.empty() ? hidden : problem;
  return report;
}

}  // namespace safekit
