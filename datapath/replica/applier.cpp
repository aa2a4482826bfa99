#include "datapath/replica/applier.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "datapath/replica/touch.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

using wire::EntryFate;
using wire::ResyncMode;

constexpr std::size_t kWithoutRoomMax = 256;  ///< more than what is written meanwhile: the disk is too small

/// Whose state is in doubt when the operation could not be done.
std::array<InodeId, 2> concerned(const wire::Operation& operation) {
  if (const auto* op = std::get_if<wire::Create>(&operation)) return {op->parent, {}};
  if (const auto* op = std::get_if<wire::Link>(&operation)) return {op->parent, {}};
  if (const auto* op = std::get_if<wire::Remove>(&operation)) return {op->parent, {}};
  if (const auto* op = std::get_if<wire::Rename>(&operation)) return {op->parent, op->new_parent};
  if (const auto* op = std::get_if<wire::Write>(&operation)) return {op->id, {}};
  if (const auto* op = std::get_if<wire::Fallocate>(&operation)) return {op->id, {}};
  if (const auto* op = std::get_if<wire::SetAttributes>(&operation)) return {op->id, {}};
  if (const auto* op = std::get_if<wire::SetXattr>(&operation)) return {op->id, {}};
  if (const auto* op = std::get_if<wire::Bind>(&operation)) return {op->id, {}};
  return {};
}

/// What was opened by the name of what has just been made: somebody on this node may have put a link to another file there.
Status check_made(int fd, mode_t type) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return system_error("stat", errno);
  if ((st.st_mode & S_IFMT) == type && (S_ISDIR(type) || st.st_nlink == 1)) return {};
  return Error{Code::Conflict, "somebody else on this node changes the replicated directory"};
}

/// Empty, and open as `InodeBinding::descriptor` opens it. Its mode may lack some of `mode`.
Result<SharedFd> make_file(int directory, const std::string& name, mode_t mode) {
  Fd made{::openat(directory, name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, mode & 0777)};
  if (!made) return system_error(fmt::format("create '{}'", name), errno);
  return std::make_shared<const Fd>(std::move(made));
}

/// Of owner and mode. A change of owner and a write take set-id bits away.
std::uint32_t rights_to_set(const wire::Attributes& now, const wire::Attributes& wanted) {
  using wire::SetAttributes;
  if (now.uid != wanted.uid || now.gid != wanted.gid) return SetAttributes::kOwner | SetAttributes::kMode;
  if (now.mode != wanted.mode || (now.mode & (S_ISUID | S_ISGID)) != 0) return SetAttributes::kMode;
  return 0;
}

Status make_xattrs_equal(int fd, const tree::Xattrs& have, const tree::Xattrs& wanted) {
  for (const auto& [name, value] : have) {
    const auto kept = std::ranges::find(wanted, name, &std::pair<std::string, std::string>::first);
    if (kept == wanted.end()) SK_TRY_VOID(tree::remove_xattr(fd, name));
  }
  for (const auto& [name, value] : wanted) {
    if (std::ranges::find(have, std::pair{name, value}) == have.end()) SK_TRY_VOID(tree::set_xattr(fd, name, value));
  }
  return {};
}

bool same_kind(const struct stat& st, const wire::ListingEntry& entry) {
  if ((st.st_mode & S_IFMT) != (entry.mode & S_IFMT)) return false;
  return (!S_ISCHR(entry.mode) && !S_ISBLK(entry.mode)) || st.st_rdev == entry.device;
}

/// As a backup brings files back: some keep whole seconds only.
bool is_alike(int directory, const wire::ListingEntry& entry) {
  struct stat st {};
  if (::fstatat(directory, entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return false;
  return static_cast<std::uint64_t>(st.st_size) == entry.size && st.st_mtim.tv_sec == entry.mtime.seconds &&
         (st.st_mtim.tv_nsec == entry.mtime.nanoseconds || st.st_mtim.tv_nsec == 0);
}

}  // namespace

Status Applier::reset() {
  mode_ = ResyncMode::None;
  leftovers_.clear();
  pending_ = {};
  keeper_.reset();
  unsynced_.forget();
  return inodes_.reset();
}

void Applier::begin_resync(ResyncMode mode) {
  mode_ = mode;
  leftovers_.clear();
  without_room_.clear();
  all_listed_ = false;
  inodes_.track_identities(mode != ResyncMode::None);
}

void Applier::end_resync() {
  keeper_.reset();
  begin_resync(ResyncMode::None);
}

std::vector<InodeId> Applier::leftovers() const {
  std::vector<InodeId> ids;
  for (const std::uint64_t id : leftovers_) ids.push_back(InodeId{id});
  return ids;
}

Status Applier::apply(const wire::Operation& operation, BytesView data) {
  const auto* attributes = std::get_if<wire::SetAttributes>(&operation);
  if (attributes != nullptr && (attributes->mask & wire::SetAttributes::kProvisional) != 0 && !in_resync() &&
      provisional_.note(attributes->id, attributes->attributes.mtime)) {
    return {};
  }
  note_change(operation);
  if (keeper_) SK_TRY_VOID(set_aside(operation, data));
  Status done = std::visit(
      [&](const auto& op) -> Status {
        using Op = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<Op, wire::Write>) {
          return perform(op, data);
        } else if constexpr (std::is_same_v<Op, wire::Sync>) {
          return {};
        } else if constexpr (std::is_same_v<Op, wire::Forget>) {
          inodes_.forget(op.id);
          // A leftover stays one: it may be forgotten because nobody uses it, and not because it is gone.
          if (!in_resync()) leftovers_.erase(op.id.value);
          if (keeper_) keeper_->forget(op.id);
          return {};
        } else {
          return perform(op);
        }
      },
      operation);
  if (done) return done;
  const InodeId first = concerned(operation)[0];
  if (done.error().code == Code::Exhausted && !waits_for_room(done.error(), first)) return without_room(done.error(), first);
  // Only what a place that is not equal yet explains.
  const bool explained = done.error().code == Code::NotFound || done.error().code == Code::Conflict ||
                         done.error().code == Code::Exhausted;
  if (!in_resync() || !explained) return done;
  for (const InodeId id : concerned(operation)) {
    if (id.value != 0) leftovers_.insert(id.value);
  }
  return {};
}

void Applier::note_change(const wire::Operation& operation) {
  std::visit(
      [this](const auto& op) {
        using Op = std::decay_t<decltype(op)>;
        constexpr bool is_content = std::is_same_v<Op, wire::Write> || std::is_same_v<Op, wire::Fallocate>;
        if constexpr (is_content || std::is_same_v<Op, wire::Forget>) provisional_.changed(op.id);
        if constexpr (std::is_same_v<Op, wire::SetAttributes>) {
          // With another mode or owner the time that was told is still its own.
          if ((op.mask & (wire::SetAttributes::kMtime | wire::SetAttributes::kSize)) != 0) provisional_.changed(op.id);
          if ((op.mask & (wire::SetAttributes::kMode | wire::SetAttributes::kOwner)) != 0) unsynced_.changed(op.id);
        } else if constexpr (std::is_same_v<Op, wire::SetXattr>) {
          unsynced_.changed(op.id);
        } else if constexpr (std::is_same_v<Op, wire::Create> || std::is_same_v<Op, wire::Link> || std::is_same_v<Op, wire::Rename>) {
          unsynced_.changed(op.id);
        }
      },
      operation);
  if (!changes_names(operation)) return;
  for (const InodeId directory : concerned(operation)) unsynced_.changed(directory);
}

void Applier::settle_times() {
  for (const auto& [id, mtime] : provisional_.take()) {
    const auto fd = inodes_.descriptor(InodeId{id});
    // What has no name any more needs no time.
    if (fd) (void)tree::set_attributes((*fd)->get(), wire::SetAttributes::kMtime, {.mtime = mtime});
  }
}

Status Applier::perform(const wire::Bind& op) {
  Status bound = inodes_.bind(op);
  if (!bound) inodes_.forget(op.id);
  if (bound && keeper_) keeper_->named(op.id, op.at.path);
  return bound;
}

Status Applier::perform(const wire::Create& op) {
  if (!wire::is_plain_name(op.name)) return Error{Code::Corrupt, "unsafe name in the stream"};
  SK_TRY(const auto parent, inodes_.directory(op.parent));
  SK_TRY(const std::uint32_t root, root_of(op.parent));
  const mode_t type = op.attributes.mode & S_IFMT;
  struct stat there {};
  const bool taken = !exclusion(root).empty() && ::fstatat(parent->get(), op.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (in_resync() || taken) SK_TRY_VOID(remove_entry(parent->get(), root, op.name));
  SharedFd fd;
  if (S_ISREG(type)) {
    SK_TRY(fd, make_file(parent->get(), op.name, op.attributes.mode));
  } else {
    SK_TRY_VOID(tree::make_node(parent->get(), op.name, op.attributes, op.link_target));
    Fd made{::openat(parent->get(), op.name.c_str(), S_ISDIR(type) ? O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
                                                                  : O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    if (!made) return system_error(fmt::format("open '{}'", op.name), errno);
    SK_TRY_VOID(check_made(made.get(), type));
    fd = std::make_shared<const Fd>(std::move(made));
  }
  SK_TRY(const auto now, tree::attributes_of(fd->get()));
  SK_TRY_VOID(tree::set_attributes(fd->get(), rights_to_set(now, op.attributes) | wire::SetAttributes::kMtime, op.attributes));
  SK_TRY(auto key, key_at(inodes_.place(root), fd->get(), ""));
  if (keeper_) keeper_->made(key);
  inodes_.set(op.id, op.identity, std::move(key), type, std::move(fd));
  return {};
}

Status Applier::perform(const wire::Link& op) {
  if (!wire::is_plain_name(op.name)) return Error{Code::Corrupt, "unsafe name in the stream"};
  SK_TRY(const auto parent, inodes_.directory(op.parent));
  SK_TRY(const auto inode, inodes_.descriptor(op.id));
  SK_TRY(const std::uint32_t root, root_of(op.parent));
  if (in_resync()) SK_TRY_VOID(remove_entry(parent->get(), root, op.name));
  const auto link = [&] { return ::linkat(inode->get(), "", parent->get(), op.name.c_str(), AT_EMPTY_PATH); };
  if (link() != 0) {
    if (is_in_the_way(op.parent, errno)) {
      SK_TRY_VOID(remove_entry(parent->get(), root, op.name));
      if (link() == 0) return {};
    }
    return system_error(fmt::format("link '{}'", op.name), errno);
  }
  return {};
}

Status Applier::perform(const wire::Remove& op) {
  if (!wire::is_plain_name(op.name)) return Error{Code::Corrupt, "unsafe name in the stream"};
  SK_TRY(const auto parent, inodes_.directory(op.parent));
  SK_TRY(const std::uint32_t root, root_of(op.parent));
  if (in_resync()) return remove_entry(parent->get(), root, op.name);
  if (::unlinkat(parent->get(), op.name.c_str(), op.directory ? AT_REMOVEDIR : 0) != 0) {
    if (op.directory && is_in_the_way(op.parent, errno)) return remove_entry(parent->get(), root, op.name);
    return system_error(fmt::format("remove '{}'", op.name), errno);
  }
  return {};
}

Status Applier::perform(const wire::Rename& op) {
  if (!wire::is_plain_name(op.name) || !wire::is_plain_name(op.new_name)) return Error{Code::Corrupt, "unsafe name in the stream"};
  const auto from = inodes_.directory(op.parent);
  const auto to = inodes_.directory(op.new_parent);
  if (keeper_ && from && to) SK_TRY_VOID(set_target_aside(op, (*from)->get(), (*to)->get()));
  const auto move = [&] {
    return from && to && ::renameat2((*from)->get(), op.name.c_str(), (*to)->get(), op.new_name.c_str(), op.flags) == 0;
  };
  if (move()) return {};
  if (from && to && (op.flags & RENAME_EXCHANGE) == 0 && is_in_the_way(op.new_parent, errno)) {
    SK_TRY(const std::uint32_t root, root_of(op.new_parent));
    SK_TRY_VOID(remove_entry((*to)->get(), root, op.new_name));
    if (move()) return {};
  }
  const Error error = from && to ? system_error(fmt::format("rename '{}'", op.name), errno) : from ? to.error() : from.error();
  if (in_resync() && (op.flags & RENAME_EXCHANGE) == 0) {
    // The old name is gone on the primary in any case; the new one is made by the listing that the leftover asks for.
    if (from) {
      SK_TRY(const std::uint32_t root, root_of(op.parent));
      SK_TRY_VOID(remove_entry((*from)->get(), root, op.name));
    }
    if (to) {
      SK_TRY(const std::uint32_t root, root_of(op.new_parent));
      SK_TRY_VOID(remove_entry((*to)->get(), root, op.new_name));
    }
  }
  return error;
}

Status Applier::perform(const wire::Write& op, BytesView data) {
  SK_TRY(const auto fd, inodes_.descriptor(op.id));
  SK_TRY_VOID(tree::write_at(fd->get(), data, op.offset));
  write_behind_.wrote(op.id, fd, op.offset, data.size(), in_resync());
  return {};
}

Status Applier::perform(const wire::Fallocate& op) {
  SK_TRY(const auto fd, inodes_.descriptor(op.id));
  while (::fallocate(fd->get(), static_cast<int>(op.mode), static_cast<off_t>(op.offset), static_cast<off_t>(op.length)) != 0) {
    if (errno != EINTR) return system_error("allocate", errno);
  }
  return {};
}

Status Applier::perform(const wire::SetAttributes& op) {
  SK_TRY(const auto fd, inodes_.descriptor(op.id));
  // The last that a synchronisation sends of a file.
  if (in_resync() && (op.mask & wire::SetAttributes::kMtime) != 0) write_behind_.finished(op.id, fd);
  return tree::set_attributes(fd->get(), op.mask, op.attributes);
}

Status Applier::perform(const wire::SetXattr& op) {
  SK_TRY(const auto fd, inodes_.descriptor(op.id));
  return op.remove ? tree::remove_xattr(fd->get(), op.name) : tree::set_xattr(fd->get(), op.name, op.value);
}

Result<std::optional<std::vector<EntryFate>>> Applier::apply(wire::Listing&& listing) {
  if (pending_.directory != listing.directory) pending_.entries.clear();
  pending_.directory = listing.directory;
  pending_.complete = listing.complete;
  std::ranges::move(listing.entries, std::back_inserter(pending_.entries));
  if (!listing.last) return std::optional<std::vector<EntryFate>>{};
  const wire::Listing whole = std::exchange(pending_, {});
  auto fates = make_equal(whole);
  if (!fates) {
    // The directory itself is not there yet, or a call of the application changed it under us: it is listed again later.
    const bool waits = waits_for_room(fates.error(), whole.directory);
    if (fates.error().code == Code::Exhausted && !waits) return without_room(fates.error(), whole.directory);
    if (fates.error().code != Code::NotFound && !waits) return fates.error();
    leftovers_.insert(whole.directory.value);
    return std::optional{std::vector<EntryFate>{}};
  }
  if (whole.complete) leftovers_.erase(whole.directory.value);
  return std::optional{std::move(*fates)};
}

Result<std::vector<EntryFate>> Applier::make_equal(const wire::Listing& listing) {
  SK_TRY(const auto directory, inodes_.directory(listing.directory));
  SK_TRY(const std::uint32_t root, root_of(listing.directory));
  if (listing.complete) SK_TRY_VOID(remove_unlisted(directory->get(), root, listing));
  const std::string path = keeper_ ? keeper_->path_of(root, directory->get()) : std::string{};
  std::vector<EntryFate> fates;
  fates.reserve(listing.entries.size());
  for (const auto& entry : listing.entries) {
    if (!wire::is_plain_name(entry.name)) return Error{Code::Corrupt, "unsafe name in the stream"};
    SK_TRY(EntryFate fate, make_entry(directory->get(), root, entry));
    if (fate == EntryFate::Kept && mode_ == ResyncMode::Chosen && is_alike(directory->get(), entry)) {
      fate = EntryFate::Alike;
    }
    // Its content is compared or sent from here on, by a full comparison; else perhaps not of what is kept.
    const bool is_kept = fate == EntryFate::Kept || fate == EntryFate::Alike;
    if (mode_ == ResyncMode::Full || !is_kept) leftovers_.erase(entry.id.value);
    fates.push_back(fate);
    if (keeper_) keeper_->named(entry.id, path.empty() ? entry.name : path + "/" + entry.name);
  }
  return fates;
}

Result<EntryFate> Applier::make_entry(int directory, std::uint32_t root, const wire::ListingEntry& entry) {
  struct stat st {};
  const bool exists = ::fstatat(directory, entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) return system_error(fmt::format("stat '{}'", entry.name), errno);
  HandleKey key;
  if (exists) {
    SK_TRY(key, key_at(inodes_.place(root), directory, entry.name));
  }
  const mode_t type = entry.mode & S_IFMT;
  if (auto standing = inodes_.standing_for(entry.identity); standing && !S_ISDIR(type)) {
    struct stat theirs {};
    if (::fstat(standing->fd.get(), &theirs) == 0 && same_kind(theirs, entry)) {
      const bool there = exists && key == standing->key;
      if (!there) {
        SK_TRY_VOID(remove_entry(directory, root, entry.name));
        if (::linkat(standing->fd.get(), "", directory, entry.name.c_str(), AT_EMPTY_PATH) != 0) {
          return system_error(fmt::format("link '{}'", entry.name), errno);
        }
      }
      inodes_.set(entry.id, entry.identity, std::move(standing->key), type);
      return there ? EntryFate::Kept : EntryFate::Compare;
    }
  }
  bool usable = exists && same_kind(st, entry) && inodes_.is_free_for(key, entry.identity);
  // By zones only some directories are listed: another name of what stands here may be meant to stay another file.
  if (mode_ == ResyncMode::Zones && !S_ISDIR(type) && entry.links == 1 && exists && st.st_nlink > 1) usable = false;
  if (usable && S_ISLNK(type)) {
    SK_TRY(const std::string target, tree::link_target(directory, entry.name));
    usable = target == entry.link_target;
  }
  if (usable) {
    inodes_.set(entry.id, entry.identity, std::move(key), type);
    return EntryFate::Kept;
  }
  if (exists) SK_TRY_VOID(remove_entry(directory, root, entry.name));
  SK_TRY_VOID(create_entry(directory, root, entry, !exists));
  return EntryFate::Fresh;
}

Status Applier::create_entry(int directory, std::uint32_t root, const wire::ListingEntry& entry, bool is_absent) {
  if (keeper_ && is_absent) {
    const std::string path = keeper_->path_of(root, directory);
    SK_TRY_VOID(keeper_->absent(inodes_.place(root), directory, path, entry.name, entry.mode));
  }
  const mode_t type = entry.mode & S_IFMT;
  SharedFd fd;
  if (S_ISREG(type)) {
    // With its mode, which is most often all that it is to have. Open until its content comes.
    SK_TRY(fd, make_file(directory, entry.name, entry.mode));
  } else {
    SK_TRY_VOID(tree::make_node(directory, entry.name, {.mode = entry.mode, .device = entry.device}, entry.link_target));
  }
  SK_TRY(auto key, fd ? key_at(inodes_.place(root), fd->get(), "") : key_at(inodes_.place(root), directory, entry.name));
  if (keeper_) keeper_->made(key);
  inodes_.set(entry.id, entry.identity, std::move(key), type, std::move(fd));
  return {};
}

Status Applier::perform(const wire::InodeState& state, BytesView data) {
  using wire::SetAttributes;
  SK_TRY(const auto fd, inodes_.descriptor(state.id));
  if (keeper_) SK_TRY_VOID(set_aside(state, fd->get()));
  SK_TRY(const auto now, tree::attributes_of(fd->get()));
  if (state.with_content) {
    if (!S_ISREG(now.mode)) return Error{Code::Conflict, "content for what is no regular file"};
    if (keeper_) SK_TRY_VOID(set_aside(wire::Write{state.id, 0, static_cast<std::uint32_t>(data.size())}, data));
    // Nobody sees content whom the present mode lets in and the new one does not.
    if ((now.mode & 0777 & ~state.attributes.mode) != 0) {
      SK_TRY_VOID(tree::set_attributes(fd->get(), SetAttributes::kMode, state.attributes));
    }
    SK_TRY_VOID(tree::write_at(fd->get(), data, 0));
  }
  const std::uint64_t size = state.with_content ? std::max<std::uint64_t>(now.size, data.size()) : now.size;
  std::uint32_t mask = 0;
  if (S_ISREG(now.mode) && size != state.attributes.size) mask |= SetAttributes::kSize;
  SK_TRY_VOID(tree::set_attributes(fd->get(), mask | rights_to_set(now, state.attributes), state.attributes));
  SK_TRY(const auto have, tree::xattrs_of(fd->get()));
  if (have != state.xattrs) SK_TRY_VOID(make_xattrs_equal(fd->get(), have, state.xattrs));
  return tree::set_attributes(fd->get(), SetAttributes::kMtime, state.attributes);
}

Status Applier::apply(const wire::InodeState& state, BytesView data) {
  Status done = perform(state, data);
  if (done) return done;
  const bool waits = waits_for_room(done.error(), state.id);
  if (done.error().code == Code::Exhausted && !waits) return without_room(done.error(), state.id);
  if (done.error().code != Code::NotFound && !waits) return done;
  leftovers_.insert(state.id.value);
  return {};
}

Status Applier::sync_all() {
  for (const int root : root_descriptors()) {
    if (::syncfs(root) != 0) return system_error("sync the file system", errno);
  }
  return {};
}

std::vector<std::string> Applier::root_paths() const {
  std::vector<std::string> paths;
  for (std::uint32_t root = 0; root < inodes_.root_count(); ++root) paths.push_back(inodes_.root_path(root));
  return paths;
}

std::vector<int> Applier::root_descriptors() const {
  std::vector<int> roots;
  for (std::uint32_t root = 0; root < inodes_.root_count(); ++root) roots.push_back(inodes_.root_fd(root));
  return roots;
}

const Exclusion& Applier::exclusion(std::uint32_t root) const {
  static const Exclusion none;
  return root < exclusions_.size() ? exclusions_[root] : none;
}

bool Applier::is_in_the_way(InodeId directory, int number) const {
  const auto root = root_of(directory);
  const bool something = number == EEXIST || number == ENOTEMPTY || number == EISDIR || number == ENOTDIR;
  return something && root && !exclusion(*root).empty();
}

/// Not replicated: no listing names it, and it is left alone.
Result<bool> Applier::stays(const Exclusion& rules, int directory, const std::string& path, const std::string& name) {
  if (rules.empty()) return false;
  struct stat st {};
  if (::fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return system_error(fmt::format("stat '{}'", name), errno);
  return rules.excludes(path, name, S_ISDIR(st.st_mode));
}

bool Applier::waits_for_room(const Error& error, InodeId id) {
  if (error.code != Code::Exhausted || !in_resync() || all_listed_ || without_room_.size() >= kWithoutRoomMax) return false;
  without_room_.insert(id.value);
  return true;
}

/// Says where room must be made.
Error Applier::without_room(Error error, InodeId id) const {
  const auto root = root_of(id);
  if (root) error.what += fmt::format("; make room in the file system of '{}'", inodes_.root_path(*root));
  return error;
}

Result<std::uint32_t> Applier::root_of(InodeId directory) const {
  const auto* bound = inodes_.find(directory);
  if (bound == nullptr) return Error{Code::NotFound, fmt::format("inode {} is not known", directory.value)};
  SK_TRY(const FileHandle handle, from_key(bound->key));
  return handle.root;
}

}  // namespace safekit::replica
