#include "controllers/config/plan.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace safekit::config {
namespace {

std::optional<status::Condition> conflict(const std::string& module, const std::vector<NodeName>& nodes) {
  if (nodes.empty()) return std::nullopt;
  std::string names;
  for (const NodeName& node : nodes) names += (names.empty() ? "" : ", ") + node.str();
  return status::Condition{
      .type = "ConfigConflict",
      .is_true = true,
      .reason = "EditedOnBothSides",
      .message = fmt::format(
          "this module was also changed on {} while the nodes did not see each other; each goes on with "
          "its own: compare `safekit -H \"*\" get module/{} -o yaml`, then `safekit apply --take NODE module/{}` "
          "or a new apply",
          names, module, module),
      .since = {}};
}

std::optional<status::Condition> not_honoured(const std::vector<check::Unhonoured>& settings) {
  if (settings.empty()) return std::nullopt;
  std::string message;
  for (const check::Unhonoured& setting : settings) {
    message += fmt::format("{}{}: {}", message.empty() ? "" : "; ", setting.path, setting.reason);
  }
  return status::Condition{.type = "NotHonoured",
                           .is_true = true,
                           .reason = "AcceptedWithoutEffect",
                           .message = std::move(message),
                           .since = {}};
}

void replace(const std::string& type, std::optional<status::Condition> wanted,
             std::vector<status::Condition>& conditions, WallTime now) {
  const auto old = std::ranges::find(conditions, type, &status::Condition::type);
  if (!wanted) {
    if (old != conditions.end()) conditions.erase(old);
    return;
  }
  wanted->since = old != conditions.end() && old->is_true == wanted->is_true ? old->since : now;
  if (old != conditions.end())
    *old = *wanted;
  else
    conditions.push_back(*wanted);
}

}  // namespace

std::vector<status::Condition> decide(const std::string& module, const Observed& observed,
                                      std::vector<status::Condition> conditions, WallTime now) {
  replace("ConfigConflict", conflict(module, observed.conflicting), conditions, now);
  replace("NotHonoured", not_honoured(observed.unhonoured), conditions, now);
  return conditions;
}

}  // namespace safekit::config
