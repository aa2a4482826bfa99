#!/usr/bin/env python3
"""The stream of a FUSE mount is complete: what applications do through the mount gives the same results as on a native
directory, and the operations handed to the sink, applied to a copy, make the copy identical.

usage: fuse_tree.py FUSE_MOUNT_CHECK [--seed N] [--steps N] [--durability barrier|fsync|write] [--write-back] [--keep]
Needs root; runs in a private mount namespace. Exit 77: skipped.
"""
import argparse, ctypes, errno, mmap, os, random, shutil, signal, sqlite3, stat, struct, subprocess, sys, tempfile, threading

libc = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def renameat2(old, new, flags):
    checked(libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags))


def utimensat(path, times):
    spec = (ctypes.c_long * 4)(*times[0], *times[1])
    checked(libc.utimensat(-100, os.fsencode(path), spec, 0x100))


def access_list(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def fallocate(fd, mode, offset, length):
    checked(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


# -- comparing trees -------------------------------------------------------------------------------------------------

def extents(path, size):
    found, at = [], 0
    with open(path, "rb") as file:
        # Pages that someone has read would make preallocated space look like data.
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))
    return found


def describe(path, exact, links):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    about = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid)}
    if exact:
        about["mtime"] = st.st_mtime_ns
    if kind == stat.S_IFREG:
        about["size"] = st.st_size
        if exact:
            about["extents"] = extents(path, st.st_size)
        with open(path, "rb") as file:
            about["content"] = hash(file.read())
    if kind == stat.S_IFLNK:
        about["target"] = os.readlink(path)
    else:
        about["xattrs"] = {n: os.getxattr(path, n) for n in os.listxattr(path)} if kind in (stat.S_IFREG, stat.S_IFDIR) else {}
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        about["device"] = st.st_rdev
    if kind != stat.S_IFDIR:
        about["same as"] = links.setdefault((st.st_dev, st.st_ino), path.split("/", 1)[-1] if path[0] != "/" else path)
    return about


def tree(top, exact=True):
    result, links = {}, {}
    here = os.getcwd()
    os.chdir(top)
    for folder, folders, files in os.walk("."):
        folders.sort()
        result[folder] = describe(folder, exact, links)
        for name in sorted(files) + [n for n in folders if os.path.islink(os.path.join(folder, n))]:
            path = os.path.join(folder, name)
            result[path] = describe(path, exact, links)
    os.chdir(here)
    return result


def differences(a, b):
    lines = []
    for path in sorted(set(a) | set(b)):
        if path not in a or path not in b:
            lines.append(f"{path}: only in the {'first' if path in a else 'second'}")
        elif a[path] != b[path]:
            parts = {k: (a[path].get(k), b[path].get(k)) for k in a[path] if a[path].get(k) != b[path].get(k)}
            lines.append(f"{path}: {str(parts)[:300]}")
    return lines


def must_be_same(what, a, b):
    lines = differences(a, b)
    if lines:
        sys.exit(f"FAILED: {what} differ in {len(lines)} places:\n  " + "\n  ".join(lines[:20]))
    print(f"ok: {what} are identical ({len(a)} entries)", flush=True)


# -- random operations, the same on several directories --------------------------------------------------------------

class Walker:
    """One seeded sequence of operations; the same seed in another directory must give the same results."""

    def __init__(self, top, seed):
        self.top, self.random, self.open, self.log = top, random.Random(seed), [], []
        self.names = [f"{d}{n}" for d in ("", "d1/", "d1/e/", "d2/") for n in ("a", "b", "c", "sp ace", "\u00fc\udcff", "l" * 255)]
        for d in ("d1", "d1/e", "d2"):
            os.makedirs(os.path.join(top, d), exist_ok=True)

    def path(self):
        name = self.random.choice(self.names)
        self.used.append(name)
        return os.path.join(self.top, name)

    def data(self):
        return bytes([self.random.randrange(256)]) * self.random.choice((1, 100, 4096, 10000, 150000))

    def file(self):
        return self.random.choice(self.open)[0] if self.open else None

    def step(self):
        calls = [n for n in dir(self) if n.startswith("do_")]
        name = self.random.choice(calls)
        state = self.random.getrandbits(64)
        saved = self.random
        self.random = random.Random(state)  # as many numbers are drawn whatever fails
        self.used = []
        try:
            result = getattr(self, name)()
        except OSError as error:
            result = errno.errorcode[error.errno]
        self.random = saved
        self.log.append((name, self.used, result))

    def run(self, steps):
        for _ in range(steps):
            self.step()
        while self.open:
            os.close(self.open.pop()[0])
        return self.log

    def do_open(self):
        flags = self.random.choice((os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY,
                                    os.O_RDWR | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_APPEND,
                                    os.O_RDWR | os.O_CREAT | os.O_DSYNC,
                                    os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, os.O_WRONLY | os.O_APPEND))
        fd = os.open(self.path(), flags | os.O_NONBLOCK, 0o640)  # it may be a FIFO
        self.open.append((fd, flags))
        if len(self.open) > 8:
            os.close(self.open.pop(0)[0])

    do_open_again = do_open_more = do_open

    def do_close(self):
        if self.open:
            os.close(self.open.pop(self.random.randrange(len(self.open)))[0])

    def do_write(self):
        if self.open:
            return os.pwrite(self.file(), self.data(), self.random.randrange(300000))

    do_write_more = do_write

    def do_append(self):
        if self.open:
            fd = self.file()
            os.lseek(fd, 0, os.SEEK_END)
            return os.write(fd, self.data())

    def do_read(self):
        if self.open:
            return hash(os.pread(self.file(), 100000, self.random.randrange(200000)))

    def do_truncate(self):
        if self.open:
            os.ftruncate(self.file(), self.random.randrange(400000))

    def do_truncate_path(self):
        os.truncate(self.path(), self.random.randrange(400000))

    def do_fallocate(self):
        if self.open:
            mode = self.random.choice((0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE))
            fallocate(self.file(), mode, self.random.randrange(200000), self.random.randrange(1, 100000))

    def do_sync(self):
        if self.open:
            self.random.choice((os.fsync, os.fdatasync))(self.file())

    def do_mapped_write(self):
        if self.open:
            fd = self.file()
            if os.fstat(fd).st_size > 8192:
                at, text = self.random.randrange(8000), self.data()[:100]
                child = os.fork()
                if child == 0:
                    code = 255
                    try:
                        with mmap.mmap(fd, 8192) as area:
                            area[at:at + len(text)] = text
                        code = 0
                    except ValueError:
                        code = 0  # another thread has shortened it meanwhile
                    except OSError as error:
                        code = error.errno
                    finally:
                        os._exit(code)
                ended = os.waitpid(child, 0)[1]
                if os.WIFEXITED(ended) and os.WEXITSTATUS(ended):
                    raise OSError(os.WEXITSTATUS(ended), "mapped write")
                assert ended == 0 or os.WTERMSIG(ended) == signal.SIGBUS, f"a mapped write ended with status {ended}"

    def do_extents(self):
        if self.open and stat.S_ISREG(os.fstat(self.open[0][0]).st_mode):
            at, whence = self.random.randrange(100000), self.random.choice((os.SEEK_DATA, os.SEEK_HOLE))
            try:
                os.lseek(self.open[0][0], at, whence)  # the answer depends on which preallocated pages are cached
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            return at < os.fstat(self.open[0][0]).st_size

    def do_fstat(self):
        if self.open:
            st = os.fstat(self.file())
            return st.st_size, st.st_mode, st.st_nlink

    def do_stat(self):
        st = os.lstat(self.path())
        return st.st_mode, st.st_nlink, st.st_size if not stat.S_ISDIR(st.st_mode) else 0, st.st_uid

    def do_list(self):
        return sorted(os.listdir(os.path.dirname(self.path())))

    def do_unlink(self):
        os.unlink(self.path())

    def do_rename(self):
        os.rename(self.path(), self.path())

    def do_rename_flags(self):
        renameat2(self.path(), self.path(), self.random.choice((NOREPLACE, EXCHANGE)))

    def do_link(self):
        os.link(self.path(), self.path(), follow_symlinks=False)

    def do_symlink(self):
        os.symlink(self.random.choice(("a", "../x", "missing/target")), self.path())

    def do_mkdir(self):
        os.mkdir(self.path(), self.random.choice((0o755, 0o2775, 0o1777)))

    def do_rmdir(self):
        os.rmdir(self.path())

    def do_mknod(self):
        os.mknod(self.path(), self.random.choice((stat.S_IFIFO, stat.S_IFREG, stat.S_IFSOCK)) | 0o600)

    def do_chmod(self):
        if not os.path.islink(path := self.path()):
            os.chmod(path, self.random.choice((0o600, 0o4755, 0o2711, 0o777)))

    def do_chown(self):
        path = self.path()
        os.lchown(path, self.random.choice((-1, 0, 1000)), self.random.choice((-1, 0, 1000)))
        return os.lstat(path).st_mode

    def do_utime(self):
        os.utime(self.path(), ns=(1, self.random.randrange(10**18)), follow_symlinks=False)

    def do_times(self):
        path = self.path()
        now, omit = (0, (1 << 30) - 1), (0, (1 << 30) - 2)
        times = [self.random.choice((now, omit, (self.random.randrange(10**9), self.random.randrange(10**9)))) for _ in range(2)]
        utimensat(path, times)
        st = os.lstat(path)
        return [ns for ns, asked in zip((st.st_atime_ns, st.st_mtime_ns), times) if asked not in (now, omit)]

    def do_xattr(self):
        path = self.path()
        name = self.random.choice(("user.x", "user.y", "user.z", "trusted.t", "user." + "n" * 250, "user." + "n" * 251, "bad"))
        what = self.random.randrange(4)
        if what == 0:
            os.removexattr(path, name, follow_symlinks=False)
        elif what == 1:
            return os.getxattr(path, name, follow_symlinks=False)
        elif what == 2:
            return sorted(os.listxattr(path, follow_symlinks=False))
        else:
            os.setxattr(path, name, self.data()[:self.random.choice((0, 200, 3000))],
                        self.random.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE)), follow_symlinks=False)

    def do_capability(self):
        """File capabilities go with a write; not with set-id bits, where the kernel tells too little of a chown of nothing."""
        path = self.path()
        if os.lstat(path).st_mode & 0o6000 or not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000000, 1 << 10, 0, 0, 0))
        what = self.random.randrange(3)
        try:
            if what == 0:
                with open(path, "r+b") as file:
                    file.write(b"x")
            elif what == 1:
                os.truncate(path, 10)
            else:
                os.chown(path, 0, 0)
            return sorted(os.listxattr(path))
        finally:  # a write through a mapping takes them away here, and natively not
            if "security.capability" in os.listxattr(path):
                os.removexattr(path, "security.capability")

    def do_access_list(self):
        path, kind = self.path(), self.random.choice(("access", "default"))
        none, perm = 0xffffffff, lambda: self.random.randrange(8)
        entries = [(1, perm(), none), (2, perm(), 1000), (4, perm(), none), (0x10, perm(), none), (0x20, perm(), none)]
        what = self.random.randrange(4)
        if what == 0:
            os.removexattr(path, f"system.posix_acl_{kind}", follow_symlinks=False)
        elif what == 1:
            os.setxattr(path, f"system.posix_acl_{kind}", access_list(*(e for e in entries if e[0] not in (2, 0x10))),
                        follow_symlinks=False)
        else:
            os.setxattr(path, f"system.posix_acl_{kind}", access_list(*entries), follow_symlinks=False)
        return os.lstat(path).st_mode

    def do_copy_range(self):
        if len(self.open) > 1:
            source, target = (fd for fd, _ in self.random.sample(self.open, 2))
            if stat.S_ISREG(os.fstat(source).st_mode) and stat.S_ISREG(os.fstat(target).st_mode):
                return os.copy_file_range(source, target, self.random.randrange(100000), self.random.randrange(200000),
                                          self.random.randrange(200000))

    def do_two_appenders(self):
        path, written = self.path(), []
        fds = []
        try:
            for _ in range(2):
                fds.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644))
            for i in range(6):
                written.append(os.write(fds[i % 2], bytes([i]) * self.random.randrange(1, 9000)))
            with open(path, "rb") as file:
                return hash(file.read()) if stat.S_ISREG(os.fstat(fds[0]).st_mode) else written
        finally:
            [os.close(fd) for fd in fds]

    def do_unlinked(self):
        """A file goes on working without its last name."""
        path = self.path()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, self.data())
            os.unlink(path)
            os.pwrite(fd, self.data(), self.random.randrange(100000))
            os.ftruncate(fd, self.random.randrange(200000))
            os.fchmod(fd, 0o4711)
            os.fchown(fd, 1000, 1000)
            os.setxattr(fd, "user.gone", b"1")
            os.fsync(fd)
            st = os.fstat(fd)
            try:
                os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
                linked = "linked"
            except OSError as error:
                linked = error.errno
            return hash(os.pread(fd, 400000, 0)), st.st_size, st.st_mode, st.st_nlink, st.st_uid, linked
        finally:
            os.close(fd)

    def do_directory_kept_open(self):
        path = self.path()
        os.mkdir(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.rmdir(path)
            st = os.fstat(fd)
            try:
                os.mkdir("x", dir_fd=fd)
                made = "made"
            except OSError as error:
                made = error.errno
            return st.st_nlink, made, os.listdir(fd)
        finally:
            os.close(fd)

    def do_long_name(self):
        fd = os.open(os.path.join(self.top, "y" * self.random.choice((254, 255, 256))), os.O_RDWR | os.O_CREAT, 0o600)
        os.close(fd)

    def do_long_path(self):
        path = self.path()
        folder, name = os.path.split(path)
        length = self.random.choice((4094, 4095, 4096))
        padding = length - len(os.fsencode(path))
        path = folder + "/" * (1 + padding % 2) + "./" * (padding // 2) + name
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600))

    def do_sync_directory(self):
        fd = os.open(os.path.dirname(self.path()), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def do_as_user(self):
        """One of the other calls as an ordinary user; of this thread alone."""
        calls = [n for n in dir(self) if n.startswith("do_") and n != "do_as_user"]
        name = self.random.choice(calls)
        self.used.append(name)
        libc.setfsgid(1000)
        libc.setfsuid(1000)
        try:
            return getattr(self, name)()
        finally:
            libc.setfsuid(0)
            libc.setfsgid(0)

    def do_nameless(self):
        fd = os.open(os.path.dirname(self.path()), os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            os.write(fd, self.data())
            os.pwrite(fd, b"end", 500000)
            os.setxattr(fd, "user.t", b"1")
            path = self.path()
            checked(libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, os.fsencode(path), 0x400))
        finally:
            os.close(fd)


# -- applications ----------------------------------------------------------------------------------------------------

def run(*arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def git(top):
    env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
               GIT_CONFIG_GLOBAL="/dev/null")
    one, two = os.path.join(top, "one"), os.path.join(top, "two")
    run("git", "init", "-q", one, env=env)
    for i in range(5):
        for j in range(20):
            with open(f"{one}/f{j}", "a") as file:
                file.write(f"{i} {j}\n" * 50)
        run("git", "add", "-A", cwd=one, env=env)
        run("git", "commit", "-qm", f"c{i}", cwd=one, env=env)
    run("git", "clone", "-q", one, two, env=env)
    run("git", "gc", "-q", cwd=two, env=env)
    run("git", "fsck", "--strict", cwd=two, env=env)
    if run("git", "status", "--porcelain", cwd=two, env=env):
        sys.exit("FAILED: git status is not clean")


def tar(top):
    os.makedirs(top)
    run("sh", "-c", f"tar -C /usr/share -cf - perl5 bash-completion 2>/dev/null | tar -C {top} -xf -")
    run("rm", "-rf", f"{top}/perl5")


def sqlite(path):
    os.makedirs(os.path.dirname(path))
    for mode in ("delete", "wal"):
        db = sqlite3.connect(path + mode, isolation_level=None)
        db.execute(f"pragma journal_mode={mode}")
        db.execute("create table t(i integer primary key, x blob)")
        for i in range(100):
            db.execute("begin")
            for _ in range(5):
                db.execute("insert into t(x) values(randomblob(500))")
            db.execute("delete from t where i % 7 = ?", (i % 7,))
            db.execute("commit")
        if db.execute("pragma integrity_check").fetchone() != ("ok",):
            sys.exit("FAILED: sqlite integrity check")
        db.close()


def fsx(path, seed, steps):
    """Random reads and writes of one file against a model in memory."""
    rnd, model, limit = random.Random(seed), bytearray(), 300000
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    for step in range(steps):
        at, size = rnd.randrange(limit), rnd.randrange(1, 60000)
        what = rnd.randrange(8)
        if what <= 2:
            text = rnd.randbytes(size)
            if what == 2:
                at, size = at & ~4095, (size & ~4095) + 4096
                area = mmap.mmap(-1, size)
                text = (text * 2 + bytes(size))[:size]
                area.write(text)
                os.pwrite(direct, area, at)
            else:
                os.pwrite(fd, text, at)
            if len(model) < at:
                model.extend(bytes(at - len(model)))
            model[at:at + size] = text
        elif what == 3:
            size = rnd.randrange(limit)
            os.ftruncate(fd, size)
            model = model[:size] + bytes(max(0, size - len(model)))
        elif what == 4:
            fallocate(fd, PUNCH_HOLE | KEEP_SIZE, at, size)
            end = min(at + size, len(model))
            if at < end:
                model[at:end] = bytes(end - at)
        elif what == 5 and model:
            with mmap.mmap(fd, len(model)) as area:
                at %= len(model)
                text = rnd.randbytes(min(size, len(model) - at))
                area[at:at + len(text)] = text
                model[at:at + len(text)] = text
        elif os.pread(fd, size, at) != bytes(model[at:at + size]):
            sys.exit(f"FAILED: {path} differs from its model at {at}, step {step}, seed {seed}")
    if os.pread(fd, limit * 2, 0) != bytes(model):
        sys.exit(f"FAILED: {path} differs from its model at the end, seed {seed}")
    os.close(fd)
    os.close(direct)


def ordinary_user(top):
    """Owners, groups, set-id bits and modes as an ordinary user gets them; the result is compared with a native one."""
    os.mkdir(top)
    os.chmod(top, 0o777)
    os.mkdir(f"{top}/sgid")
    os.chown(f"{top}/sgid", 0, 2000)
    os.chmod(f"{top}/sgid", 0o2777)
    os.mkdir(f"{top}/sgid-root")
    os.chmod(f"{top}/sgid-root", 0o2777)
    for name in ("suid", "trunc"):
        with open(f"{top}/{name}", "w") as file:
            file.write("12345")
        os.chown(f"{top}/{name}", 1000, 1000)
        os.chmod(f"{top}/{name}", 0o6777)
    for group in (1000, 2000):  # set-group-id stays with who is in the group
        os.mkdir(f"{top}/listed-{group}")
        os.chown(f"{top}/listed-{group}", 1000, group)
        os.chmod(f"{top}/listed-{group}", 0o2755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(1000)
            os.setuid(1000)
            os.umask(0o027)
            for folder in (top, f"{top}/sgid", f"{top}/sgid-root"):
                fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o6777)
                checked(libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, f"{folder}/was-nameless".encode(), 0x400))
                os.mkdir(f"{folder}/dir", 0o777)
                os.close(os.open(f"{folder}/file", os.O_CREAT | os.O_WRONLY, 0o6777))
                os.symlink("x", f"{folder}/symlink")
                os.mkfifo(f"{folder}/fifo")
            with open(f"{top}/suid", "r+") as file:
                file.write("x")
            os.truncate(f"{top}/trunc", 2)
            for group in (1000, 2000):
                os.setxattr(f"{top}/listed-{group}", "system.posix_acl_access",
                            access_list(*((tag, 7, 0xffffffff) for tag in (1, 4, 0x20))))
            for call in (lambda: os.chown(f"{top}/file", 0, 0), lambda: open("/proc/1/mem"), lambda: os.rmdir(f"{top}/sgid")):
                try:
                    call()
                    code = 2
                except OSError:
                    pass
            if code == 1:
                code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("FAILED: an ordinary user's calls")


def in_parallel(calls):
    failed = []

    def guarded(call):
        try:
            call()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(c,)) for c in calls]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if failed:
        raise failed[0]


# -- the case --------------------------------------------------------------------------------------------------------

class Mount:
    def __init__(self, program, directory, *arguments):
        self.process = subprocess.Popen([program, directory, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "mounted\n":
            sys.exit("FAILED: " + self.process.stderr.read())
        self.errors = []
        self.reader = threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def end(self):
        self.process.stdin.close()
        said = self.process.stdout.read().strip()
        code = self.process.wait()
        self.reader.join()
        if code != 0:
            sys.exit(f"FAILED: exit {code}: {said}\n{''.join(self.errors[:30])}")
        return said


def prepare(top):
    """What is there before the mount, with names that nobody looks up through it."""
    os.makedirs(f"{top}/old/deep/er")
    for i in range(50):
        with open(f"{top}/old/deep/f{i}", "w") as file:
            file.write(f"{i}" * 1000)
    os.link(f"{top}/old/deep/f1", f"{top}/old/deep/er/second name")
    os.symlink("deep", f"{top}/old/symlink")


def work_on_old(top):
    with open(f"{top}/old/deep/f1", "r+") as file:
        os.unlink(f"{top}/old/deep/f1")  # it has another name, which nobody has looked up
        os.rename(f"{top}/old/deep/er", f"{top}/old/moved")
        file.write("changed")
    os.rename(f"{top}/old/deep", f"{top}/old/deeper")
    with open(f"{top}/old/deeper/f2", "a") as file:
        file.write("more")
    for i in range(10, 20):
        os.unlink(f"{top}/old/deeper/f{i}")
    with open(f"{top}/old/deeper/f3", "r+") as file:
        os.unlink(f"{top}/old/deeper/f3")
        file.write("not replicated")
        file.flush()
        os.fsync(file.fileno())
    os.mkdir(f"{top}/old/gone")
    fd = os.open(f"{top}/old/gone", os.O_DIRECTORY)
    os.rmdir(f"{top}/old/gone")
    os.fstat(fd)
    os.close(fd)


def busy(mount, top):
    """A busy unmount names who holds it, and the mount goes on."""
    with open(f"{top}/held", "w") as file:
        mount.process.stdin.write("try\n")
        mount.process.stdin.flush()
        while not mount.errors:
            mount.reader.join(0.02)
        file.write("still works")
    if f"(pid {os.getpid()})" not in mount.errors[0]:
        sys.exit("FAILED: busy unmount: " + mount.errors[0])
    print("ok: " + mount.errors[0].strip())


def compare_with_native(mounted, native, seed, steps):
    logs = [Walker(os.path.join(base, f"w{seed}"), seed).run(steps) for base in (mounted, native)]
    for step, (a, b) in enumerate(zip(*logs)):
        if a != b:
            before = "\n  ".join(str(entry)[:200] for entry in logs[1][max(0, step - 30):step])
            sys.exit(f"FAILED: step {step}: {a} through the mount, {b} natively (seed {seed}), after\n  {before}")
    here = (part_of(tree(top, False), (f"./w{seed}",)) for top in (mounted, native))
    if lines := differences(*here):
        sys.exit(f"FAILED: seed {seed}: mount and native differ:\n  " + "\n  ".join(lines[:20]))


def part_of(whole, prefixes):
    return {path: about for path, about in whole.items() if path.startswith(prefixes)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--durability", default="barrier")
    parser.add_argument("--seeds", type=int, default=0, help="only the comparison with the native file system, so many times")
    parser.add_argument("--write-back", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        return 77
    if not args.inside:  # whatever happens, the mount ends with the namespace
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv, "--inside", "--seed", str(args.seed)])
    print(f"seed {args.seed}", flush=True)
    top = tempfile.mkdtemp(prefix="fuse_tree.")
    os.chmod(top, 0o755)
    mounted, copy, native = (os.path.join(top, n) for n in ("mounted", "copy", "native"))
    os.mkdir(mounted)
    os.mkdir(native)
    prepare(mounted)
    run("cp", "-a", mounted, copy)
    mount = Mount(args.program, mounted, "--copy", copy, "--durability", args.durability,
                  *(["--write-back"] if args.write_back else []))

    work_on_old(mounted)
    ordinary_user(f"{mounted}/user")
    ordinary_user(f"{native}/user")
    for i in range(args.seeds or 2):
        compare_with_native(mounted, native, args.seed + i, args.steps)
    print("ok: single random operations give native results", flush=True)
    must_be_same("mount and native", *(part_of(tree(top, False), ("./w", "./user")) for top in (mounted, native)))
    if args.seeds:
        print(f"ok: {mount.end()}")
        must_be_same("mounted directory and copy", tree(mounted), tree(copy))
        shutil.rmtree(top)
        return 0
    in_parallel([lambda i=i: Walker(os.path.join(mounted, "shared"), args.seed + 10 + i).run(args.steps) for i in range(4)])
    in_parallel([lambda i=i: fsx(os.path.join(mounted, f"fsx{i}"), args.seed + i, args.steps) for i in range(2)])
    print("ok: parallel random operations, fsx", flush=True)
    in_parallel([lambda: git(os.path.join(mounted, "git")), lambda: tar(os.path.join(mounted, "tar")),
                 lambda: sqlite(os.path.join(mounted, "sqlite", "db"))])
    print("ok: git, tar, sqlite", flush=True)
    busy(mount, mounted)
    print(f"ok: {mount.end()}")
    must_be_same("mounted directory and copy", tree(mounted), tree(copy))
    if not args.keep:
        shutil.rmtree(top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
