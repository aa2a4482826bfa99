#include "controllers/replication/policy.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include <fmt/format.h>

namespace safekit::replication {

namespace {

using Mode = control::SyncPolicy::Mode;

constexpr std::size_t kUidMax = 24;
constexpr std::string_view kUidCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";

Status check_uid(const std::string& uid) {
  if (!uid.empty() && uid.size() <= kUidMax && uid.find_first_not_of(kUidCharacters) == std::string::npos) return {};
  return Error{Code::Invalid, fmt::format("a uid has 1 to {} letters, digits and . _ : -; '{}' is none", kUidMax, uid)};
}

bool is_open(const control::SyncPolicy& policy, const control::Report& report) {
  switch (policy.mode) {
    case Mode::Default: return false;
    case Mode::Full: return report.full_wanted;
    case Mode::BackupPrimary:
    case Mode::BackupSecondary: return report.backup == policy.uid;
    case Mode::Date: return !report.up_to_date;
  }
  return false;
}

}  // namespace

Result<Policy> choose_policy(std::string_view argument, status::Role role, WallTime wall, MonoTime mono, std::uint64_t operation) {
  std::istringstream in{std::string{argument}};
  std::string word;
  std::string value;
  std::string last;
  in >> word >> value >> last;
  Policy policy{.chosen = {.number = static_cast<std::uint64_t>(wall.ns), .chosen = wall.ns, .setting = wall.ns - mono.ns}};
  if (word == "default" || word == "full") {
    policy.chosen.mode = word == "full" ? Mode::Full : Mode::Default;
    return policy;
  }
  const bool stopped = role == status::Role::Stop;
  if (word == "date") {
    SK_TRY(const WallTime date, parse_wall_time(value));
    if (!stopped) return Error{Code::Conflict, "the module must be stopped on this node"};
    if (date.ns > wall.ns) {
      return Error{Code::Invalid, fmt::format("{} is in the future by this node's clock: no difference but of size and time would be found",
                                              value)};
    }
    policy.chosen.mode = Mode::Date;
    policy.chosen.chosen = date.ns;
    return policy;
  }
  if ((word != "prim" && word != "second") || (!last.empty() && last != "blind")) {
    return Error{Code::Invalid, fmt::format("'{}' is no way to synchronise", argument)};
  }
  SK_TRY_VOID(check_uid(value));
  policy.chosen.uid = value;
  policy.chosen.detect = last.empty();
  policy.chosen.mode = word == "prim" ? Mode::BackupPrimary : Mode::BackupSecondary;
  if (word == "second" && !stopped) {
    return Error{Code::Conflict, "the module must be stopped on this node: stop it, restore the backup, then say it again"};
  }
  if (word == "prim" && !stopped && role != status::Role::Alone) {
    return Error{Code::Conflict, fmt::format("this node is {}; it must be ALONE, or the module stopped: stop it on the other node first",
                                             status::to_string(role))};
  }
  if (!stopped) policy.operation = operation;
  return policy;
}

PolicyStep step_policy(const Policy& policy, const control::Report& report) {
  PolicyStep step{.next = policy};
  if (policy.chosen.number == 0 || report.policy != policy.chosen.number) return step;
  const bool open = is_open(policy.chosen, report);
  std::string refused = report.policy_refused;
  if (refused.empty() && policy.operation != 0 && !open) refused = "the replication process has ended meanwhile; try again";
  if (policy.operation != 0) step.outcome = refused.empty() ? "done" : refused;
  step.next.operation = 0;
  if (!refused.empty()) {
    step.next = {};
    step.line = fmt::format("The chosen synchronisation cannot be applied: {}; the next one is made as usual", refused);
  } else if (!open) {
    step.next = {};
    if (policy.chosen.mode != Mode::Default) step.line = "The next synchronisation is made as usual again";
  }
  return step;
}

void show_policy(const Policy& policy, const control::Report* report, status::ReplicationSection& section) {
  const control::SyncPolicy& chosen = policy.chosen;
  const bool backup = chosen.mode == Mode::BackupPrimary || chosen.mode == Mode::BackupSecondary;
  if (backup) {
    section.sync_mode = "external";
    section.sync_role = chosen.mode == Mode::BackupPrimary ? "prim" : "second";
    section.sync_uid = chosen.uid;
  } else if (chosen.mode == Mode::Date) {
    section.sync_mode = "date";
    section.sync_role = "second";
    section.sync_uid = to_string(WallTime{chosen.chosen});
  } else if (chosen.mode == Mode::Full || (report != nullptr && report->full_wanted)) {
    section.sync_mode = "full";
  }
  section.sync_ready = policy.operation == 0;
}

std::string encode(const Policy& policy) {
  const control::SyncPolicy& chosen = policy.chosen;
  return fmt::format("1 {} {} {} {} {} {} {}", chosen.number, static_cast<int>(chosen.mode), chosen.detect ? 1 : 0, chosen.chosen,
                     chosen.setting, policy.operation, chosen.uid.empty() ? "-" : chosen.uid);
}

Policy decode_policy(const std::string& text) {
  std::istringstream in{text};
  int version = 0;
  int mode = 0;
  int detect = 0;
  Policy policy;
  control::SyncPolicy& chosen = policy.chosen;
  in >> version >> chosen.number >> mode >> detect >> chosen.chosen >> chosen.setting >> policy.operation >> chosen.uid;
  if (!in || version != 1 || mode < 0 || mode > static_cast<int>(Mode::Date)) return {};
  chosen.mode = static_cast<Mode>(mode);
  chosen.detect = detect == 1;
  if (chosen.uid == "-") chosen.uid.clear();
  return policy;
}

}  // namespace safekit::replication
