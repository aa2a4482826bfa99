// The beginning of a connection: what the two copies are to each other, and what follows from it.
#include <algorithm>
#include <iterator>

#include "datapath/replica/activity_paths.h"
#include "datapath/replica/primary.h"

namespace safekit::replica {

namespace {
constexpr const char* kLog = "primary";
}

Status Primary::greet(Stream& stream, wire::FrameReader& frames, resync::Decision& decision) {
  const journal::State state = journal_.state();
  SK_TRY_VOID(send_message(stream, make_hello(settings_, state, true), settings_.send_timeout));
  SK_TRY(const auto message, read_message(stream, frames, kHelloMax));
  if (const auto* refuse = std::get_if<wire::Refuse>(&message)) {
    return Error{Code::Conflict, fmt::format("node '{}' refuses: {}", settings_.peer, refuse->reason)};
  }
  const auto* hello = std::get_if<wire::Hello>(&message);
  if (hello == nullptr) return Error{Code::Corrupt, "the peer does not greet"};
  SK_TRY_VOID(check_hello(settings_, *hello, true));
  std::vector<wire::ActiveEntry> active;
  for (bool last = hello->own_log.id == 0 && hello->outside != wire::Outside::Listed; !last;) {
    SK_TRY(auto next, read_message(stream, frames, kHelloMax));
    auto* part = std::get_if<wire::Active>(&next);
    if (part == nullptr || active.size() + part->entries.size() > wire::kActiveEntriesMax) {
      return Error{Code::Corrupt, "the peer does not say what it touched"};
    }
    std::ranges::move(part->entries, std::back_inserter(active));
    last = part->last;
  }
  return meet(*hello, active, decision);
}

/// What others changed in the peer's copy is to be compared as what they changed in this one.
void Primary::take_outside(const wire::Hello& hello, const std::vector<wire::ActiveEntry>& active, resync::Meeting& meeting) {
  std::vector<wire::ActiveEntry> entries;
  std::ranges::copy_if(active, std::back_inserter(entries), &wire::ActiveEntry::outside);
  journal::ZoneMap theirs{settings_.zone_bytes};
  const Status marked = mark_paths(entries, *inodes_, order_, theirs);
  if (!marked) log_.write(LogLevel::Warning, kLog, fmt::format("step=read-changes error='{}'", marked.error().what));
  const std::lock_guard lock{mutex_};
  meeting.outside_known = marked && hello.outside != wire::Outside::Unknown && !outside_unknown_ && !theirs.overflown();
  if (meeting.outside_known) marks_.merge(theirs);
}

Status Primary::meet(const wire::Hello& hello, const std::vector<wire::ActiveEntry>& active, resync::Decision& decision) {
  const journal::State state = journal_.state();
  const journal::LogPoint own = activity_ != nullptr ? activity_->point() : journal::LogPoint{};
  const journal::DataGenerations theirs{hello.current, hello.base, hello.history};
  const resync::Logs theirs_logs{.base = {hello.base_log.id, hello.base_log.checkpoint},
                                 .own = {hello.own_log.id, hello.own_log.checkpoint}};
  resync::Meeting meeting{
      .relation = journal::compare(state.generations, theirs),
      .peer_exact = hello.exact,
      .peer_inconsistent = hello.inconsistent,
      .peer_up_to_date = hello.up_to_date,
      .logged = settings_.uses_zones && resync::are_logged({.base = state.base_log, .own = own}, theirs_logs),
      .full_wanted = hello.full_wanted || state.full_wanted,
      .restored = resync::is_restored(state, hello.current),
      .since = hello.since,
      .same_partner = state.peer == settings_.peer};
  take_outside(hello, active, meeting);
  std::vector<wire::ActiveEntry> own_active;
  std::ranges::remove_copy_if(active, std::back_inserter(own_active), &wire::ActiveEntry::outside);
  journal::ZoneMap logged{settings_.zone_bytes};
  if (meeting.logged) {
    const journal::Activity touched = activity_->activity();
    if (touched.everything) logged.set_overflown();
    for (const auto& [key, inode] : touched.inodes) logged.add(key, inode);
    if (const Status marked = mark_paths(own_active, *inodes_, order_, logged); !marked) {
      log_.write(LogLevel::Warning, kLog, fmt::format("step=read-activity error='{}'", marked.error().what));
      logged.set_overflown();
    }
  }
  const std::lock_guard lock{mutex_};
  meeting.zones_complete = settings_.uses_zones && marks_complete_ && !marks_.overflown();
  meeting.zones_empty = marks_.empty();
  meeting.logged = meeting.logged && !logged.overflown() && !marks_.overflown();
  meeting.logs_empty = logged.empty() && marks_.empty();
  peer_protocol_ = hello.protocol;
  decision = resync::choose(meeting);
  if (decision.mode != wire::ResyncMode::Full && decision.by_logs) {
    marks_.merge(logged);
    marks_complete_ = true;
  }
  log_.write(LogLevel::Info, kLog,
             fmt::format("connection=made peer={} generations={} synchronise={} reason='{}'", settings_.peer,
                         to_string(meeting.relation),
                         wire::name_of(decision.mode), decision.reason));
  if (!state.backup.empty() && !meeting.restored) {
    log_.write(LogLevel::Warning, kLog,
               fmt::format("external-synchronisation=impossible uid='{}' reason='node {} was not declared as restored from this "
                           "backup': the copies are compared by digests", state.backup, settings_.peer));
  }
  return {};
}

wire::ResyncMode Primary::install(std::unique_ptr<Stream> stream, wire::FrameReader&& frames,
                                  const resync::Decision& decision) {
  const std::lock_guard lock{mutex_};
  if (stopped_) return wire::ResyncMode::None;
  link_ = std::make_shared<Link>();
  link_->stream = std::move(stream);
  link_->frames = std::move(frames);
  link_->number = ++links_;
  link_->base = sequence_;
  link_->reads_packed = peer_protocol_ >= wire::kFirstWithPacked;
  link_->promises = peer_protocol_ >= wire::kFirstWithPromises;
  link_->confirms = peer_protocol_ >= wire::kFirstWithReceipts;
  packing_ = {};
  resync_saved_ = 0;
  window_.restart({sequence_ + 1});
  heard_ = clock_.mono_now().ns;
  sent_ = heard_.load();
  end_answer_.reset();
  diverged_ = decision.diverged;
  problem_.clear();
  progress_ = {};
  wire::ResyncMode mode = decision.mode;
  // Changed since it was decided.
  if (mode == wire::ResyncMode::None && !marks_.empty()) mode = wire::ResyncMode::Zones;
  // A Sync of before would never be answered on this connection: a synchronisation puts all on the peer's disk.
  if (mode == wire::ResyncMode::None && mode_ == Mode::Waiting && !syncs_.empty()) mode = wire::ResyncMode::Zones;
  since_ = decision.since;
  if (needs_marks(mode) && marks_.overflown()) mode = wire::ResyncMode::Full;
  // One that was not completed is still due.
  verify_due_ = verify_after_ && (mode != wire::ResyncMode::None || verify_due_);
  verify_wanted_ = false;
  peer_right_.meet();
  asked_at_ = clock_.mono_now() - patience_.every();
  push(wire::ResyncBegin{mode}, {}, {});
  ask_if_due(clock_.mono_now());
  // Nothing differs: mirroring begins in the same breath, so that no write is made without the peer any more.
  if (mode == wire::ResyncMode::None) put_end();
  settle_right();
  sender_parked_ = false;
  sender_.notify_one();
  changed_();
  return mode;
}

}  // namespace safekit::replica
