#include "controllers/failover/plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::failover {
namespace {

/// spec/runtime.md 3.1. `wait` goes by its own way.
int severity(rule::Action action) {
  switch (action) {
    case rule::Action::Stop: return 4;
    case rule::Action::StopStart: return 3;
    case rule::Action::Wait: return 2;
    case rule::Action::Restart: return 1;
    case rule::Action::Swap: return 0;
  }
  return 0;
}

std::string_view text_of(rule::Truth truth) {
  switch (truth) {
    case rule::Truth::True: return "holds";
    case rule::Truth::False: return "does not hold";
    case rule::Truth::NotYet: return "is not known yet";
  }
  return "";
}

std::string value_of(rule::Truth truth) {
  switch (truth) {
    case rule::Truth::True: return "true";
    case rule::Truth::False: return "false";
    case rule::Truth::NotYet: return "init";
  }
  return "";
}

void sooner(std::optional<Duration>& recheck, MonoTime at, MonoTime now) {
  const Duration after = at > now ? at - now : Duration{0};
  if (!recheck || after < *recheck) recheck = after;
}

rule::Known known_of(const Observed& observed) {
  const auto values = [&observed](bool remote) -> const std::map<std::string, std::string>& {
    return remote ? observed.remote : observed.local;
  };
  const auto key = [](const rule::Resource& resource) { return resource.of_class + "." + resource.id; };
  return {.state = [=](const rule::Resource& resource) -> std::optional<rule::State> {
            const auto found = values(resource.remote).find(key(resource));
            if (found == values(resource.remote).end()) return std::nullopt;
            return rule::state_of(found->second);
          },
          .ids =
              [=](bool remote, const std::string& of_class) {
                std::vector<std::string> ids;
                const std::string begin = of_class + ".";
                const auto& all = values(remote);
                for (auto one = all.lower_bound(begin); one != all.end() && one->first.starts_with(begin);
                     ++one) {
                  ids.push_back(one->first.substr(begin.size()));
                }
                return ids;
              }};
}

bool is_awaited(const rule::Verdict& verdict, const Observed& observed) {
  return std::ranges::any_of(verdict.because, [&](const rule::Seen& seen) {
    return !seen.resource.remote && observed.awaited.contains(text_of(seen.resource));
  });
}

status::RuleVerdict told(const rule::Rule& rule, const rule::Verdict& verdict) {
  status::RuleVerdict told{.condition = text_of(rule.condition),
                           .action = std::string{name_of(rule.action)},
                           .holds = std::string{text_of(verdict.truth)}};
  for (const rule::Seen& seen : verdict.because) {
    told.because.push_back(fmt::format("{} is {}", text_of(seen.resource), name_of(seen.state)));
  }
  return told;
}

void switch_off(const rule::Rule& rule, const Memory& before, Plan& plan) {
  if (!before.off.contains(rule.label)) plan.begun.push_back(rule.label);
  plan.memory.off.insert(rule.label);
  plan.verdicts.emplace(rule.label, status::RuleVerdict{.condition = text_of(rule.condition),
                                                        .action = std::string{name_of(rule.action)},
                                                        .holds = "is switched off",
                                                        .because = {"usersetting.checker is off"}});
  plan.shown.emplace("rule." + rule.label, "off");
}

/// True long enough to count.
bool counts(const State& state, const Desired& desired, MonoTime now) {
  return state.truth == rule::Truth::True && now - state.since >= desired.hold;
}

void request(const rule::Rule& rule, MonoTime now, std::uint64_t floor, Plan& plan) {
  Memory& memory = plan.memory;
  const bool same = memory.request && memory.request->by == rule.label;
  if (!same || !memory.requested || now >= *memory.requested + kRepeat) {
    memory.last_request = std::max(memory.last_request + 1, floor);
    memory.requested = now;
    memory.request = status::ActionRequest{.id = memory.last_request,
                                           .action = std::string{name_of(rule.action)},
                                           .by = rule.label,
                                           .from_rule = true};
  }
  sooner(plan.recheck_after, *memory.requested + kRepeat, now);
}

}  // namespace

Plan decide(const Desired& desired, const Observed& observed, const Memory& before, MonoTime now,
            std::uint64_t request_floor) {
  Plan plan{.memory = before};
  plan.memory.states.clear();
  plan.memory.off.clear();
  const rule::Known known = known_of(observed);
  const rule::Rule* worst = nullptr;
  for (const rule::Rule& rule : desired.rules) {
    if (rule.of_checkers && !observed.checkers) {
      switch_off(rule, before, plan);
      continue;
    }
    const rule::Verdict verdict = rule::evaluate(rule.condition, known);
    const auto was = before.states.find(rule.label);
    const bool is_new = was == before.states.end() || was->second.truth != verdict.truth;
    if (is_new) plan.begun.push_back(rule.label);
    const State state = is_new ? State{verdict.truth, now} : was->second;
    plan.memory.states.emplace(rule.label, state);
    plan.verdicts.emplace(rule.label, told(rule, verdict));
    plan.shown.emplace("rule." + rule.label, value_of(verdict.truth));
    const bool is_held_back = state.truth == rule::Truth::True && !counts(state, desired, now);
    if (is_held_back) sooner(plan.recheck_after, state.since + desired.hold, now);
    if (rule.action == rule::Action::Wait) {
      const bool open = is_held_back || (state.truth == rule::Truth::NotYet && is_awaited(verdict, observed));
      plan.wait_rule_init = plan.wait_rule_init || open;
      if (counts(state, desired, now)) plan.wait_rules_true.push_back(rule.label);
    } else if (counts(state, desired, now) &&
               (worst == nullptr || severity(rule.action) > severity(worst->action))) {
      worst = &rule;
    }
  }
  if (worst != nullptr) {
    request(*worst, now, request_floor, plan);
  } else {
    plan.memory.request.reset();
    plan.memory.requested.reset();
  }
  return plan;
}

}  // namespace safekit::failover
