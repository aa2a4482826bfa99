#include "datapath/replica/lost_keeper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace safekit::replica {

namespace {

using lost::Range;

std::string link_of(int fd) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlink(tree::proc_path(fd).c_str(), target.data(), target.size());
  return size < 0 ? std::string{} : std::string{target.data(), static_cast<std::size_t>(size)};
}

std::string below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

lost::Kind kind_of(std::uint32_t mode) {
  if (S_ISREG(mode)) return lost::Kind::File;
  if (S_ISDIR(mode)) return lost::Kind::Directory;
  return S_ISLNK(mode) ? lost::Kind::Link : lost::Kind::Special;
}

std::uint32_t root_in(const HandleKey& key) {
  const auto handle = from_key(key);
  return handle ? handle->root : 0;
}

/// What is gone already has nothing to lose; anything else stops the synchronisation.
Status unless_gone(const Error& error) {
  if (error.code == Code::NotFound) return {};
  return Error{Code::Io, "what this copy alone has cannot be set aside: " + error.what};
}

bool same_owner_and_mode(const wire::Attributes& a, const wire::Attributes& b, std::uint32_t mask) {
  using wire::SetAttributes;
  constexpr std::uint32_t kPermissions = 07777;
  const bool owner = (mask & SetAttributes::kOwner) == 0 || (a.uid == b.uid && a.gid == b.gid);
  const bool mode = (mask & SetAttributes::kMode) == 0 || S_ISLNK(a.mode) || ((a.mode ^ b.mode) & kPermissions) == 0;
  // A directory's time follows from what the synchronisation itself has done in it.
  const bool time = (mask & SetAttributes::kMtime) == 0 || S_ISDIR(a.mode) || a.mtime == b.mtime;
  return owner && mode && time;
}

}  // namespace

Result<std::unique_ptr<LostKeeper>> LostKeeper::make(Options options, const Clock& clock) {
  std::unique_ptr<LostKeeper> keeper{new LostKeeper{std::move(options), clock}};
  Options& given = keeper->options_;
  given.head.begun = clock.wall_now();
  given.head.only_own = given.own_is_whole && given.own && !given.own->overflown();
  SK_TRY(keeper->writer_, lost::SetWriter::open(given.directory, given.quota, given.head));
  const bool only_own = keeper->writer_->before().head.only_own && given.own && !given.own->overflown();
  keeper->own_ = lost::Own{only_own ? std::move(given.own) : std::nullopt};
  for (const int root : given.roots) keeper->prefixes_.push_back(link_of(root));
  keeper->recall();
  return keeper;
}

/// What an earlier attempt has done: it is not ours any more.
void LostKeeper::recall() {
  for (const lost::Entry& entry : writer_->before().entries) {
    if (entry.item.kind == lost::Kind::Absent) continue;
    Seen& seen = seen_[entry.item.handle];
    seen.item = entry.item.number;
    seen.noted = true;
    seen.removed = entry.removed;
    seen.attributes = entry.item.attributes;
    for (const lost::Piece& piece : entry.pieces) seen.done.add({piece.offset, piece.offset + piece.size});
  }
}

std::string LostKeeper::path_of(std::uint32_t root, int directory) const {
  std::string path = link_of(directory);
  const std::string prefix = root < prefixes_.size() ? prefixes_[root] : std::string{};
  if (prefix.size() > 1 && path.starts_with(prefix)) path.erase(0, prefix.size());
  path.erase(0, path.find_first_not_of('/'));
  return path;
}

std::string LostKeeper::path_of(InodeId id, const HandleKey& key, int fd) const {
  const auto found = paths_.find(id.value);
  return found != paths_.end() ? found->second : path_of(root_in(key), fd);
}

Result<LostKeeper::Seen*> LostKeeper::look(const HandleKey& key, int fd) {
  const auto found = seen_.find(key);
  if (found != seen_.end()) return &found->second;
  SK_TRY(const auto attributes, tree::attributes_of(fd));
  Seen& seen = seen_[key];
  seen.attributes = attributes;
  return &seen;
}

Status LostKeeper::note(const HandleKey& key, Seen& seen, int fd, const std::string& path) {
  if (seen.noted) return {};
  lost::Item item{.kind = kind_of(seen.attributes.mode),
                  .handle = key,
                  .root = root_in(key),
                  .path = path,
                  .attributes = seen.attributes};
  if (auto xattrs = tree::xattrs_of(fd)) item.xattrs = std::move(*xattrs);
  if (item.kind == lost::Kind::Link) {
    if (auto target = tree::link_target(fd, "")) item.link_target = std::move(*target);
  }
  SK_TRY(seen.item, writer_->add(std::move(item)));
  seen.noted = true;
  return {};
}

Status LostKeeper::keep(Seen& seen, int fd, Range range) {
  SK_TRY_VOID(writer_->keep(seen.item, fd, range));
  seen.done.add(range);
  return {};
}

Status LostKeeper::content(InodeId id, const HandleKey& key, int fd, Range range, BytesView fresh) {
  if (is_made(key) || !own_.is_touched(key)) return {};
  const auto looked = look(key, fd);
  if (!looked) return unless_gone(looked.error());
  Seen& seen = **looked;
  // That it was shorter must be known to a second attempt: what comes behind its end is not this node's.
  if (!fresh.empty() && range.end > seen.attributes.size && !seen.noted) {
    SK_TRY_VOID(note(key, seen, fd, path_of(id, key, fd)));
  }
  Bytes old_bytes;
  for (const Range& open : seen.done.missing(lost::blocks_of(range, seen.attributes.size))) {
    for (const Range& own : own_.content(key, open)) {
      std::vector<Range> claims{own};
      if (!fresh.empty()) {
        old_bytes.resize(own.end - own.begin);
        const auto size = tree::read_at(fd, old_bytes, own.begin);
        // What cannot be read is told as unreadable by `keep`.
        if (size && *size == old_bytes.size()) claims = lost::changed_blocks(old_bytes, own.begin, fresh, range.begin);
      }
      for (const Range& claim : claims) {
        SK_TRY_VOID(note(key, seen, fd, seen.noted ? std::string{} : path_of(id, key, fd)));
        SK_TRY_VOID(keep(seen, fd, claim));
      }
    }
  }
  return {};
}

Status LostKeeper::attributes(InodeId id, const HandleKey& key, int fd, const wire::SetAttributes& op) {
  if (is_made(key) || !own_.is_touched(key)) return {};
  const auto looked = look(key, fd);
  if (!looked) return unless_gone(looked.error());
  if (same_owner_and_mode((*looked)->attributes, op.attributes, op.mask)) return {};
  return note(key, **looked, fd, path_of(id, key, fd));
}

Status LostKeeper::attributes(InodeId id, const HandleKey& key, int fd, const wire::InodeState& state) {
  using wire::SetAttributes;
  if (is_made(key) || !own_.is_touched(key)) return {};
  const auto looked = look(key, fd);
  if (!looked) return unless_gone(looked.error());
  Seen& seen = **looked;
  if (S_ISREG(seen.attributes.mode) && state.attributes.size < seen.attributes.size) {
    SK_TRY_VOID(content(id, key, fd, {state.attributes.size, UINT64_MAX}, {}));
  }
  constexpr std::uint32_t kAll = SetAttributes::kOwner | SetAttributes::kMode | SetAttributes::kMtime;
  bool same = same_owner_and_mode(seen.attributes, state.attributes, kAll) &&
              (!S_ISREG(seen.attributes.mode) || seen.attributes.size == state.attributes.size);
  if (same && !seen.noted) {
    const auto xattrs = tree::xattrs_of(fd);
    if (!xattrs) return unless_gone(xattrs.error());
    tree::Xattrs wanted = state.xattrs;
    std::ranges::sort(wanted);
    same = *xattrs == wanted;
  }
  return same ? Status{} : note(key, seen, fd, path_of(id, key, fd));
}

Status LostKeeper::xattr(InodeId id, const HandleKey& key, int fd, const wire::SetXattr& op) {
  if (is_made(key) || !own_.is_touched(key)) return {};
  const auto looked = look(key, fd);
  if (!looked) return unless_gone(looked.error());
  if ((*looked)->noted) return {};
  const auto xattrs = tree::xattrs_of(fd);
  if (!xattrs) return unless_gone(xattrs.error());
  const auto old = std::ranges::find(*xattrs, op.name, &std::pair<std::string, std::string>::first);
  const bool same = op.remove ? old == xattrs->end() : old != xattrs->end() && old->second == op.value;
  return same ? Status{} : note(key, **looked, fd, path_of(id, key, fd));
}

Status LostKeeper::removal(const Place& place, int directory, const std::string& path, const std::string& name) {
  struct stat st {};
  if (::fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return unless_gone(system_error(name, errno));
  const auto key = key_at(place, directory, name);
  if (!key) return unless_gone(key.error());
  const std::string own_path = below(path, name);
  if (S_ISREG(st.st_mode)) {
    if (is_made(*key) || !own_.is_touched(*key)) return {};
    return remove_file(*key, directory, name, own_path);
  }
  if (!is_made(*key) && own_.is_touched(*key)) SK_TRY_VOID(remove_other(*key, directory, name, own_path));
  if (!S_ISDIR(st.st_mode)) return {};
  const Fd fd{::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return unless_gone(system_error(own_path, errno));
  const auto entries = tree::entries_of(fd.get());
  if (!entries) return unless_gone(entries.error());
  for (const std::string& entry : *entries) SK_TRY_VOID(removal(place, fd.get(), own_path, entry));
  return {};
}

Status LostKeeper::remove_file(const HandleKey& key, int directory, const std::string& name, const std::string& path) {
  // For its attributes a descriptor that a broken disk cannot refuse.
  const Fd place{::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  const Fd fd{::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (!place) return unless_gone(system_error(path, errno));
  const auto looked = look(key, place.get());
  if (!looked) return unless_gone(looked.error());
  Seen& seen = **looked;
  if (seen.removed) return writer_->name(seen.item, root_in(key), path);
  SK_TRY_VOID(note(key, seen, place.get(), path));
  for (const Range& open : seen.done.missing({0, seen.attributes.size})) SK_TRY_VOID(keep(seen, fd.get(), open));
  seen.removed = true;
  return writer_->removed(seen.item);
}

Status LostKeeper::remove_other(const HandleKey& key, int directory, const std::string& name, const std::string& path) {
  const Fd fd{::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd) return unless_gone(system_error(path, errno));
  const auto looked = look(key, fd.get());
  if (!looked) return unless_gone(looked.error());
  Seen& seen = **looked;
  if (seen.removed) return writer_->name(seen.item, root_in(key), path);
  SK_TRY_VOID(note(key, seen, fd.get(), path));
  seen.removed = true;
  return writer_->removed(seen.item);
}

Status LostKeeper::absent(const Place& place, int directory, const std::string& path, const std::string& name, std::uint32_t mode) {
  const auto key = key_at(place, directory, "");
  if (!key) return unless_gone(key.error());
  if (is_made(*key) || !own_.are_names(*key)) return {};
  const auto added = writer_->add(
      {.kind = lost::Kind::Absent, .root = place.root, .path = below(path, name), .attributes = {.mode = mode}});
  return added ? Status{} : Status{added.error()};
}

}  // namespace safekit::replica
