#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "schema/base/time.h"

namespace safekit::status {

/// States of a module on one node (spec/runtime.md 1.1). Mirror: all but Up. Farm and light: Stop, Wait, Up.
enum class Role { Stop, Wait, Alone, Prim, Second, Up };
/// NotReady: blocked or stopped, nothing happens without an event. Transient: working. Ready: stable.
enum class Readiness { NotReady, Transient, Ready };

[[nodiscard]] std::string_view to_string(Role role);            ///< `STOP` ... `UP`
[[nodiscard]] std::string_view to_string(Readiness readiness);  ///< `NotReady` ...
[[nodiscard]] std::optional<Role> parse_role(std::string_view text);
[[nodiscard]] std::optional<Readiness> parse_readiness(std::string_view text);

/// Exit code of `safekit state -lq`: STOP 0, WAIT 1, ALONE 2, UP 2, PRIM 3, SECOND 4.
[[nodiscard]] int exit_code(Role role);

/// The application runs here, or is meant to: ALONE, PRIM or UP.
[[nodiscard]] constexpr bool is_serving(Role role) {
  return role == Role::Alone || role == Role::Prim || role == Role::Up;
}

}  // namespace safekit::status
