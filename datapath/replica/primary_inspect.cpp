// Looking at both copies, or at what is marked, while the application works.
#include "datapath/replica/activity_paths.h"
#include "datapath/replica/primary.h"
#include "datapath/replica/sync_estimate.h"

namespace safekit::replica {

namespace {
constexpr const char* kLog = "primary";
constexpr const char* kStillDiffers = "it differs from the primary's, also after what differs was synchronised again; the primary's "
                                      "log names the places";

std::string what_follows(resync::AfterVerification next) {
  return next == resync::AfterVerification::CompareAgain
             ? "what differs is synchronised again, and verified"
             : "it differed before as well, so the secondary stops; look for the cause (disk, memory, somebody who writes there), then "
               "on the secondary `safekit second fullsync`";
}
}  // namespace

/// One connection: what is asked on it is not asked on the next one.
class Primary::VerifyLink final : public VerifyHost {
 public:
  VerifyLink(Primary& primary, std::uint64_t number) : primary_(primary), number_(number) {}
  Result<SequenceNumber> put(const wire::Message& message) override {
    const std::lock_guard lock{primary_.mutex_};
    if (!is_there()) return Error{Code::Unavailable, "the connection was lost"};
    primary_.push(message, {}, {}, Window::Source::Resync);  // the application's own share stays
    return SequenceNumber{primary_.sequence_ - primary_.link_->base};
  }
  Status wait_for_room() override { return primary_.wait_for_room(); }
  /// Caller holds mutex_.
  [[nodiscard]] bool is_there() const {
    return primary_.link_ && primary_.link_->number == number_ && !primary_.stopped_;
  }

 private:
  Primary& primary_;
  std::uint64_t number_;
};

Status Primary::inspect(const InspectionOrder& order) {
  const std::lock_guard starting{inspect_mutex_};
  return begin_inspection(order);
}

void Primary::verify_after_resync(bool wanted) {
  const std::lock_guard lock{mutex_};
  verify_after_ = wanted;
}

void Primary::begin_due_verification(Lock& lock) {
  if (!verify_wanted_ || !synchronised_) return;
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(clock_.wall_now().ns, 1));
  const InspectionOrder order{.number = std::max(now, inspection_.number + 1), .cause = Inspection::Cause::Resync};
  lock.unlock();
  // Who leaves the role holds it while it waits for an inspection, which may need this thread.
  const std::unique_lock starting{inspect_mutex_, std::try_to_lock};
  const bool begun = starting.owns_lock() && begin_inspection(order);
  lock.lock();
  if (begun) verify_wanted_ = false;
}

/// Caller holds inspect_mutex_.
Status Primary::begin_inspection(const InspectionOrder& order) {
  {
    const std::lock_guard lock{mutex_};
    if (stopped_ || leaving_) return Error{Code::Unavailable, "this node leaves the primary role"};
    if (inspection_.number == order.number) return {};
    const bool busy = inspection_.number != 0 && inspection_.state == Inspection::State::Running;
    if (busy && !gives_way(inspection_.cause, order.cause)) {
      return Error{Code::Conflict, "a verification or estimate is under way already"};
    }
    if (busy && verify_ != nullptr) verify_->abort("another one took its place");
    inspection_ = {.number = order.number, .kind = order.kind, .cause = order.cause};
    stop_inspection_.clear();
    verified_on_ = 0;
  }
  // The one before may have to be waited for, which is not the caller's business.
  inspector_ = std::thread{[this, order, before = std::move(inspector_)]() mutable {
    if (before.joinable()) before.join();
    look(order);
  }};
  return {};
}

/// The work of inspector_.
void Primary::look(const InspectionOrder& order) {
  auto done = order.kind == Inspection::Kind::Verify ? verify(order) : estimate(order);
  const bool differs = done && !done->differences.empty();
  const bool decides = order.cause == Inspection::Cause::Resync;
  {
    Lock lock{mutex_};
    const auto next = resync::after_verification({.completed = done.has_value(), .differs = differs, .compared_again = compared_again_});
    journal::ZoneMap differing{settings_.zone_bytes};
    if (decides && next == resync::AfterVerification::CompareAgain) {
      lock.unlock();
      differing = marks_for(*done);  // names comes before mutex_
      lock.lock();
    }
    verify_.reset();
    if (inspection_.number != order.number) return;  // the one that took its place is told of
    if (done) {
      inspection_ = std::move(*done);
      inspection_.number = order.number;
      inspection_.kind = order.kind;
      inspection_.cause = order.cause;
      inspection_.state = Inspection::State::Done;
      if (decides && differs) inspection_.reason = what_follows(next);
    } else {
      inspection_.state = Inspection::State::Failed;
      inspection_.reason = done.error().what;
    }
    log_.write(LogLevel::Info, kLog,
               fmt::format("{}={} differences={} files={} bytes={} reason='{}'",
                           order.kind == Inspection::Kind::Verify ? "verify" : "estimate", done ? "done" : "ended",
                           inspection_.differences.size(), inspection_.files, inspection_.bytes, inspection_.reason));
    if (decides) conclude(next, differing);
  }
  changed_();
}

/// By the next synchronisation. Takes names itself.
journal::ZoneMap Primary::marks_for(const Inspection& found) {
  journal::ZoneMap marks{settings_.zone_bytes};
  const Status marked = mark_paths(to_entries(found.differences), *inodes_, order_, marks);
  if (!marked || found.ended_early) marks.set_overflown();
  return marks;
}

/// Of the verification after a synchronisation. Caller holds mutex_.
void Primary::conclude(resync::AfterVerification next, const journal::ZoneMap& differing) {
  // Another connection: it is verified there.
  if (leaving_ || stopped_ || !link_ || link_->number != verified_on_) return;
  compared_again_ = next == resync::AfterVerification::CompareAgain;
  if (compared_again_) {
    marks_.merge(differing);
    return lose(link_->number, "the copies differ");
  }
  verify_due_ = false;
  const bool usable = next == resync::AfterVerification::Use;
  push(wire::Verified{usable ? std::string{} : kStillDiffers}, {}, {});
  kick_sender();
}

void Primary::end_inspection(const std::string& reason) {
  const std::lock_guard lock{mutex_};
  if (inspection_.state == Inspection::State::Running) stop_inspection_ = reason;
  if (verify_ != nullptr) verify_->abort(reason);
}

void Primary::join_inspection() {
  end_inspection("this node leaves the primary role");
  const std::lock_guard starting{inspect_mutex_};
  if (inspector_.joinable()) inspector_.join();
}

Inspection Primary::inspection() const {
  const std::lock_guard lock{mutex_};
  Inspection now = inspection_;
  if (verify_ != nullptr) {
    const Inspection found = verify_->found();
    now.files = found.files;
    now.directories = found.directories;
    now.bytes = found.bytes;
  }
  return now;
}

Result<Inspection> Primary::verify(const InspectionOrder& order) {
  std::unique_ptr<VerifyLink> link;
  std::shared_ptr<VerifyRun> run;
  {
    const std::lock_guard lock{mutex_};
    if (stopped_ || leaving_) return Error{Code::Unavailable, "this node leaves the primary role"};
    if (inspection_.number != order.number) return Error{Code::Unavailable, "another one took its place"};
    if (!stop_inspection_.empty()) return Error{Code::Unavailable, stop_inspection_};
    if (!link_ || !synchronised_ || mode_ != Mode::Mirroring) {
      return Error{Code::Unavailable, fmt::format("node '{}' is not there as a synchronised secondary; start it, wait for the end "
                                                  "of the synchronisation, and verify then", settings_.peer)};
    }
    link = std::make_unique<VerifyLink>(*this, link_->number);
    run = std::make_shared<VerifyRun>(*link, *inodes_, order_, settings_, clock_,
                                      VerifyOptions{.bytes_per_second = order.bytes_per_second});
    verify_ = run;
    verified_on_ = link_->number;
  }
  SK_TRY_VOID(run->run());
  return run->found();
}

Result<Inspection> Primary::estimate(const InspectionOrder& order) {
  journal::ZoneMap map{settings_.zone_bytes};
  SyncEstimate everything;
  {
    const std::lock_guard lock{mutex_};
    everything = {.everything = !synchronised_ && (!marks_complete_ || marks_.overflown()), .bytes_per_second = copied_per_second_};
    if (!everything.everything && !synchronised_) map = marks_;
  }
  if (everything.everything) return Inspection{.estimate = everything};
  const auto go_on = [&]() -> Status {
    const std::lock_guard lock{mutex_};
    if (inspection_.number != order.number) return Error{Code::Unavailable, "another one took its place"};
    return stop_inspection_.empty() ? Status{} : Status{Error{Code::Unavailable, stop_inspection_}};
  };
  SK_TRY(auto estimate, estimate_sync(map, *inodes_, order_, go_on));
  estimate.bytes_per_second = everything.bytes_per_second;
  return Inspection{.estimate = estimate};
}

}  // namespace safekit::replica
