#include "controllers/script/leftovers.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

namespace safekit::script {

std::vector<std::string> Leftovers::options_of(const std::string& run) {
  if (groups_ == nullptr || !groups_->problem().empty() || !groups_->make(run)) return {};
  return {"--group", groups_->directory(run)};
}

std::string Leftovers::problem() const { return groups_ == nullptr ? std::string{} : groups_->problem(); }

bool Leftovers::any(const std::string& module) const { return groups_ != nullptr && groups_->is_populated(module); }

std::string Leftovers::names(const std::string& module) const {
  const auto pids = groups_ == nullptr ? std::vector<std::int32_t>{} : groups_->processes(module);
  const auto all = processes_.list();
  if (!all) return fmt::format("{} processes", pids.size());
  std::string text;
  std::size_t count = 0;
  for (const ProcessInfo& process : *all) {
    if (std::ranges::find(pids, process.identity.pid) == pids.end()) continue;
    if (++count <= kNamesMax) text += fmt::format("{}{} (pid {})", text.empty() ? "" : ", ", process.command, process.identity.pid);
  }
  return count > kNamesMax ? fmt::format("{} and {} more", text, count - kNamesMax) : text;
}

void Leftovers::terminate(const std::string& module) {
  if (groups_ == nullptr) return;
  const auto pids = groups_->processes(module);
  const auto all = processes_.list();
  if (!all) return;
  for (const ProcessInfo& process : *all) {
    // Who has ended meanwhile is fine, and who cannot be signalled is killed by the group.
    if (std::ranges::find(pids, process.identity.pid) != pids.end()) (void)processes_.signal(process.identity, SIGTERM);
  }
}

Status Leftovers::kill(const std::string& name) { return groups_ == nullptr ? Status{} : groups_->kill(name); }

void Leftovers::tidy(const std::string& module, const std::set<std::string>& kept) {
  if (groups_ != nullptr) groups_->tidy(module, kept);
}

}  // namespace safekit::script
