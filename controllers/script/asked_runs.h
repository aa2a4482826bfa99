#pragma once

#include <functional>
#include <optional>
#include <string>

#include "schema/base/result.h"
#include "schema/status/module.h"

/// Scripts that a person asks for: `confcheck`, `state`, `level`, and the application by hand (AM_start_wrapper, AM_stop_wrapper) while
/// the module is stopped: its addresses are set, then its start script is run; its stop script is run, then they are unset
/// (spec/runtime.md 2.7).
namespace safekit::script {

enum class AskedKind { ConfCheck, State, Level, Start, Stop };
[[nodiscard]] std::optional<AskedKind> parse_asked(std::string_view word);  ///< `confcheck state level start stop`

/// How far one is.
struct Asked {
  enum class Phase { SetAddresses, Script, UnsetAddresses, Over };
  AskedKind kind{AskedKind::State};
  Phase phase{Phase::Over};
  std::string script{};   ///< empty: the module has none
  int exit_code{0};
  std::string output_file{};
  std::string problem{};  ///< why it was not run, or its addresses are not as they are to be
  friend bool operator==(const Asked&, const Asked&) = default;
};

/// What is to be done next about one that is not over.
enum class AskedStep { Wait, RunScript, ReleaseAddresses, End, Fail };
[[nodiscard]] AskedStep next_step(const Asked& asked, bool script_is_over, const status::AddressSection& addresses);

/// Which script a kind means. `exists` tells whether the module has one of that name.
[[nodiscard]] std::string script_of(AskedKind kind, const std::function<bool(const std::string&)>& exists);

/// Why it cannot be done now; empty: it can.
[[nodiscard]] std::string refusal_of(AskedKind kind, const status::Module& seen);

}  // namespace safekit::script
