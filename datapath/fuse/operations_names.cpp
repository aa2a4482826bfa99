#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/fuse/operations.h"
#include "datapath/replica/tree_call.h"

namespace safekit::fuse {
namespace {

constexpr mode_t kSetId = S_ISUID | S_ISGID;

Call<Fd> make_underneath(int directory, const char* name, mode_t mode, dev_t device,
                         const std::string& target, bool open) {
  Fd made;
  if (S_ISDIR(mode)) {
    SK_TRY_VOID(checked(::mkdirat(directory, name, mode & 07777)));
  } else if (S_ISLNK(mode)) {
    SK_TRY_VOID(checked(::symlinkat(target.c_str(), directory, name)));
  } else if (open) {
    // Read and write whatever the caller asked for: the descriptor is shared by all opens of the file.
    made.reset(::openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777));
    if (!made) return last_errno();
  } else {
    SK_TRY_VOID(checked(::mknodat(directory, name, mode, device)));
  }
  return made;
}

Call<Fd> reopen_underneath(int directory, const char* name) {
  Fd made{::openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)};
  if (!made) return last_errno();
  return made;
}

/// Whether what is made in the directory gets its group, whoever makes it.
Call<bool> hands_its_group_down(const Inode& parent, int directory) {
  if (!parent.may_set_id) return false;
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstatat(directory, "", &attributes, AT_EMPTY_PATH)));
  return (attributes.st_mode & S_ISGID) != 0;
}

/// We make everything as root; what was made belongs to the caller, its group to the directory's where that
/// asks for it (set-group-id, or a mount option that had the group inherited already).
Call<void> give_to_caller(int directory, const char* name, const fuse_in_header& caller,
                          bool group_of_directory, struct stat& made) {
  const gid_t group = group_of_directory || made.st_gid != 0 ? made.st_gid : caller.gid;
  if (made.st_uid == caller.uid && made.st_gid == group) return {};
  SK_TRY_VOID(checked(::fchownat(directory, name, caller.uid, group, AT_SYMLINK_NOFOLLOW)));
  if (!S_ISLNK(made.st_mode) && !S_ISDIR(made.st_mode) && (made.st_mode & kSetId) != 0) {
    SK_TRY_VOID(checked(::fchmodat(directory, name, made.st_mode & 07777, 0)));  // chown has dropped them
  }
  return checked(::fstatat(directory, name, &made, AT_SYMLINK_NOFOLLOW));
}

}  // namespace

Call<Operations::Entry> Operations::entry(Inode& parent, int directory, const std::string& name, Attempt& attempt) {
  Entry found{};
  SK_TRY_VOID(checked(::fstatat(directory, name.c_str(), &found.attributes, AT_SYMLINK_NOFOLLOW)));
  found.inode = inodes_.recall(found.attributes, parent.id, name);
  if (found.inode == nullptr) {
    const auto names = order_.names_shared();
    SK_TRY_VOID(checked(::fstatat(directory, name.c_str(), &found.attributes, AT_SYMLINK_NOFOLLOW)));
    SK_TRY(found.inode, inodes_.adopt(parent, name, found.attributes, InodeTable::For::Kernel));
  }
  attempt.counted(found.inode->id);
  return found;
}

Call<void> Operations::lookup(const Request& request, Reply& reply) {
  SK_TRY(const auto name, request.name_at(0));
  SK_TRY(Inode * parent, node(request.header().nodeid));
  SK_TRY(const SharedFd directory, inodes_.path_fd(*parent));
  const auto found = entry(*parent, directory->get(), std::string{name}, request.attempt());
  if (found) {
    add_entry(reply, *found->inode, found->attributes);
    return {};
  }
  if (found.error().number != ENOENT) return found.error();
  fuse_entry_out absent{};  // node 0: the kernel remembers that there is no such name
  absent.entry_valid = 3600;
  reply.add(absent);
  return {};
}

Call<void> Operations::forget(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_forget_in>());
  inodes_.forget(InodeId{request.header().nodeid}, in.nlookup);
  return {};
}

Call<void> Operations::batch_forget(const Request& request, Reply&) {
  SK_TRY(const auto in, request.arguments<fuse_batch_forget_in>());
  for (std::uint32_t i = 0; i < in.count; ++i) {
    SK_TRY(const auto one, request.arguments_at<fuse_forget_one>(sizeof in + i * sizeof(fuse_forget_one)));
    inodes_.forget(InodeId{one.nodeid}, one.nlookup);
  }
  return {};
}

Call<Operations::Made> Operations::make(Inode& parent, const NewNode& wanted, const Request& request) {
  SK_TRY(const SharedFd directory, inodes_.path_fd(parent));
  const int fd = directory->get();
  const char* name = wanted.name.c_str();
  SK_TRY(const bool group_of_directory, hands_its_group_down(parent, fd));
  Made made{};
  using What = replica::Change::What;
  const What what = S_ISDIR(wanted.mode) ? What::Tree : What::Names;
  const InodeId above = noted_id(parent);
  SK_TRY(const auto scope,
         outbox_.changing({{.what = What::Names, .id = above}, {.what = what, .id = above, .name = wanted.name}}));
  const auto names = order_.names_exclusive();
  ::umask(wanted.umask);  // of this thread alone; a default ACL of the directory takes its place
  Attempt& attempt = request.attempt();
  attempt.begin_change();
  auto opened = make_underneath(fd, name, wanted.mode, wanted.device, wanted.target, wanted.open);
  if (!opened && opened.error().number == EEXIST && attempt.is_repeated()) {
    // The kernel asks only for names that are not there: it was made the first time, and perhaps not given to the caller.
    opened = wanted.open ? reopen_underneath(fd, name) : Call<Fd>{Fd{}};
  }
  if (!opened) {
    attempt.end_change();
    return opened.error();
  }
  auto status = checked(::fstatat(fd, name, &made.attributes, AT_SYMLINK_NOFOLLOW));
  if (status) status = give_to_caller(fd, name, request.header(), group_of_directory, made.attributes);
  if (status) {
    if (auto inode = inodes_.adopt(parent, wanted.name, made.attributes, InodeTable::For::Kernel))
      made.inode = *inode;
    else
      status = inode.error();
  }
  if (!status) {
    (void)::unlinkat(fd, name,
                     S_ISDIR(wanted.mode) ? AT_REMOVEDIR : 0);  // the caller gets the error that came first
    outbox_.touch(parent);
    return status.error();
  }
  attempt.counted(made.inode->id);
  if (*opened) {
    inodes_.created(*made.inode, std::move(*opened));
    attempt.opened(made.inode->id);
  }
  if (!made.inode->nameless) {
    made.sequence = outbox_.append(wire::Create{.parent = parent.id,
                                                .name = wanted.name,
                                                .id = made.inode->id,
                                                .attributes = to_attributes(made.attributes),
                                                .link_target = wanted.target});
  }
  made.inode->last_sequence = made.sequence.value;
  outbox_.touch(parent);
  return made;
}

Call<void> Operations::finish(const Made& made, Reply& reply) {
  add_entry(reply, *made.inode, made.attributes);
  return outbox_.after_change(made.sequence);
}

Call<void> Operations::symlink(const Request& request, Reply& reply) {
  SK_TRY(const auto name, request.name_at(0));
  SK_TRY(const auto target, request.name_at(name.size() + 1));
  SK_TRY(Inode * parent, node(request.header().nodeid));
  const NewNode wanted{.name = std::string{name}, .mode = S_IFLNK | 0777, .target = std::string{target}};
  SK_TRY(const Made made, make(*parent, wanted, request));
  return finish(made, reply);
}

Call<void> Operations::mknod(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_mknod_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(Inode * parent, node(request.header().nodeid));
  const NewNode wanted{.name = std::string{name}, .mode = in.mode, .umask = in.umask, .device = in.rdev};
  SK_TRY(const Made made, make(*parent, wanted, request));
  return finish(made, reply);
}

Call<void> Operations::mkdir(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_mkdir_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(Inode * parent, node(request.header().nodeid));
  const NewNode wanted{.name = std::string{name}, .mode = S_IFDIR | (in.mode & 07777), .umask = in.umask};
  SK_TRY(const Made made, make(*parent, wanted, request));
  return finish(made, reply);
}

Call<void> Operations::create(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_create_in>());
  SK_TRY(const auto name, request.name_at(sizeof in));
  SK_TRY(Inode * parent, node(request.header().nodeid));
  const NewNode wanted{
      .name = std::string{name}, .mode = S_IFREG | (in.mode & 07777), .umask = in.umask, .open = true};
  const auto made = make(*parent, wanted, request);
  if (made) {
    const auto finished = finish(*made, reply);
    add_open(reply, in.flags);
    return finished;
  }
  if (made.error().number != EEXIST || (in.flags & O_EXCL) != 0) return made.error();
  SK_TRY(const SharedFd directory, inodes_.path_fd(*parent));
  Attempt& attempt = request.attempt();
  SK_TRY(Entry found, entry(*parent, directory->get(), wanted.name, attempt));
  if (auto opened = open_existing(*found.inode, in.flags, (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0, attempt);
      !opened) {
    attempt.uncounted();
    inodes_.forget(found.inode->id, 1);
    return opened.error();
  }
  SK_TRY_VOID(
      checked(::fstatat(directory->get(), wanted.name.c_str(), &found.attributes, AT_SYMLINK_NOFOLLOW)));
  add_entry(reply, *found.inode, found.attributes);
  add_open(reply, in.flags);
  return outbox_.after_change(*found.inode);
}

Call<void> Operations::tmpfile(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_create_in>());
  SK_TRY(Inode * parent, node(request.header().nodeid));
  SK_TRY(const SharedFd directory, inodes_.path_fd(*parent));
  SK_TRY(const bool group_of_directory, hands_its_group_down(*parent, directory->get()));
  ::umask(in.umask);
  Fd file{::openat(directory->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, in.mode & 07777)};
  if (!file) return last_errno();
  struct stat attributes {};
  SK_TRY_VOID(checked(::fstat(file.get(), &attributes)));
  const auto& caller = request.header();
  const gid_t group = group_of_directory || attributes.st_gid != 0 ? attributes.st_gid : caller.gid;
  SK_TRY_VOID(checked(::fchown(file.get(), caller.uid, group)));
  SK_TRY_VOID(checked(::fchmod(file.get(), attributes.st_mode & 07777)));
  SK_TRY_VOID(checked(::fstat(file.get(), &attributes)));
  SK_TRY(const Inode* inode, inodes_.adopt_nameless(root_, std::move(file), attributes));
  request.attempt().counted(inode->id);
  request.attempt().opened(inode->id);
  add_entry(reply, *inode, attributes);
  add_open(reply, in.flags);
  return {};
}

Call<void> Operations::link(const Request& request, Reply& reply) {
  SK_TRY(const auto in, request.arguments<fuse_link_in>());
  SK_TRY(const auto text, request.name_at(sizeof in));
  const std::string name{text};
  SK_TRY(Inode * parent, node(request.header().nodeid));
  SK_TRY(Inode * inode, node(in.oldnodeid));
  SK_TRY(const SharedFd directory, inodes_.path_fd(*parent));
  SK_TRY(const SharedFd source, inodes_.path_fd(*inode));
  Result<std::string> target{std::string{}};
  if (S_ISLNK(inode->type)) target = replica::tree::link_target(source->get(), "");
  if (!target) return Errno{EIO};
  struct stat attributes {};
  {
    SK_TRY(const auto scope, outbox_.changing({{.what = replica::Change::What::Names, .id = noted_id(*parent)}}));
    const auto content = order_.content(inode->id);
    bool first_name = false;
    {
      const auto names = order_.names_exclusive();
      const bool replicated = !inodes_.excludes(*parent, name, false);
      first_name = inode->nameless && replicated;
      request.attempt().begin_change();
      const auto linked = checked(::linkat(source->get(), "", directory->get(), name.c_str(), AT_EMPTY_PATH));
      const bool there = !linked && linked.error().number == EEXIST && request.attempt().is_repeated();
      if (!linked && !there) return linked.error();
      SK_TRY_VOID(checked(::fstatat(directory->get(), name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW)));
      if (there && attributes.st_ino != inode->number) return Errno{EEXIST};
      if (first_name) {
        inode->last_sequence = outbox_
                                   .append(wire::Create{.parent = parent->id,
                                                        .name = name,
                                                        .id = inode->id,
                                                        .attributes = to_attributes(attributes),
                                                        .link_target = *target})
                                   .value;
        inode->nameless = false;
      } else if (replicated) {
        inode->last_sequence =
            outbox_.append(wire::Link{.id = inode->id, .parent = parent->id, .name = name}).value;
      }
      SK_TRY(inode, inodes_.adopt(*parent, name, attributes, InodeTable::For::Kernel));
      request.attempt().counted(inode->id);
      outbox_.touch(*parent);
    }
    if (first_name) send_nameless(*inode);  // the names stand free while its content is sent
  }
  add_entry(reply, *inode, attributes);
  return outbox_.after_change(*inode);
}

}  // namespace safekit::fuse
