#include "schema/rule/evaluate.h"

#include <algorithm>

namespace safekit::rule {
namespace {

Truth opposite(Truth truth) {
  return truth == Truth::NotYet ? truth : truth == Truth::True ? Truth::False : Truth::True;
}

void add(std::vector<Seen>& to, const std::vector<Seen>& more) {
  for (const Seen& seen : more) {
    if (std::ranges::find(to, seen) == to.end()) to.push_back(seen);
  }
}

/// Where one is enough (`decides`), those that are so decide; else those that stand in the way of it, or all.
Verdict combined(const std::vector<Verdict>& parts, Truth decides) {
  Verdict verdict{.truth = opposite(decides), .because = {}};
  for (const Verdict& part : parts) {
    if (part.truth == decides) verdict.truth = decides;
    if (part.truth == Truth::NotYet && verdict.truth != decides) verdict.truth = Truth::NotYet;
  }
  for (const Verdict& part : parts) {
    if (part.truth == verdict.truth) add(verdict.because, part.because);
  }
  return verdict;
}

Verdict compared(const Seen& left, const Seen* right, State with, bool equal) {
  Verdict verdict{.truth = Truth::False, .because = {left}};
  if (right != nullptr) add(verdict.because, {*right});
  const bool asks_init = right == nullptr && with == State::Init;
  if ((left.state == State::Init || with == State::Init) && !asks_init) {
    verdict.truth = Truth::NotYet;
  } else {
    // What carries no state equals none, and differs from each.
    const bool same = left.state == with && with != State::Other;
    verdict.truth = same == equal ? Truth::True : Truth::False;
  }
  return verdict;
}

Seen seen(const Resource& resource, const Known& known) {
  return {resource, known.state(resource).value_or(resource.remote ? State::Unknown : State::Init)};
}

bool is_group(const Resource& resource) {
  return resource.id == "?" || resource.id == "*";
}

std::vector<Resource> members(const Resource& group, const Known& known) {
  std::vector<Resource> found;
  for (std::string& id : known.ids(group.remote, group.of_class))
    found.push_back({group.remote, group.of_class, std::move(id)});
  return found;
}

Verdict evaluate_comparison(const Comparison& comparison, const Known& known) {
  const auto each_of = [&](const Resource& group, const auto& judge) {
    std::vector<Verdict> parts;
    for (const Resource& member : members(group, known)) parts.push_back(judge(member));
    if (parts.empty()) return Verdict{};
    return combined(parts, group.id == "?" ? Truth::True : Truth::False);
  };
  const auto with_right = [&](const Resource& left) -> Verdict {
    const auto* right = std::get_if<Resource>(&comparison.right);
    if (right == nullptr)
      return compared(seen(left, known), nullptr, std::get<State>(comparison.right), comparison.equal);
    const auto judge = [&](const Resource& one) {
      const Seen other = seen(one, known);
      return compared(seen(left, known), &other, other.state, comparison.equal);
    };
    return is_group(*right) ? each_of(*right, judge) : judge(*right);
  };
  return is_group(comparison.left) ? each_of(comparison.left, with_right) : with_right(comparison.left);
}

}  // namespace

Verdict evaluate(const Condition& condition, const Known& known) {
  if (const auto* comparison = std::get_if<Comparison>(&condition.is))
    return evaluate_comparison(*comparison, known);
  if (const auto* negated = std::get_if<Not>(&condition.is)) {
    Verdict verdict = evaluate(*negated->operand, known);
    verdict.truth = opposite(verdict.truth);
    return verdict;
  }
  const auto* all = std::get_if<AllOf>(&condition.is);
  std::vector<Verdict> parts;
  for (const ConditionRef& operand :
       all != nullptr ? all->operands : std::get<AnyOf>(condition.is).operands) {
    parts.push_back(evaluate(*operand, known));
  }
  return combined(parts, all != nullptr ? Truth::False : Truth::True);
}

}  // namespace safekit::rule
