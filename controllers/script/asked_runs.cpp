#include "controllers/script/asked_runs.h"

#include <array>

#include <fmt/format.h>

namespace safekit::script {
namespace {

struct Word {
  std::string_view word{};
  AskedKind kind{};
};
constexpr std::array kWords{Word{"confcheck", AskedKind::ConfCheck}, Word{"state", AskedKind::State}, Word{"level", AskedKind::Level},
                            Word{"start", AskedKind::Start}, Word{"stop", AskedKind::Stop}};

}  // namespace

std::optional<AskedKind> parse_asked(std::string_view word) {
  for (const Word& one : kWords) {
    if (one.word == word) return one.kind;
  }
  return std::nullopt;
}

std::string script_of(AskedKind kind, const std::function<bool(const std::string&)>& exists) {
  const auto first_of = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (exists(name)) return std::string{name};
    }
    return std::string{};
  };
  switch (kind) {
    case AskedKind::ConfCheck: return first_of({"confcheck"});
    case AskedKind::State: return first_of({"state"});
    case AskedKind::Level: return first_of({"level"});
    case AskedKind::Start: return first_of({"start_prim", "start_both"});
    case AskedKind::Stop: return first_of({"stop_prim", "stop_both"});
  }
  return {};
}

std::string refusal_of(AskedKind kind, const status::Module& seen) {
  const bool by_hand = kind == AskedKind::Start || kind == AskedKind::Stop;
  if (!by_hand || seen.role.role == status::Role::Stop) return {};
  return fmt::format("the module is {}, and its application is the module's matter: stop it first (safekit stop)",
                     status::to_string(seen.role.role));
}

AskedStep next_step(const Asked& asked, bool script_is_over, const status::AddressSection& addresses) {
  switch (asked.phase) {
    case Asked::Phase::SetAddresses:
      if (addresses.all_set) return AskedStep::RunScript;
      return addresses.problem.empty() ? AskedStep::Wait : AskedStep::Fail;
    case Asked::Phase::Script:
      if (!script_is_over) return AskedStep::Wait;
      return asked.kind == AskedKind::Stop ? AskedStep::ReleaseAddresses : AskedStep::End;
    case Asked::Phase::UnsetAddresses:
      if (addresses.all_unset) return AskedStep::End;
      return addresses.problem.empty() ? AskedStep::Wait : AskedStep::Fail;
    case Asked::Phase::Over: return AskedStep::Wait;
  }
  return AskedStep::Wait;
}

}  // namespace safekit::script
