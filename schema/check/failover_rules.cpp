#include "schema/check/failover_rules.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "schema/rule/lua.h"
#include "schema/rule/parse.h"
#include "schema/spec/defaults.h"

namespace safekit::check {
namespace {

constexpr std::string_view kDefaults = R"(
  module_failure: if (module.? == down) then wait();
  interface_failure: if (intf.? == down) then wait();
  ip_failure: if (ip.? == down) then stopstart();
  splitbrain_failure: if (splitbrain.uptodate == down) then wait();
)";

std::string_view action_text(spec::CheckerAction action) {
  switch (action) {
    case spec::CheckerAction::NoAction: return "";
    case spec::CheckerAction::Wait: return "wait";
    case spec::CheckerAction::Restart: return "restart";
    case spec::CheckerAction::StopStart: return "stopstart";
    case spec::CheckerAction::Stop: return "stop";
  }
  return "";
}

/// Only Lua can name a group: a rule that speaks of nothing but what checkers find belongs to theirs.
bool speaks_of_checkers(const rule::Rule& rule) {
  constexpr std::array<std::string_view, 6> kClasses{"tcp", "ping", "intf", "ip", "custom", "module"};
  return std::ranges::all_of(rule::resources_of(rule.condition), [&](const rule::Resource& resource) {
    return std::ranges::find(kClasses, resource.of_class) != kClasses.end();
  });
}

/// In the place of a rule of the same label, or at the end.
void put(std::vector<rule::Rule>& rules, rule::Rule&& rule) {
  rule.of_checkers = rule.of_checkers || speaks_of_checkers(rule);
  const auto same = std::ranges::find(rules, rule.label, &rule::Rule::label);
  if (same == rules.end()) {
    rules.push_back(std::move(rule));
  } else {
    *same = std::move(rule);
  }
}

}  // namespace

std::vector<rule::Rule> failover_rules(const spec::Module& module) {
  std::vector<rule::Rule> rules;
  const auto peers = module.mode == spec::Mode::Mirror ? rule::Peers::One : rule::Peers::Several;
  const auto add = [&](std::string_view text) {
    for (rule::Rule& rule : rule::parse(text, peers).rules) put(rules, std::move(rule));
  };
  if (!module.failover_rules || module.failover_rules->extends) {
    add(kDefaults);
    for (const spec::GeneratedRule& made : spec::generated_rules(module)) {
      const std::size_t dot = made.resource.find('.');
      rule::Comparison down{.left = {false, made.resource.substr(0, dot), made.resource.substr(dot + 1)},
                            .right = rule::State::Down};
      rule::Rule rule{.label = made.label, .condition = {std::move(down)}};
      for (const rule::Action action :
           {rule::Action::Wait, rule::Action::Restart, rule::Action::StopStart, rule::Action::Stop}) {
        if (rule::name_of(action) == action_text(made.action)) rule.action = action;
      }
      put(rules, std::move(rule));
    }
  }
  if (!module.failover_rules) return rules;
  std::vector<std::string> disabled;
  for (const std::string& text : module.failover_rules->rules) {
    if (!rule::is_lua(text)) {
      add(text);
      continue;
    }
    rule::LuaRules made = rule::run_lua(text, peers);
    for (rule::Rule& rule : made.rules) put(rules, std::move(rule));
    disabled.insert(disabled.end(), made.disabled.begin(), made.disabled.end());
  }
  std::erase_if(rules, [&](const rule::Rule& rule) { return std::ranges::find(disabled, rule.label) != disabled.end(); });
  return rules;
}

}  // namespace safekit::check
