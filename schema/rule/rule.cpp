#include "schema/rule/rule.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace safekit::rule {
namespace {

constexpr std::array<std::string_view, 5> kStates{"init", "down", "up", "unknown", "other"};
constexpr std::array<std::string_view, 5> kActions{"stop", "stopstart", "wait", "restart", "swap"};

std::string joined(const std::vector<ConditionRef>& operands, std::string_view by) {
  std::string text;
  for (const ConditionRef& operand : operands) {
    if (!text.empty()) text += by;
    const bool groups =
        std::holds_alternative<AllOf>(operand->is) || std::holds_alternative<AnyOf>(operand->is);
    text += groups ? fmt::format("({})", text_of(*operand)) : text_of(*operand);
  }
  return text;
}

void collect(const Condition& condition, std::vector<Resource>& found) {
  const auto add = [&](const Resource& resource) {
    if (std::ranges::find(found, resource) == found.end()) found.push_back(resource);
  };
  if (const auto* comparison = std::get_if<Comparison>(&condition.is)) {
    add(comparison->left);
    if (const auto* right = std::get_if<Resource>(&comparison->right)) add(*right);
  } else if (const auto* negated = std::get_if<Not>(&condition.is)) {
    collect(*negated->operand, found);
  } else {
    const auto* all = std::get_if<AllOf>(&condition.is);
    for (const ConditionRef& operand :
         all != nullptr ? all->operands : std::get<AnyOf>(condition.is).operands)
      collect(*operand, found);
  }
}

}  // namespace

std::string_view name_of(State state) {
  return kStates[static_cast<std::size_t>(state)];
}

State state_of(std::string_view value) {
  for (const State state : {State::Init, State::Down, State::Up, State::Unknown}) {
    if (value == name_of(state)) return state;
  }
  return State::Other;
}

std::string_view name_of(Action action) {
  return kActions[static_cast<std::size_t>(action)];
}

std::string text_of(const Resource& resource) {
  return fmt::format("{}{}.{}", resource.remote ? "remote." : "", resource.of_class, resource.id);
}

std::string text_of(const Condition& condition) {
  if (const auto* comparison = std::get_if<Comparison>(&condition.is)) {
    const auto* state = std::get_if<State>(&comparison->right);
    return fmt::format(
        "{} {} {}", text_of(comparison->left), comparison->equal ? "==" : "!=",
        state != nullptr ? std::string{name_of(*state)} : text_of(std::get<Resource>(comparison->right)));
  }
  if (const auto* negated = std::get_if<Not>(&condition.is))
    return fmt::format("!({})", text_of(*negated->operand));
  if (const auto* all = std::get_if<AllOf>(&condition.is)) return joined(all->operands, " && ");
  return joined(std::get<AnyOf>(condition.is).operands, " || ");
}

std::string text_of(const Rule& rule) {
  return fmt::format("{}: if ({}) then {}();", rule.label, text_of(rule.condition), name_of(rule.action));
}

std::vector<Resource> resources_of(const Condition& condition) {
  std::vector<Resource> found;
  collect(condition, found);
  return found;
}

}  // namespace safekit::rule
