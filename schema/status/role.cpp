#include "schema/status/role.h"

#include <array>

namespace safekit::status {
namespace {
constexpr std::array<std::string_view, 6> kRoles{"STOP", "WAIT", "ALONE", "PRIM", "SECOND", "UP"};
constexpr std::array<std::string_view, 3> kReadiness{"NotReady", "Transient", "Ready"};
constexpr std::array<int, 6> kExitCodes{0, 1, 2, 3, 4, 2};
}  // namespace

std::string_view to_string(Role role) { return kRoles[static_cast<std::size_t>(role)]; }
std::string_view to_string(Readiness readiness) { return kReadiness[static_cast<std::size_t>(readiness)]; }

std::optional<Role> parse_role(std::string_view text) {
  for (std::size_t i = 0; i < kRoles.size(); ++i) {
    if (kRoles[i] == text) return static_cast<Role>(i);
  }
  return std::nullopt;
}

std::optional<Readiness> parse_readiness(std::string_view text) {
  for (std::size_t i = 0; i < kReadiness.size(); ++i) {
    if (kReadiness[i] == text) return static_cast<Readiness>(i);
  }
  return std::nullopt;
}

int exit_code(Role role) { return kExitCodes[static_cast<std::size_t>(role)]; }

}  // namespace safekit::status
