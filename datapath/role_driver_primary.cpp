// The primary role: mounted, or taken over from the process before.
#include <fcntl.h>

#include "datapath/exclusions.h"
#include "datapath/role_driver_roles.h"

namespace safekit {
namespace {

constexpr const char* kLog = "replicad";
/// For calls that wait for a slow disk or the peer; those that take longer are done again by the next process.
constexpr std::chrono::seconds kHandOverMax{5};
constexpr Duration kMountLossSeenIn = seconds{1};

fuse::Options fuse_options(const control::Configure& configure) {
  fuse::Options options;
  switch (configure.durability) {
    case control::Durability::Barrier: options.durability = fuse::Durability::Barrier; break;
    case control::Durability::Fsync: options.durability = fuse::Durability::Fsync; break;
    case control::Durability::Write: options.durability = fuse::Durability::Write; break;
  }
  options.fsync_level = configure.secondary_ack == control::SecondaryAck::Durable ? replica::Acknowledged::Durable
                                                                                  : replica::Acknowledged::Received;
  options.write_back = configure.write_back;
  return options;
}

}  // namespace

/// What the peer may not have; nothing when that is not known. From here on the local disk may be ahead of what anybody knows.
Result<std::optional<journal::ZoneMap>> RoleDriver::take_marks(std::uint32_t zone_bytes) {
  const journal::State state = journal_.state();
  SK_TRY(auto zones, journal_.take_zones());
  std::optional<journal::ZoneMap> marks;
  if (replica::is_exact(state, boot_id_)) {
    if (zones) {
      marks = std::move(*zones);
    } else if (state.generations.base.value == 0 && state.ever_synchronised) {
      marks = journal::ZoneMap{zone_bytes};  // both were equal when they parted
    }
  }
  const DataGeneration fresh{ports_.random.u64() | 1};
  SK_TRY_VOID(journal_.update([&](journal::State& next) {
    next.exact = false;
    next.since = 0;
    next.up_to_date = true;
    next.last_primary = true;
    next.kept = journal::State::Kept::None;
    if (next.generations.current.value == 0) next.generations.current = fresh;
  }));
  return marks;
}

Result<std::unique_ptr<replica::ActivityTracker>> RoleDriver::open_activity(std::uint32_t zone_bytes) {
  auto activity = std::make_unique<replica::ActivityTracker>(journal_, ports_.log, zone_bytes);
  SK_TRY_VOID(activity->open(ports_.random));
  return activity;
}

std::shared_ptr<RoleDriver::PrimaryRole> RoleDriver::make_primary(const control::Configure& configure,
                                                                  const replica::Exclusions& exclusions) {
  auto role = std::make_shared<PrimaryRole>();
  role->paths = paths_of(configure);
  role->source = replica::counted(make_tls_connector(tls_peer(configure), configure.peer_address, configure.port), stream_count_);
  role->primary = std::make_unique<replica::Primary>(settings(configure), journal_, role->order, *role->source,
                                                     ports_.clock, ports_.random, ports_.log, changed_);
  role->primary->limit_resync(configure.resync_rate);
  role->primary->confirm_silence_after(configure.silence);
  role->primary->tell_right([this](MonoTime until) { feed_guard(until); });
  role->primary->need_right(configure.leased);
  fuse::Options options = fuse_options(configure);
  options.polling = &polling_;
  options.keeper_program = succession_.keeper_program;
  options.keeper_directory = succession_.directory;
  options.on_end = [this, paths = paths_of(configure)](std::uint32_t root) {
    {
      const std::lock_guard lock{mutex_};
      mount_lost_at_ = linux_os::file_moment();
      mount_lost_at_.now -= kMountLossSeenIn.count();
      mount_lost_ = fmt::format("the mount over '{}' was taken off by somebody else; start the module again", paths[root]);
      poked_ = true;
    }
    wake_.notify_all();
  };
  role->trees = std::make_unique<fuse::MountedTrees>(paths_of(configure), options, *role->primary, role->order, exclusions);
  return role;
}

/// Until what was promised to another primary has passed. False when this node is not to be primary any more.
bool RoleDriver::await_promises(const control::Configure& configure) {
  if (configure.leased) promises_.note(began_, configure.promise);
  const MonoTime until = promises_.until();
  bool told = false;
  std::unique_lock lock{mutex_};
  for (;;) {
    if (ended_ || want_.role != control::ReplicaRole::Primary) return false;
    const MonoTime now = ports_.clock.mono_now();
    if (want_.peer_left || now >= until) return true;
    if (!std::exchange(told, true)) {
      ports_.log.write(LogLevel::Info, kLog, fmt::format("role=primary waits={}ms reason='promised to node {}'",
                                                         std::chrono::ceil<milliseconds>(until - now).count(), configure.peer));
    }
    wake_.wait_for(lock, until - now);
  }
}

RoleDriver::Step RoleDriver::enter_primary(const control::Configure& configure, const control::Want& want) {
  const journal::State state = journal_.state();
  if (state.inconsistent) {
    return Problem{"this copy is inconsistent: its synchronisation has not ended; start the other node first, then 'safekit "
                   "start' here", true};
  }
  if (!state.up_to_date && state.ever_synchronised) {
    return Problem{"this copy is not up to date; start the other node first, or 'safekit prim' here to take this copy", true};
  }
  if (!await_promises(configure)) return Problem{"this node is not to be primary any more", false};
  if (Step problem = prepare_directories(configure)) return problem;
  const auto exclusions = exclusions_of(configure);
  if (!exclusions) return Problem{exclusions.error().what, true};
  if (const Status kept = keep_rules(*exclusions, configure, journal_); !kept) return Problem{kept.error().what, true};
  if (Step problem = take_policy_up(configure, control::ReplicaRole::Primary)) return problem;
  const journal::State before = journal_.state();
  auto marks = take_marks(configure.zone_bytes);
  if (!marks) return Problem{marks.error().what, true};
  auto activity = open_activity(configure.zone_bytes);
  if (!activity) return Problem{activity.error().what, true};
  const auto role = make_primary(configure, *exclusions);
  role->primary->prepare(role->trees->inodes(), std::move(*marks), std::move(*activity),
                         {.note_alone = [trees = role->trees.get()](bool alone) { trees->note_alone(alone); }});
  take_lease(*role->primary);
  role->primary->allow_alone(want.may_be_alone, want.pairing, want.by_lease);
  if (const Status mounted = role->trees->mount(); !mounted) {
    (void)role->primary->stop();  // puts the zones back; the error of the mount is the one to tell
    feed_guard({});
    const bool fatal = mounted.error().code == Code::Unsupported || mounted.error().code == Code::Invalid;
    return Problem{mounted.error().what, fatal};
  }
  auto roots = roots_below(role->trees->inodes());
  Status looked = roots ? look_outside(before, std::move(*roots), *exclusions, configure) : Status{roots.error()};
  if (!looked) {
    (void)role->trees->unmount();  // nobody uses it yet
    (void)role->primary->stop();   // puts the zones back; the error before is the one to tell
    feed_guard({});
    return Problem{looked.error().what, true};
  }
  role->primary->expect(outside_);
  if (const std::string why = role->trees->unkept(); !why.empty()) {
    ports_.log.write(LogLevel::Warning, kLog, fmt::format("take-over=impossible reason='{}'", why));
  }
  begin_primary(role, want);
  if (before.kept != journal::State::Kept::None) kept_->drop();
  return {};
}

Result<std::vector<Fd>> RoleDriver::roots_below(replica::Inodes& inodes) {
  std::vector<Fd> roots;
  for (std::uint32_t root = 0; root < inodes.root_count(); ++root) {
    SK_TRY(const int fd, inodes.open(inodes.root_id(root), O_RDONLY | O_DIRECTORY));
    roots.emplace_back(fd);
  }
  return roots;
}

/// The application has the mounts in use, and its calls wait: nothing below them may be touched.
RoleDriver::Step RoleDriver::resume_primary(const control::Configure& configure, const control::Want& want) {
  const journal::State state = journal_.state();
  const auto exclusions = exclusions_of(configure);
  const auto role = make_primary(configure, exclusions.value_or(replica::Exclusions{}));
  const auto resumed = [&]() -> Status {
    SK_TRY_VOID(exclusions);
    SK_TRY_VOID(role->trees->inherit(std::move(*succession_.inheritance)));
    if (state.inconsistent || !state.up_to_date) return Error{Code::Conflict, "the journal says that this copy is old"};
    SK_TRY(auto marks, take_marks(configure.zone_bytes));
    SK_TRY(auto activity, open_activity(configure.zone_bytes));  // before the calls that wait are answered: they are in no other
    const bool alone = role->trees->was_alone();
    const bool in_order = marks.has_value();  // the process before has handed over
    role->primary->prepare(role->trees->inodes(), std::move(marks), std::move(activity),
                           {.taken_over = true,
                            .was_alone = alone,
                            .unconfirmed = !in_order,
                            .note_alone = [trees = role->trees.get()](bool on) { trees->note_alone(on); }});
    // A permission that the process before may have used up is none: the control plane gives another when it is due.
    take_lease(*role->primary);
    if (alone) role->primary->allow_alone(want.may_be_alone, want.pairing, want.by_lease);
    if (state.watched.unsettled) {
      SK_TRY(auto roots, roots_below(role->trees->inodes()));
      SK_TRY_VOID(look_outside(state, std::move(roots), *exclusions, configure));
      role->primary->expect(outside_);
    }
    SK_TRY_VOID(role->trees->resume());
    ports_.log.write(LogLevel::Info, kLog, fmt::format("take-over=done in-order={} alone={}", in_order, alone));
    return {};
  }();
  succession_.inheritance.reset();
  if (!resumed) {
    const std::lock_guard lock{mutex_};
    take_over_failed_ = resumed.error().what;
    return Problem{resumed.error().what, true};
  }
  begin_primary(role, want);
  return {};
}

void RoleDriver::take_lease(replica::Primary& primary) {
  const std::lock_guard lock{mutex_};
  primary.lease(lease_.until, lease_.refused);
}

void RoleDriver::begin_primary(const std::shared_ptr<PrimaryRole>& role, const control::Want& want) {
  {
    const std::lock_guard lock{mutex_};
    primary_ = role;
    mount_lost_.clear();
    // A newer wish may have come while nobody could hear it.
    if (want_.order != want.order && want_.role == control::ReplicaRole::Primary) {
      role->primary->allow_alone(want_.may_be_alone, want_.pairing, want_.by_lease);
    }
    if (configure_) role->primary->need_right(configure_->leased);
    role->primary->lease(lease_.until, lease_.refused);
  }
  role->primary->start();
  set_role(control::ReplicaRole::Primary);
}

/// The driver's thread ends with it.
void RoleDriver::hand_over_primary() {
  const bool in_order = primary_->trees->hand_over(kHandOverMax);
  // Were calls still waiting, the end of the stream would let them return.
  if (in_order) (void)primary_->primary->stop();  // not saved: all is compared
  ports_.log.write(LogLevel::Info, kLog, fmt::format("hand-over=done in-order={}", in_order));
  {
    const std::lock_guard lock{mutex_};
    handed_over_ = true;
  }
  changed_();
}

RoleDriver::Step RoleDriver::leave_primary() {
  // Before the first directory can be seen; what is still written back meanwhile is only compared once more.
  if (!left_at_) left_at_ = linux_os::next_file_moment();
  {
    const std::lock_guard lock{mutex_};
    if (!mount_lost_.empty() && mount_lost_at_.now < left_at_->now) left_at_ = mount_lost_at_;
  }
  if (primary_->trees) {
    const Status unmounted = primary_->trees->unmount();
    if (!unmounted && (mount_lost_.empty() || primary_->trees->mounted())) return Problem{unmounted.error().what, false};
  }
  const Status stopped = primary_->primary->stop();
  std::shared_ptr<PrimaryRole> old;
  {
    const std::lock_guard lock{mutex_};
    old = std::move(primary_);
    primary_ = {};
    mount_lost_.clear();
    if (const auto last = old->primary->inspection(); last.number != 0) inspected_ = to_control(last, old->paths);
  }
  old.reset();
  feed_guard({});
  set_role(control::ReplicaRole::Idle);
  if (!stopped) return Problem{stopped.error().what, true};
  return {};
}

}  // namespace safekit
