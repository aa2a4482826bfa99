#include "datapath/replica/copy_look.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "datapath/replica/tree_call.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {

namespace {

std::uint16_t differs_of(const Error& error) {
  if (error.code == Code::NotFound) return wire::kMissing;
  return error.code == Code::Conflict ? wire::kKind : wire::kUnreadable;
}

}  // namespace

wire::VerifyAnswer compare_names(std::vector<NamedType> listed, std::vector<NamedType> here) {
  std::ranges::sort(listed);
  std::ranges::sort(here);
  wire::VerifyAnswer answer;
  const auto note = [&](const std::string& name, std::uint16_t differs) {
    answer.more_names = answer.names.size() >= wire::kVerifyNamesMax;
    if (!answer.more_names) answer.names.emplace_back(name, differs);
  };
  auto mine = here.cbegin();
  for (auto wanted = listed.cbegin(); !answer.more_names && (wanted != listed.cend() || mine != here.cend());) {
    if (mine == here.cend() || (wanted != listed.cend() && wanted->first < mine->first)) {
      note((wanted++)->first, wire::kMissing);
    } else if (wanted == listed.cend() || mine->first < wanted->first) {
      note((mine++)->first, wire::kAdditional);
    } else {
      if (wanted->second != mine->second) note(wanted->first, wire::kKind);
      ++wanted;
      ++mine;
    }
  }
  return answer;
}

std::uint16_t compare_inode(const wire::VerifyState& wanted, const InodeLook& here) {
  const wire::Attributes& there = wanted.attributes;
  const wire::Attributes& mine = here.attributes;
  const mode_t type = there.mode & S_IFMT;
  if (type != (mine.mode & S_IFMT)) return wire::kKind;
  unsigned differs = 0;
  if (there.mode != mine.mode) differs |= wire::kMode;
  if (there.uid != mine.uid || there.gid != mine.gid) differs |= wire::kOwner;
  if (S_ISREG(type) && there.size != mine.size) differs |= wire::kSize;
  if (wanted.with_mtime && there.mtime != mine.mtime) differs |= wire::kMtime;
  if (S_ISLNK(type) && wanted.link_target != here.link_target) differs |= wire::kTarget;
  if ((S_ISCHR(type) || S_ISBLK(type)) && there.device != mine.device) differs |= wire::kDevice;
  if (wanted.xattrs != here.xattrs) differs |= wire::kXattrs;
  return static_cast<std::uint16_t>(differs);
}

Result<Fd> CopyLook::find(const wire::TreePath& at) const {
  if (at.root >= applier_.binding().root_count()) return Error{Code::NotFound, "unknown replicated directory"};
  return open_beneath(applier_.binding().root_fd(at.root), at.path);
}

std::optional<wire::VerifyAnswer> CopyLook::names(wire::VerifyNames&& names) {
  if (pending_.at != names.at) pending_ = {.at = names.at};
  std::ranges::move(names.entries, std::back_inserter(pending_.entries));
  if (!names.last) return std::nullopt;
  wire::VerifyNames whole = std::exchange(pending_, {});
  auto here = entries_here(whole);
  if (!here) return wire::VerifyAnswer{.differs = differs_of(here.error())};
  return compare_names(std::move(whole.entries), std::move(*here));
}

/// But for what is not replicated, or on its way to become so.
Result<std::vector<NamedType>> CopyLook::entries_here(const wire::VerifyNames& names) const {
  SK_TRY(const Fd fd, find(names.at));
  const Fd directory{::openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) return system_error("open directory", errno == ENOTDIR ? EEXIST : errno);
  SK_TRY(const auto entries, tree::entries_of(directory.get()));
  const Exclusion& rules = applier_.exclusion(names.at.root);
  std::vector<NamedType> here;
  for (const std::string& name : entries) {
    struct stat st {};
    if (::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return system_error("stat", errno);
    }
    const bool staged = names.at.path.empty() && name.starts_with(kStagedPrefix);
    if (staged || (!rules.empty() && rules.excludes(names.at.path, name, S_ISDIR(st.st_mode)))) continue;
    here.emplace_back(name, st.st_mode & S_IFMT);
  }
  return here;
}

wire::VerifyAnswer CopyLook::state(const wire::VerifyState& wanted) const {
  const auto look = [&]() -> Result<InodeLook> {
    SK_TRY(const Fd fd, find(wanted.at));
    InodeLook here;
    SK_TRY(here.attributes, tree::attributes_of(fd.get()));
    if (S_ISLNK(here.attributes.mode)) {
      SK_TRY(here.link_target, tree::link_target(fd.get(), ""));
    }
    SK_TRY(here.xattrs, tree::xattrs_of(fd.get()));
    return here;
  };
  const auto here = look();
  return {.differs = here ? compare_inode(wanted, *here) : differs_of(here.error())};
}

Result<SharedFd> CopyLook::file(const wire::TreePath& at) const {
  SK_TRY(const Fd fd, find(at));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return system_error("stat", errno);
  if (!S_ISREG(st.st_mode)) return Error{Code::Conflict, "no file"};
  Fd opened{::open(tree::proc_path(fd.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOATIME)};
  if (!opened) return system_error("open", errno);
  return std::make_shared<const Fd>(std::move(opened));
}

wire::VerifyAnswer compare_zones(const Result<SharedFd>& file, const wire::VerifyZones& wanted, std::uint32_t zone_bytes) {
  if (!file) return {.differs = differs_of(file.error())};
  const auto own = resync::digest_zones((*file)->get(), zone_bytes, wanted.first, wanted.digests.size());
  if (!own) return {.differs = wire::kUnreadable};
  wire::VerifyAnswer answer;
  for (std::uint32_t i = 0; i < wanted.digests.size(); ++i) {
    if ((*own)[i] != wanted.digests[i]) answer.zones.push_back(i);
  }
  return answer;
}

}  // namespace safekit::replica
