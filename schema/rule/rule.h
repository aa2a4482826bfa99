#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

/// Failover rules: conditions on the states of resources, and what is to be done when one holds. Source:
/// spec/runtime.md 3.2.
namespace safekit::rule {

/// `Other`: a resource that carries no state but a text or number (`usersetting.boot` is `on`); it equals no
/// state.
enum class State : std::uint8_t { Init, Down, Up, Unknown, Other };
[[nodiscard]] std::string_view name_of(State state);
/// Of the value of a resource.
[[nodiscard]] State state_of(std::string_view value);

enum class Action : std::uint8_t { Stop, StopStart, Wait, Restart, Swap };
[[nodiscard]] std::string_view name_of(Action action);

/// `tcp.web`, `remote.heartbeat.*`. An id `?` means any resource of the class, `*` all of them.
struct Resource {
  bool remote{false};
  std::string of_class{};
  std::string id{};
  friend bool operator==(const Resource&, const Resource&) = default;
};
[[nodiscard]] std::string text_of(const Resource& resource);

struct Condition;
/// Conditions own what they are made of; a copy shares it, for it never changes.
using ConditionRef = std::shared_ptr<const Condition>;

/// `resource == state`, `state == resource`, `resource == resource`, and the same with `!=`. A resource that
/// stands alone is compared with `up`.
struct Comparison {
  Resource left{};
  std::variant<State, Resource> right{State::Up};
  bool equal{true};
  friend bool operator==(const Comparison&, const Comparison&) = default;
};
struct Not {
  ConditionRef operand{};
};
struct AllOf {
  std::vector<ConditionRef> operands{};
};
struct AnyOf {
  std::vector<ConditionRef> operands{};
};
struct Condition {
  std::variant<Comparison, Not, AllOf, AnyOf> is{};
};
/// As it may be written again.
[[nodiscard]] std::string text_of(const Condition& condition);

struct Rule {
  std::string label{};  ///< names it in logs and in WAIT
  Condition condition{};
  Action action{Action::Wait};
  bool of_checkers{false};  ///< of the group `checker`: `checker off` switches it off
};
[[nodiscard]] std::string text_of(const Rule& rule);

/// Every resource that a condition names, in order, each once.
[[nodiscard]] std::vector<Resource> resources_of(const Condition& condition);

}  // namespace safekit::rule
