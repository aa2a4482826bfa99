#include "datapath/exclusions.h"

#include <fcntl.h>

#include <cerrno>

#include "datapath/linux/fd.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"

namespace safekit {

namespace {

Status remove_staged(const std::string& path) {
  const Fd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) return replica::system_error(fmt::format("open '{}'", path), errno);
  SK_TRY(const auto names, replica::tree::entries_of(directory.get()));
  for (const std::string& name : names) {
    if (name.starts_with(replica::kStagedPrefix)) SK_TRY_VOID(replica::tree::remove_all(directory.get(), name));
  }
  return {};
}

}  // namespace

Result<replica::Exclusions> exclusions_of(const control::Configure& configure) {
  replica::Exclusions exclusions;
  bool any = false;
  for (const auto& directory : configure.directories) {
    std::vector<replica::ExclusionRule> rules;
    for (const auto& rule : directory.not_replicated) rules.push_back({rule.path, rule.regex});
    SK_TRY(auto compiled, replica::Exclusion::compile(rules));
    exclusions.push_back(std::move(compiled));
    any = any || !rules.empty();
  }
  if (!any) exclusions.clear();
  return exclusions;
}

Status keep_rules(const replica::Exclusions& exclusions, const control::Configure& configure, journal::Journal& journal) {
  const std::uint64_t digest = replica::digest_of(exclusions);
  SK_TRY(const std::uint64_t before, journal.rules());
  if (before != digest) {
    SK_TRY_VOID(journal.update([](journal::State& state) { state.full_wanted = state.full_wanted || state.ever_synchronised; }));
    SK_TRY_VOID(journal.keep_rules(digest));
  }
  if (exclusions.empty()) return {};
  for (const auto& directory : configure.directories) SK_TRY_VOID(remove_staged(directory.path));
  return {};
}

}  // namespace safekit
