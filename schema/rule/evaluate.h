#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schema/rule/rule.h"

namespace safekit::rule {

/// `NotYet`: it depends on a resource that has no value yet (`init`): such a rule does nothing, and a `wait`
/// rule holds the module in WAIT until it is known (spec/runtime.md 3.3).
enum class Truth : std::uint8_t { False, True, NotYet };

/// One resource as it is now.
struct Seen {
  Resource resource{};  ///< never `?` or `*`
  State state{State::Init};
  friend bool operator==(const Seen&, const Seen&) = default;
};

/// What is known of resources.
struct Known {
  /// Of one resource; nothing: there is none of this name.
  std::function<std::optional<State>(const Resource&)> state{};
  /// Ids of a class, in the order in which they shall be told.
  std::function<std::vector<std::string>(bool remote, const std::string& of_class)> ids{};
};

struct Verdict {
  Truth truth{Truth::False};
  std::vector<Seen>
      because{};  ///< the resources that decide it, each once: those without which it might be otherwise
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

/// A resource that there is not counts as `init`, on the other node as `unknown`. `?` of a class without
/// resources is false, and so is `*`: of no resource nothing is to be concluded. Only a comparison with
/// `init` itself is true or false while a resource is `init`. Total. Source: spec/runtime.md 3.2, 3.3.
[[nodiscard]] Verdict evaluate(const Condition& condition, const Known& known);

}  // namespace safekit::rule
