#include "controllers/simulate/replica.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

using control::ReplicaRole;

constexpr std::size_t kPendingMax = 4;  ///< calls of the application that wait at once
constexpr Duration kTick = milliseconds{150};

}  // namespace

void Copy::lose_power(World& world) {
  const std::size_t more = content.size() - synced;
  content.resize(synced + world.below(more + 1));
  synced = content.size();
  if (std::exchange(mark_unsynced, false)) up_to_date = true;
}

/// The end of safekitd's connection at its side.
struct Replica::Link final : replication::ReplicaLink {
  Link(Replica& to, std::shared_ptr<replication::LinkTasks> tasks) : replica(&to), alive(to.alive_), mine(std::move(tasks)) {}
  ~Link() override {
    if (*alive && replica->tasks_ == mine) replica->tasks_.reset();
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Status send(const control::Configure& configure) override {
    return pass([configure](Replica& to) { to.configure(configure); });
  }
  Status send(const control::Want& want) override {
    return pass([want](Replica& to) { to.act(want); });
  }
  Status send(const control::Lease& lease) override {
    return pass([lease](Replica& to) {
      to.lease_ = lease;
      to.settle_right();
    });
  }
  Status send(const control::Inspect&) override { return {}; }
  Status pass(std::function<void(Replica&)> task) {
    if (!*alive) return Error{Code::Unavailable, "the replica is gone"};
    World& world = replica->ports_.world;
    last = std::max(last + 1, world.now() + world.between(microseconds{50}, milliseconds{20}).count());  // in the order sent
    replica->after(Duration{last - world.now()}, [to = replica, task = std::move(task)] { task(*to); });
    return {};
  }
  Replica* replica;
  std::shared_ptr<bool> alive;
  std::shared_ptr<replication::LinkTasks> mine;
  std::int64_t last{0};  ///< arrival of the last message
};

Replica::Replica(Ports ports) : ports_(std::move(ports)), standstill_(ports_.world) {
  after(ports_.world.between(milliseconds{2}, milliseconds{60}), [this] { listens_ = true; });
  after(kTick, [this] { tick(); });
  exchange_promises();
}

Replica::~Replica() {
  *alive_ = false;
  drop_stream(true);
  if (loop_ != nullptr && tasks_) loop_->post([tasks = tasks_] { tasks->on_closed(); });
}

void Replica::take_over(const LeftMount& left) {
  role_ = ReplicaRole::Primary;
  mirroring_ = waiting_ = left.mirroring;
  granted_ = left.granted;
  by_lease_ = true;  // until it is told
  noted_ = left.noted;
  pairing_ = left.pairing;
  acted_ = left.order;
  want_ = left.want;
}

std::optional<LeftMount> Replica::leave() const {
  if (!is_primary()) return std::nullopt;
  return LeftMount{.mirroring = mirroring_, .granted = granted_, .noted = noted_, .pairing = pairing_, .order = acted_, .want = want_};
}

std::unique_ptr<replication::ReplicaLink> Replica::connect(SimLoop& loop, replication::LinkTasks tasks) {
  loop_ = &loop;
  tasks_ = std::make_shared<replication::LinkTasks>(std::move(tasks));
  after(milliseconds{1}, [this] { report(); });
  return std::make_unique<Link>(*this, tasks_);
}

void Replica::tick() {
  look_for_peer();
  if (ports_.world.chance(20)) report();
  after(kTick, [this] { tick(); });
}

/// Control::Want, as docs of control/message.h say.
void Replica::act(const control::Want& asked) {
  control::Want want = asked;
  latest_order_ = want.order;
  if (ports_.defect == Defect::DropsMark) want.mark_out_of_date = false;
  if (ports_.defect == Defect::AlwaysAlone) want.may_be_alone = want.role == ReplicaRole::Primary;
  const bool role_changes = role_ != want.role;
  Copy& copy = ports_.copy;
  if (role_changes || want.mark_out_of_date) drop_stream(true);
  if (want.mark_out_of_date && copy.up_to_date) {
    copy.up_to_date = false;
    copy.mark_unsynced = ports_.defect == Defect::MarkNotDurable;
  }
  if (want.force_up_to_date) {
    copy.up_to_date = copy.ever = true;
    copy.inconsistent = false;
  }
  if (role_changes && wait_for_promise(want)) return;
  if (role_changes) change_role(want);
  const bool now = want.pairing == 0 || want.pairing == pairing_ || ports_.defect == Defect::GrantIgnoresPairing;
  const bool mirrors = stream_ && mirroring_;
  if (want.may_be_alone && now && !mirrors) {
    by_lease_ = want.by_lease;
    if (role_changes || !want_.may_be_alone) grant();
  }
  want_ = want;
  settle_right();
  acted_ = want.order;
  report();
}

void Replica::change_role(const control::Want& want) {
  Copy& copy = ports_.copy;
  waiting_ = mirroring_ = synchronised_ = granted_ = refused_ = false;
  pending_.clear();
  role_ = want.role;
  if (role_ != ReplicaRole::Primary) return;
  refused_ = copy.inconsistent || (!copy.up_to_date && copy.ever);
  if (refused_) return;
  ports_.promoting(want.force_up_to_date);
  copy.up_to_date = copy.last_primary = true;
  if (copy.generation == 0) copy.generation = ports_.world.number() | 1U;
  noted_ = false;
  pairing_ = ports_.world.number() | 1U;
  mirroring_ = !want.may_be_alone;
}

void Replica::grant() {
  granted_ = true;
  waiting_ = mirroring_ = false;
  for (Pending& one : pending_) one.alone = true;
  settle_right();
  settle_pending();
}

/// Before the first acknowledgement without the peer.
void Replica::note_alone() {
  if (std::exchange(noted_, true) || ports_.defect == Defect::NoNewGeneration) return;
  ports_.copy.generation = ports_.world.number() | 1U;
}

bool Replica::may_acknowledge() const {
  return is_primary() && !is_paused() && has_right() && ((stream_ && mirroring_) || (granted_ && !waiting_));
}

bool Replica::accepts() const {
  return role_ == ReplicaRole::Secondary && configured_ && !want_.mark_out_of_date && !stream_;
}

void Replica::look_for_peer() {
  if (!is_primary() || stream_ || !configured_) return;
  Replica* const second = ports_.peer();
  if (second == nullptr || !second->accepts()) return;
  begin_stream(*second);
}

void Replica::begin_stream(Replica& second) {
  stream_ = second.stream_ = std::make_shared<Stream>();
  stream_->primary = this;
  stream_->second = &second;
  peer_right_.meet();
  second.heard_ = second.ports_.clock.mono_now();
  second.answered_ = 0;
  Copy& theirs = second.ports_.copy;
  if (configure_.leased) ask_peer();
  const bool equal = ports_.copy.generation == theirs.generation && ports_.copy.content == theirs.content;
  if (equal || ports_.defect == Defect::IgnoresGeneration) {
    end_sync();
  } else {
    // Nothing of the peer's copy is touched before the marks are on its disk.
    theirs.up_to_date = ports_.defect == Defect::CompleteTooEarly;
    theirs.inconsistent = ports_.defect != Defect::NotInconsistent && ports_.defect != Defect::CompleteTooEarly;
    if (ports_.defect == Defect::NotInconsistent) theirs.up_to_date = true;
    theirs.mark_unsynced = false;
    // What was acknowledged together is there; what differs is copied in no order.
    theirs.content.resize(ports_.world.below(theirs.content.size() + 1));
    theirs.synced = theirs.content.size();
    by_lease_ = false;  // the peer cannot take over
    if (waiting_ || mirroring_) grant();
    after(ports_.world.between(milliseconds{20}, milliseconds{1500}), [this, mine = stream_] {
      if (stream_ == mine) end_sync();
    });
  }
  report();
  second.report();
}

/// From here on nothing is acknowledged without the peer.
void Replica::end_sync() {
  granted_ = waiting_ = noted_ = false;
  mirroring_ = true;
  for (Pending& each : pending_) each.released = each.alone;
  if (ports_.defect != Defect::PairingStays) pairing_ = ports_.world.number() | 1U;
  const bool skips = ports_.defect == Defect::IgnoresGeneration;
  const auto& content = skips ? stream_->second->ports_.copy.content : ports_.copy.content;
  send(true, [content, generation = ports_.copy.generation](Replica& second) { second.complete(content, generation); });
  report();
}

void Replica::complete(std::vector<std::uint32_t> content, std::uint64_t generation) {
  Copy& copy = ports_.copy;
  copy.content = std::move(content);
  copy.synced = copy.content.size();
  copy.up_to_date = copy.ever = synchronised_ = true;
  copy.inconsistent = copy.last_primary = copy.mark_unsynced = false;
  copy.generation = generation;
  const std::uint32_t last = copy.content.empty() ? 0 : copy.content.back();
  send(false, [last](Replica& primary) {
    primary.ports_.copy.ever = primary.synchronised_ = true;
    for (Pending& each : primary.pending_) each.peer_has = each.peer_has || each.number <= last;  // an answer may have been lost before
    primary.settle_pending();
    primary.report();
  });
  report();
}

void Replica::write() {
  if (!is_primary() || is_paused() || acted_ == 0 || pending_.size() >= kPendingMax || !has_right()) return;
  const bool mirrored = stream_ && mirroring_;
  Pending one{.number = ports_.next_write(), .alone = !mirrored && granted_ && !waiting_};
  if (ports_.defect == Defect::AcknowledgesEarly) one.peer_has = mirrored;
  if (ports_.defect == Defect::PrimaryAcksUnsynced) one.synced = true;
  ports_.copy.content.push_back(one.number);
  pending_.push_back(one);
  after(ports_.world.between(microseconds{200}, milliseconds{8}), [this, number = one.number] {
    Copy& copy = ports_.copy;
    const auto end = std::ranges::upper_bound(copy.content, number);
    copy.synced = std::max(copy.synced, static_cast<std::size_t>(end - copy.content.begin()));
    for (Pending& each : pending_) each.synced = each.synced || each.number <= number;
    settle_pending();
  });
  if (mirrored) {
    send(true, [number = one.number](Replica& second) { second.receive(number); });
  }
  settle_pending();
}

void Replica::receive(std::uint32_t number) {
  Copy& copy = ports_.copy;
  const bool loses = ports_.defect == Defect::LosesAWrite && ports_.world.chance(5);
  if (!loses) copy.content.push_back(number);
  const auto answer = [this, number] {
    if (ports_.defect == Defect::DropsAcknowledgement && ports_.world.chance(2)) return;
    send(false, [number](Replica& primary) {
      for (Pending& each : primary.pending_) each.peer_has = each.peer_has || each.number == number;
      primary.settle_pending();
    });
  };
  if (ports_.defect == Defect::SecondaryAcksUnsynced) return answer();
  after(ports_.world.between(microseconds{200}, milliseconds{8}), [this, number, answer] {
    Copy& mine = ports_.copy;
    const auto end = std::ranges::upper_bound(mine.content, number);
    mine.synced = std::max(mine.synced, static_cast<std::size_t>(end - mine.content.begin()));
    answer();
  });
}

void Replica::settle_pending() {
  while (!pending_.empty()) {
    const Pending& one = pending_.front();
    if (!one.synced || !(one.peer_has || one.alone) || !has_right()) return;
    if (!one.peer_has && !one.released) note_alone();
    ports_.acknowledged(one.number);
    pending_.pop_front();
  }
}

void Replica::send(bool to_second, std::function<void(Replica&)> task) {
  if (!stream_) return;
  auto& last = stream_->last[to_second ? 1 : 0];
  last = std::max(last + 1, ports_.world.now() + ports_.world.between(microseconds{100}, milliseconds{5}).count());
  ports_.world.after(Duration{last - ports_.world.now()}, [stream = stream_, to_second, task = std::move(task)] {
    Replica* const to = to_second ? stream->second : stream->primary;
    if (stream->lost || stream->muted[to_second ? 1 : 0] || to == nullptr || to->stream_ != stream) return;
    to->standstill_.deliver([to, stream, to_second, task] {
      if (stream->lost || to->stream_ != stream) return;
      if (to_second) to->heard_ = to->ports_.clock.mono_now();
      task(*to);
    });
  });
}

/// This side ends it. A peer that can be reached hears of that at once, any other one by its time-out.
void Replica::drop_stream(bool noticed_by_peer) {
  if (!stream_) return;
  const auto stream = std::exchange(stream_, nullptr);
  Replica*& mine = stream->primary == this ? stream->primary : stream->second;
  Replica* const other = stream->primary == this ? stream->second : stream->primary;
  mine = nullptr;
  if (other != nullptr && !stream->lost) {
    const bool reaches = noticed_by_peer && ports_.peer() == other;
    other->after(reaches ? microseconds{300} : ports_.world.between(milliseconds{300}, seconds{4}), [other, stream] {
      if (other->stream_ == stream) other->stream_lost();
    });
  }
  stream->lost = true;
  stream_lost();
}

void Replica::lose_stream() {
  if (!stream_) return;
  stream_->lost = true;
  after(ports_.world.between(milliseconds{300}, seconds{4}), [this, stream = stream_] {
    if (stream_ == stream) stream_lost();
  });
}

void Replica::mute() {
  if (!stream_) return;
  const bool is_primary_side = stream_->primary == this;
  stream_->muted[is_primary_side ? 1 : 0] = true;
  const auto notice = [stream = stream_](Replica* side, Duration after) {
    if (side == nullptr) return;
    side->after(after, [side, stream] {
      if (side->stream_ == stream) side->stream_lost();
    });
  };
  notice(is_primary_side ? stream_->second : stream_->primary, ports_.world.between(milliseconds{300}, seconds{4}));
  notice(this, ports_.world.between(seconds{2}, seconds{10}));
}

void Replica::stream_lost() {
  if (stream_) {
    Replica*& mine = stream_->primary == this ? stream_->primary : stream_->second;
    mine = nullptr;
    stream_.reset();
  }
  synchronised_ = false;
  if (role_ == ReplicaRole::Primary && mirroring_) {
    waiting_ = true;
    if (ports_.defect == Defect::GoesAloneByItself) grant();
  }
  settle_right();
  if (*alive_) report();
}

control::Report Replica::state() const {
  const Copy& copy = ports_.copy;
  control::Report report{.order = acted_,
                         .role = role_,
                         .settled = !refused_,
                         .configured = configured_,
                         .up_to_date = copy.up_to_date,
                         .inconsistent = copy.inconsistent,
                         .ever_synchronised = copy.ever,
                         .has_data = !copy.content.empty(),
                         .last_primary = copy.last_primary,
                         .connected = stream_ != nullptr,
                         .peer_synchronised = synchronised_,
                         .waiting_for_alone = waiting_,
                         .generation = {copy.generation},
                         .pairing = pairing_,
                         .problem = refused_ ? "this copy must not be primary" : "",
                         .fatal = refused_,
                         .replaceable = true,
                         .frozen = is_primary() && !has_right()};
  if (ports_.defect == Defect::SaysUpToDate && copy.ever) report.up_to_date = true;
  return report;
}

/// What it says is of now; it is heard a little later, in order.
void Replica::report() {
  if (loop_ == nullptr || !tasks_) return;
  loop_->post([tasks = tasks_, report = state()] { tasks->on_report(report); });
}

}  // namespace safekit::sim
