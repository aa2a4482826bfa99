// Answers to the questions of a verification.
#include "datapath/replica/secondary.h"

namespace safekit::replica {

std::optional<Status> Secondary::verify(const StreamRef& stream, wire::Message& message) {
  const SequenceNumber sequence{received_};
  const auto answer = [this, sequence](Stream& to, wire::VerifyAnswer&& looked) {
    looked.sequence = sequence;
    return send_message(to, looked, settings_.send_timeout);
  };
  if (auto* names = std::get_if<wire::VerifyNames>(&message)) {
    auto looked = look_.names(std::move(*names));
    return looked ? answer(*stream, std::move(*looked)) : Status{};
  }
  if (const auto* verified = std::get_if<wire::Verified>(&message)) return take(*verified);
  if (const auto* state = std::get_if<wire::VerifyState>(&message)) return answer(*stream, look_.state(*state));
  auto* zones = std::get_if<wire::VerifyZones>(&message);
  if (zones == nullptr) return std::nullopt;
  auto file = look_.file(zones->at);
  if (zones->exact) return answer(*stream, compare_zones(file, *zones, settings_.zone_bytes));
  digests_->run(
      [this, stream, answer, file = std::move(file), zones = std::move(*zones)] {
        (void)answer(*stream, compare_zones(file, zones, settings_.zone_bytes));  // a lost stream shows at the receiver
      });
  return Status{};
}

Status Secondary::take(const wire::Verified& verified) {
  const bool usable = verified.fault.empty();
  if (!usable) {
    const std::lock_guard lock{mutex_};
    given_up_ = true;
  }
  log_.write(usable ? LogLevel::Info : LogLevel::Error, "secondary", fmt::format("verified={}", usable ? "done" : "differs"));
  set_status([&](SecondaryStatus& status) {
    status.unverified = false;
    status.fatal = !usable;
  });
  // The copy is marked as any that cannot be kept equal.
  return usable ? Status{} : Status{Error{Code::Conflict, verified.fault}};
}

}  // namespace safekit::replica
