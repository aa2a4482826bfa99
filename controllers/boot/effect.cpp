#include "controllers/boot/effect.h"

namespace safekit::boot {
namespace {

std::string handled_key(const std::string& module) {
  return "boot/handled/" + module;
}
std::string ran_key(const std::string& module) {
  return "boot/ran/" + module;
}

}  // namespace

BootController::BootController(store::Store& store, const Clock& clock, std::string boot_id)
    : store_(store), clock_(clock), boot_id_(std::move(boot_id)), started_(clock.mono_now()) {}

std::optional<engine::Request> BootController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> BootController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  const ModuleName name{module};
  const auto spec = store_.module(name);
  const bool here = spec != nullptr && store::names(*spec, store_.node());
  if (!here) {
    SK_TRY_VOID(store_.forget_fact(handled_key(module)));
    SK_TRY_VOID(store_.forget_fact(ran_key(module)));
    return engine::Outcome{};
  }
  const status::Module& status = store_.status(name);
  if (status.role.since == WallTime{})
    return engine::Outcome{};  // the role controller has not found its state yet
  const Desired desired{.boot = spec->boot, .command = status.settings.boot};
  const bool ran = store_.fact(ran_key(module)).has_value();
  const bool stopped = status.role.role == status::Role::Stop;
  const Observed observed{.boot_id = boot_id_,
                          .handled = store_.fact(handled_key(module)),
                          .ran_before = ran,
                          .stopped = stopped,
                          .since_boot_seen = clock_.mono_now() - started_};
  const Plan plan = decide(desired, observed);
  if (plan.start) {
    store::Operation start;
    start.module = module;
    start.verb = "start";
    start.caller = store::kAtBootTime;
    SK_TRY(const std::uint64_t id, store_.submit(start));
    (void)id;  // whoever wants its outcome finds it in the module log
  }
  if (plan.handled) SK_TRY_VOID(store_.set_fact(handled_key(module), boot_id_, true));
  // Only once this boot is decided: until then the note speaks of the time before it.
  const bool decided = plan.handled || observed.handled == boot_id_;
  if (!decided || plan.start) return engine::Outcome{.requeue_after = plan.recheck_after};
  if (!stopped && !ran) SK_TRY_VOID(store_.set_fact(ran_key(module), "1", true));
  if (stopped && ran && !held_) SK_TRY_VOID(store_.forget_fact(ran_key(module)));
  return engine::Outcome{};
}

}  // namespace safekit::boot
