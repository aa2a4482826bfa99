#include "controllers/config/effect.h"

namespace safekit::config {

std::optional<engine::Request> ConfigController::wants(const store::Change& change) const {
  using What = store::Change::What;
  const bool mine = change.what == What::Object || change.what == What::Peers;
  if (!mine || change.kind != store::Kind::Module || change.name.empty()) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> ConfigController::reconcile(const engine::Request& request) {
  const ModuleName name{request.name};
  const auto spec = store_.module(name);
  if (spec == nullptr || !store::names(*spec, store_.node())) return engine::Outcome{};
  Observed observed;
  observed.unhonoured = check::unhonoured(*spec);
  for (const store::Conflict& conflict : store_.conflicts({store::Kind::Module, request.name})) {
    observed.conflicting.push_back(conflict.peer);
  }
  store_.update_status(name, [&](status::Module& m) {
    m.conditions = decide(request.name, observed, std::move(m.conditions), clock_.wall_now());
  });
  return engine::Outcome{};
}

}  // namespace safekit::config
