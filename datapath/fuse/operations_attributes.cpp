#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>

#include "datapath/fuse/operations.h"

namespace safekit::fuse {
namespace {

constexpr std::string_view kAclPrefix = "system.posix_acl_";
constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kTrustedPrefix = "trusted.";

timespec time_to_set(const fuse_setattr_in& in, bool set, bool now, bool modification) {
  if (!set) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  if (now) return {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  return modification ? timespec{.tv_sec = static_cast<time_t>(in.mtime), .tv_nsec = in.mtimensec}
                      : timespec{.tv_sec = static_cast<time_t>(in.atime), .tv_nsec = in.atimensec};
}

/// A size of zero asks how long the answer would be.
Call<void> answer_sized(ssize_t size, std::uint32_t asked, Reply& reply) {
  if (size < 0) return last_errno();
  if (asked == 0)
    reply.add(fuse_getxattr_out{.size = static_cast<std::uint32_t>(size), .padding = 0});
  else
    reply.use(static_cast<std::size_t>(size));
  return {};
}

}  // namespace

Call<void> Operations::getattr(const Request& request, Reply& reply) {
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.any_fd(*inode));
  // Who holds it changes the inode, or tells the peer of it. A directory's time is asked for with each name that is made in it.
  std::unique_lock<std::mutex> content;
  if (inode->touched && S_ISREG(inode->type)) content = order_.try_content(inode->id);
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstatat(fd->get(), "", &attributes, AT_EMPTY_PATH)));
  if (content) {
    outbox_.append_seen_mtime(*inode, attributes);
    content.unlock();
    outbox_.send();
  }
  add_attributes(reply, attributes);
  return {};
}

/// What of `in` is done, in the mask of the stream; the caller holds content. Size first, mode last: chown
/// drops bits that the same call may set.
Call<std::uint32_t> Operations::change_attributes(Inode& inode, const fuse_setattr_in& in) {
  SK_TRY(const SharedFd fd, inodes_.any_fd(inode));
  std::uint32_t done = 0;
  if ((in.valid & FATTR_SIZE) != 0)
    SK_TRY_VOID(truncate(inode, in.size, (in.valid & FATTR_KILL_SUIDGID) != 0));
  // A chown that names neither comes as a change of nothing: it drops set-id bits all the same. The kernel says no more when
  // root writes to a file with capabilities, which is rarer still with set-id bits beside them.
  constexpr std::uint32_t kChanges = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME;
  if ((in.valid & (FATTR_UID | FATTR_GID)) != 0 || (in.valid & kChanges) == 0) {
    const uid_t uid = (in.valid & FATTR_UID) != 0 ? in.uid : static_cast<uid_t>(-1);
    const gid_t gid = (in.valid & FATTR_GID) != 0 ? in.gid : static_cast<gid_t>(-1);
    SK_TRY_VOID(checked(::fchownat(fd->get(), "", uid, gid, AT_EMPTY_PATH)));
    done |= wire::SetAttributes::kOwner;
    if (!S_ISLNK(inode.type)) done |= wire::SetAttributes::kMode;
  }
  if ((in.valid & FATTR_MODE) != 0) {
    SK_TRY_VOID(checked(::chmod(magic_path(fd->get()).c_str(), in.mode & 07777)));
    done |= wire::SetAttributes::kMode;
  }
  if ((in.valid & (FATTR_ATIME | FATTR_MTIME)) != 0) {
    const bool modified = (in.valid & FATTR_MTIME) != 0;
    const timespec times[2] = {
        time_to_set(in, (in.valid & FATTR_ATIME) != 0, (in.valid & FATTR_ATIME_NOW) != 0, false),
        time_to_set(in, modified, (in.valid & FATTR_MTIME_NOW) != 0, true)};
    SK_TRY_VOID(checked(::utimensat(fd->get(), "", times, AT_EMPTY_PATH)));
    if (modified) done |= wire::SetAttributes::kMtime;
  }
  return done;
}

Call<void> Operations::setattr(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_setattr_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  const auto held = inodes_.any_fd(*inode);
  struct stat attributes {};
  if (!held && held.error().number == ESTALE && inode->nameless) {
    // Its last name went with the process before, and nobody has it open. With write_back the kernel may still bring its times, and would
    // tell the next syncfs(2) of an error.
    attributes.st_ino = inode->number;
    attributes.st_mode = inode->type;
    add_attributes(reply, attributes);
    return {};
  }
  SK_TRY(const SharedFd fd, held);
  {
    SK_TRY(const auto scope, outbox_.changing({{.what = replica::Change::What::Attributes, .id = noted_id(*inode)}}));
    const auto content = order_.content(inode->id);
    const auto done = change_attributes(*inode, in);
    SK_TRY_VOID(checked(::fstatat(fd->get(), "", &attributes, AT_EMPTY_PATH)));
    inode->may_set_id = (attributes.st_mode & (S_ISUID | S_ISGID)) != 0;
    if (!done) {
      // Half of it may be done: the peer gets what holds now.
      const std::uint32_t all =
          wire::SetAttributes::kOwner | (S_ISLNK(inode->type) ? 0U : wire::SetAttributes::kMode);
      outbox_.append_to(
          *inode, wire::SetAttributes{.id = inode->id, .mask = all, .attributes = to_attributes(attributes)});
      return done.error();
    }
    if (*done != 0) {
      outbox_.append_to(*inode, wire::SetAttributes{
                                    .id = inode->id, .mask = *done, .attributes = to_attributes(attributes)});
    }
  }
  add_attributes(reply, attributes);
  return outbox_.after_change(*inode);
}

Call<void> Operations::readlink(const Request& request, Reply& reply) {
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.path_fd(*inode));
  const auto room = reply.scratch(PATH_MAX);
  const ssize_t size = ::readlinkat(fd->get(), "", reinterpret_cast<char*>(room.data()), room.size());
  if (size < 0) return last_errno();
  reply.use(static_cast<std::size_t>(size));
  return {};
}

Call<void> Operations::getxattr(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_getxattr_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.any_fd(*inode));
  const auto room = reply.scratch(in.size);
  const std::string wanted{name};
  return answer_sized(::getxattr(magic_path(fd->get()).c_str(), wanted.c_str(), room.data(), room.size()),
                      in.size, reply);
}

Call<void> Operations::listxattr(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_getxattr_in>());
  SK_TRY(Inode * inode, node(request.header().nodeid));
  SK_TRY(const SharedFd fd, inodes_.path_fd(*inode));
  const auto room = reply.scratch(XATTR_LIST_MAX);
  const ssize_t size =
      ::listxattr(magic_path(fd->get()).c_str(), reinterpret_cast<char*>(room.data()), room.size());
  if (size < 0) return last_errno();
  // We list as root; others do not see the trusted ones.
  std::size_t kept = 0;
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    const std::string_view name{reinterpret_cast<const char*>(room.data()) + at};
    if (request.header().uid == 0 || name.substr(0, kTrustedPrefix.size()) != kTrustedPrefix) {
      std::memmove(room.data() + kept, room.data() + at, name.size() + 1);
      kept += name.size() + 1;
    }
    at += name.size() + 1;
  }
  if (in.size != 0 && kept > in.size) return Errno{ERANGE};
  return answer_sized(static_cast<ssize_t>(kept), in.size, reply);
}

/// What a chmod by who is not in the file's group does. The caller holds content and a scope of attributes.
Call<void> Operations::drop_set_group(Inode& inode, const std::string& path) {
  struct stat attributes {};
  SK_TRY_VOID(checked(::stat(path.c_str(), &attributes)));
  if ((attributes.st_mode & S_ISGID) == 0) return {};
  attributes.st_mode &= ~mode_t{S_ISGID};
  SK_TRY_VOID(checked(::chmod(path.c_str(), attributes.st_mode & 07777)));
  outbox_.append_to(inode, wire::SetAttributes{.id = inode.id,
                                               .mask = wire::SetAttributes::kMode,
                                               .attributes = to_attributes(attributes)});
  return {};
}

Call<void> Operations::change_xattr(Inode& inode, const wire::SetXattr& change, XattrFlags flags, const Request& request,
                                    Reply& reply) {
  SK_TRY(const SharedFd fd, inodes_.path_fd(inode));
  const std::string path = magic_path(fd->get());
  {
    SK_TRY(const auto scope, outbox_.changing({{.what = replica::Change::What::Attributes, .id = noted_id(inode)}}));
    const auto content = order_.content(inode.id);
    const bool repeated = request.attempt().is_repeated();
    if (repeated) flags.create_or_replace &= ~XATTR_CREATE;  // it may be there from the first time
    request.attempt().begin_change();
    const auto done = checked(change.remove ? ::removexattr(path.c_str(), change.name.c_str())
                                            : ::setxattr(path.c_str(), change.name.c_str(), change.value.data(),
                                                         change.value.size(), flags.create_or_replace));
    if (!done && !(repeated && change.remove && done.error().number == ENODATA)) return done.error();
    outbox_.append_to(inode, change);
    if (flags.drop_set_group && change.name == kAccessAcl) SK_TRY_VOID(drop_set_group(inode, path));
  }
  // An access list changes the mode.
  if (change.name.compare(0, kAclPrefix.size(), kAclPrefix) == 0)
    reply.invalidate_attributes(nodeid_of(inode));
  return outbox_.after_change(inode);
}

Call<void> Operations::setxattr(const Request& request, Reply& reply) {
  const std::size_t fixed = agreement_.long_setxattr ? sizeof(fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
  SK_TRY(const BytesView head, request.bytes_at(0, fixed));
  fuse_setxattr_in in{};
  std::memcpy(&in, head.data(), head.size());
  SK_TRY(const auto name, request.name_at(fixed));
  SK_TRY(const BytesView value, request.bytes_at(fixed + name.size() + 1, in.size));
  SK_TRY(Inode * inode, node(request.header().nodeid));
  const wire::SetXattr change{
      .id = inode->id, .name = std::string{name}, .value = std::string{as_text(value)}};
  const XattrFlags flags{.create_or_replace = static_cast<int>(in.flags),
                         .drop_set_group = (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0};
  return change_xattr(*inode, change, flags, request, reply);
}

Call<void> Operations::removexattr(const Request& request, Reply& reply) {
  SK_TRY(const auto name, request.name_at(0));
  SK_TRY(Inode * inode, node(request.header().nodeid));
  return change_xattr(*inode, {.id = inode->id, .name = std::string{name}, .remove = true}, {}, request, reply);
}

/// The caller holds content.
Call<void> Operations::send_xattrs(Inode& inode) {
  SK_TRY(const SharedFd fd, inodes_.path_fd(inode));
  const std::string path = magic_path(fd->get());
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = ::listxattr(path.c_str(), names.data(), names.size());
  if (size < 0) return errno == EOPNOTSUPP ? Call<void>{} : Call<void>{last_errno()};
  std::string value(XATTR_SIZE_MAX, '\0');
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    const std::string name{names.c_str() + at};
    at += name.size() + 1;
    const ssize_t length = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (length < 0) return last_errno();
    outbox_.append_to(
        inode, wire::SetXattr{
                   .id = inode.id, .name = name, .value = value.substr(0, static_cast<std::size_t>(length))});
  }
  return {};
}

Call<void> Operations::statfs(const Request&, Reply& reply) {
  struct statfs found {};
  SK_TRY_VOID(checked(::fstatfs(inodes_.root_fd(root_), &found)));
  fuse_statfs_out out{};
  out.st.blocks = found.f_blocks;
  out.st.bfree = found.f_bfree;
  out.st.bavail = found.f_bavail;
  out.st.files = found.f_files;
  out.st.ffree = found.f_ffree;
  out.st.bsize = static_cast<std::uint32_t>(found.f_bsize);
  out.st.namelen = static_cast<std::uint32_t>(found.f_namelen);
  out.st.frsize = static_cast<std::uint32_t>(found.f_frsize);
  reply.add(out);
  return {};
}

/// No Linux up to 6.18 forwards syncfs(2) to a server like us (only to virtiofs); if one does, it is a
/// barrier.
Call<void> Operations::syncfs(const Request&, Reply&) {
  SK_TRY(Inode * root, node(FUSE_ROOT_ID));
  std::optional<SequenceNumber> sync{};
  {
    const auto content = order_.content(root->id);
    sync = outbox_.append_to(*root, wire::Sync{.id = root->id, .data_only = false});
  }
  SK_TRY_VOID(checked(::syncfs(inodes_.root_fd(root_))));
  return outbox_.after_sync(sync);
}

}  // namespace safekit::fuse
