#include "datapath/replica/inspection.h"

#include <array>
#include <map>

namespace safekit::replica {

namespace {

constexpr std::array kDiffersNames{
    std::pair{wire::kMissing, "missing on the secondary"}, std::pair{wire::kAdditional, "only on the secondary"},
    std::pair{wire::kKind, "type"},     std::pair{wire::kMode, "mode"},         std::pair{wire::kOwner, "owner"},
    std::pair{wire::kSize, "size"},     std::pair{wire::kMtime, "mtime"},       std::pair{wire::kTarget, "link target"},
    std::pair{wire::kDevice, "device"}, std::pair{wire::kXattrs, "xattrs"},     std::pair{wire::kContent, "content"},
    std::pair{wire::kUnreadable, "unreadable on the secondary"}};

constexpr unsigned kOfEntry = wire::kMissing | wire::kAdditional | wire::kKind | wire::kTarget | wire::kDevice | wire::kUnreadable;
constexpr unsigned kOfContent = wire::kContent | wire::kSize;

}  // namespace

std::string differs_text(std::uint16_t differs) {
  std::string text;
  for (const auto& [bit, name] : kDiffersNames) {
    if ((differs & bit) != 0) text += (text.empty() ? "" : ", ") + std::string{name};
  }
  return text;
}

std::vector<wire::ActiveEntry> to_entries(const std::vector<CopyDifference>& differences) {
  std::vector<wire::ActiveEntry> entries;
  std::map<std::pair<std::uint32_t, std::string>, std::size_t> parents;
  for (const CopyDifference& difference : differences) {
    const wire::TreePath& at = difference.at;
    if (at.path.empty() || (difference.differs & kOfEntry) == 0) {
      wire::ActiveEntry& entry = entries.emplace_back(wire::ActiveEntry{.at = at, .attributes = true});
      if ((difference.differs & kOfContent) != 0) entry.groups_from = 0;
      continue;
    }
    const std::size_t slash = at.path.rfind('/');
    const std::string above = slash == std::string::npos ? "" : at.path.substr(0, slash);
    const auto [found, is_new] = parents.try_emplace({at.root, above}, entries.size());
    if (is_new) entries.push_back({.at = {at.root, above}, .attributes = true, .names = true});
    entries[found->second].trees.push_back(slash == std::string::npos ? at.path : at.path.substr(slash + 1));
  }
  return entries;
}

}  // namespace safekit::replica
