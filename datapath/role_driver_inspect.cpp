// Looks at the copies, between the control plane and the primary.
#include "datapath/role_driver_roles.h"

namespace safekit {

namespace {

control::Inspect::Cause to_control(replica::Inspection::Cause cause) {
  switch (cause) {
    case replica::Inspection::Cause::Asked: return control::Inspect::Cause::Asked;
    case replica::Inspection::Cause::Schedule: return control::Inspect::Cause::Schedule;
    case replica::Inspection::Cause::Resync: return control::Inspect::Cause::Resync;
  }
  return control::Inspect::Cause::Asked;
}

}  // namespace

control::Inspection to_control(const replica::Inspection& from, const std::vector<std::string>& paths) {
  using State = replica::Inspection::State;
  const bool verify = from.kind == replica::Inspection::Kind::Verify;
  control::Inspection to{.number = from.number,
                         .kind = verify ? control::Inspect::Kind::Verify : control::Inspect::Kind::Estimate,
                         .cause = to_control(from.cause),
                         .state = from.state == State::Running  ? control::Inspection::State::Running
                                  : from.state == State::Done   ? control::Inspection::State::Done
                                                                : control::Inspection::State::Failed,
                         .reason = from.reason,
                         .files = verify ? from.files : from.estimate.files,
                         .directories = verify ? from.directories : from.estimate.directories,
                         .bytes = verify ? from.bytes : from.estimate.bytes,
                         .ended_early = from.ended_early,
                         .everything = from.estimate.everything,
                         .compares_more = from.estimate.compares_more,
                         .compared_bytes = from.estimate.compared,
                         .bytes_per_second = from.estimate.bytes_per_second};
  for (const replica::CopyDifference& difference : from.differences) {
    const std::string root = difference.at.root < paths.size() ? paths[difference.at.root] : std::string{};
    to.differences.push_back({.path = difference.at.path.empty() ? root : root + "/" + difference.at.path,
                              .what = replica::differs_text(difference.differs)});
  }
  return to;
}

void RoleDriver::inspect(const control::Inspect& inspect) {
  std::shared_ptr<PrimaryRole> primary;
  {
    const std::lock_guard lock{mutex_};
    primary = primary_;
  }
  const bool stop = inspect.kind == control::Inspect::Kind::Stop;
  if (primary && stop) return primary->primary->end_inspection("it was stopped by a command");
  if (stop) return;
  const auto kind = inspect.kind == control::Inspect::Kind::Verify ? replica::Inspection::Kind::Verify
                                                                   : replica::Inspection::Kind::Estimate;
  const auto cause = inspect.cause == control::Inspect::Cause::Schedule ? replica::Inspection::Cause::Schedule
                                                                        : replica::Inspection::Cause::Asked;
  Status begun = primary ? primary->primary->inspect({.number = inspect.number,
                                                      .kind = kind,
                                                      .cause = cause,
                                                      .bytes_per_second = inspect.bytes_per_second})
                         : Status{Error{Code::Unavailable, "this node does not serve the replicated directories"}};
  {
    const std::lock_guard lock{mutex_};
    inspected_.reset();
    // Else the one that is under way goes on to be told of.
    if (!begun && begun.error().code != Code::Conflict) {
      inspected_ = control::Inspection{.number = inspect.number,
                                       .kind = inspect.kind,
                                       .cause = inspect.cause,
                                       .state = control::Inspection::State::Failed,
                                       .reason = begun.error().what};
    }
  }
  changed_();
}

control::Inspection RoleDriver::inspection() const {
  std::shared_ptr<PrimaryRole> primary;
  {
    const std::lock_guard lock{mutex_};
    if (inspected_) return *inspected_;
    primary = primary_;
  }
  return primary ? to_control(primary->primary->inspection(), primary->paths) : control::Inspection{};
}

}  // namespace safekit
