#!/usr/bin/env python3
"""What public suites do not look at, on a mirror mount whose secondary is connected: names of any byte, paths of the greatest length,
files of terabytes, great directories, unlinked and nameless files, locks, and open files while the other node leaves and returns.

usage: matrix.py SAFEKIT_REPLICAD [CASE...]
"""
import ctypes, errno, fcntl, multiprocessing, os, stat, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases"))
from replica_nodes import PRIMARY, SECONDARY, Pair, assert_equal, mirrored

libc = ctypes.CDLL(None, use_errno=True)
TERABYTE = 1 << 40
ENTRIES = 100000
NOREPLACE, EXCHANGE = 1, 2


def refused(number, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except OSError as error:
        assert error.errno == number, f"{error!r}, expected {errno.errorcode[number]}"
        return
    raise AssertionError(f"{call} is not refused")


def renameat2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def case_names_of_any_byte(top):
    for byte in range(1, 256):
        if byte != ord("/"):
            name = os.fsencode(top) + b"/" + bytes([byte]) * (2 if byte == ord(".") else 1) + b"x"
            with open(name, "wb") as file:
                file.write(bytes([byte]))
            os.rename(name, name + b"\n\xff")
    os.mkdir(os.fsencode(top) + b"/" + b"\xfe" * 255)
    refused(errno.ENAMETOOLONG, os.mkdir, os.fsencode(top) + b"/" + b"x" * 256)


def case_paths_of_the_greatest_length(top):
    path = top
    while len(path) + 201 < 4095:
        path += "/" + "d" * 200
        os.mkdir(path)
    last = path + "/" + "f" * (4095 - len(path) - 1)
    with open(last, "w") as file:
        file.write("deep")
    refused(errno.ENAMETOOLONG, open, last + "f", "w")
    os.symlink("t" * 4095, f"{top}/link")
    fd = os.open(path, os.O_RDONLY)  # and deeper than any path reaches
    for _ in range(10):
        os.mkdir("e" * 200, dir_fd=fd)
        below = os.open("e" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("deepest", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=fd)
    os.write(file, b"x")
    os.fsync(file)
    os.rename("deepest", "renamed", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(file)
    os.close(fd)
    os.rename(path.rsplit("/", 1)[0], f"{top}/moved")  # so that what compares can reach all of it


def case_terabytes(top):
    with open(f"{top}/sparse", "wb") as file:
        for at in (0, TERABYTE, 3 * TERABYTE, 7 * TERABYTE):
            file.seek(at)
            file.write(b"data here")
        file.truncate(8 * TERABYTE)
    fd = os.open(f"{top}/sparse", os.O_RDWR)
    assert os.lseek(fd, 4096, os.SEEK_DATA) == TERABYTE and os.lseek(fd, TERABYTE, os.SEEK_HOLE) == TERABYTE + 4096
    assert libc.fallocate(fd, 3, ctypes.c_long(TERABYTE), ctypes.c_long(TERABYTE)) == 0
    assert os.lseek(fd, 4096, os.SEEK_DATA) == 3 * TERABYTE
    os.close(fd)


def case_great_directory(top):
    os.mkdir(f"{top}/great")
    began = time.monotonic()
    for i in range(ENTRIES):
        os.mknod(f"{top}/great/entry {i}")
    made = time.monotonic() - began
    assert len(os.listdir(f"{top}/great")) == ENTRIES
    for i in range(0, ENTRIES, 2):
        os.unlink(f"{top}/great/entry {i}")
    assert len(os.listdir(f"{top}/great")) == ENTRIES // 2
    print(f"   {ENTRIES} entries made in {made:.1f} s")


def case_files_without_a_name(top):
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"nameless" * 10000)
    os.ftruncate(fd, 1 << 30)
    os.setxattr(fd, "user.a", b"b")
    assert libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, os.fsencode(f"{top}/named"), 0x400) == 0  # AT_SYMLINK_FOLLOW
    os.pwrite(fd, b"later", 1 << 20)
    os.close(fd)
    with open(f"{top}/gone", "w+") as file:
        os.unlink(f"{top}/gone")
        file.write("not seen")
        file.flush()
        os.fsync(file.fileno())
        refused(errno.ENOENT, os.stat, f"{top}/gone")


def case_renames(top):
    for name in ("a", "b", "d1", "d2"):
        os.mkdir(f"{top}/{name}") if name[0] == "d" else open(f"{top}/{name}", "w").write(name)
    open(f"{top}/d1/x", "w").write("x")
    with open(f"{top}/a", "r+") as over, open(f"{top}/b", "r+") as other:
        refused(errno.EEXIST, renameat2, f"{top}/a", f"{top}/b", NOREPLACE)
        renameat2(f"{top}/a", f"{top}/d2/a", NOREPLACE)
        renameat2(f"{top}/d2/a", f"{top}/b", EXCHANGE)
        over.write("written after")
        other.write("so is this one")
        over.flush(), other.flush()
        renameat2(f"{top}/d1", f"{top}/b", EXCHANGE)  # a directory and a file
        os.rename(f"{top}/d1", f"{top}/d2/a")           # over an open file
        other.write(" and this")
    refused(errno.EINVAL, os.rename, f"{top}/b", f"{top}/b/below")
    refused(errno.ENOTEMPTY, os.rename, f"{top}/d2", f"{top}/b")


def case_special_files_and_bits(top):
    os.mkfifo(f"{top}/fifo", 0o4711)
    os.mknod(f"{top}/socket", stat.S_IFSOCK | 0o600)
    os.mknod(f"{top}/char", stat.S_IFCHR | 0o600, os.makedev(511, (1 << 20) - 1))
    os.mknod(f"{top}/block", stat.S_IFBLK | 0o660, os.makedev(4095, 7))
    for i, mode in enumerate((0o4755, 0o2755, 0o6777, 0o1777, 0)):
        os.close(os.open(f"{top}/mode{i}", os.O_CREAT | os.O_RDWR, 0o600))
        os.chmod(f"{top}/mode{i}", mode)
        os.utime(f"{top}/mode{i}", ns=(i, 1234567890_123456789 - i))
    os.utime(f"{top}/fifo", ns=(1, 1))
    os.symlink("nowhere", f"{top}/link")
    os.utime(f"{top}/link", ns=(1, 987654321_987654321), follow_symlinks=False)
    os.setxattr(f"{top}/mode0", "user.big", b"v" * 3000)
    os.setxattr(f"{top}/link", "trusted.on-a-link", b"\0\xff", follow_symlinks=False)
    assert os.statvfs(top).f_namemax == 255 and os.statvfs(top).f_blocks > 0


def lock_is_free(path):
    with open(path, "r+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
            return True
        except BlockingIOError:
            return False


def case_locks(top):
    with open(f"{top}/locked", "w+") as file, multiprocessing.Pool(1) as other:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
        assert not other.apply(lock_is_free, [file.name])
        fcntl.lockf(file, fcntl.LOCK_UN, 10, 0)
        assert other.apply(lock_is_free, [file.name])
        fcntl.flock(file, fcntl.LOCK_EX)
        with open(file.name) as again:
            refused(errno.EAGAIN, fcntl.flock, again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_files_stay(pair):
    """The other node leaves and returns, killed and in order; what is open and locked here goes on, and arrives."""
    with open(f"{pair.mount}/kept", "wb", buffering=0) as file, open(f"{pair.mount}/removed", "wb", buffering=0) as gone:
        fcntl.flock(file, fcntl.LOCK_EX)
        for leave in (pair.b.kill, pair.b.stop):
            file.write(b"before")
            os.fsync(file.fileno())
            leave()
            pair.a.want(PRIMARY, may_be_alone=True)
            file.write(b"without")
            os.fsync(file.fileno())
            if os.path.exists(gone.name):
                os.unlink(gone.name)
            pair.b.start()
            pair.b.settle(SECONDARY)
            pair.a.synchronised()
            pair.a.want(PRIMARY)
            file.write(b"after")
            gone.write(b"nobody reads this")
            os.fsync(file.fileno())
        with open(file.name) as again:
            refused(errno.EAGAIN, fcntl.flock, again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert_equal(pair)
    assert open(f"{pair.b.data}/kept").read() == "beforewithoutafter" * 2


CASES = [value for name, value in list(globals().items()) if name.startswith("case_")]


def inside(top, wanted):
    for case in CASES:
        if not wanted or case.__name__ in wanted:
            began = time.monotonic()
            os.mkdir(f"{top}/{case.__name__}")
            case(f"{top}/{case.__name__}")
            print(f"{case.__name__} ok ({time.monotonic() - began:.1f} s)", flush=True)


def join(namespace):
    assert libc.unshare(0x200) == 0 and libc.setns(namespace, 0x20000) == 0, os.strerror(ctypes.get_errno())  # CLONE_FS, CLONE_NEWNS
    os.close(namespace)


def enter(pair):
    """From here on this process lives in the primary's mount namespace. Gives the one that it was in."""
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    join(os.open(f"/proc/{pair.a.keeper.pid}/ns/mnt", os.O_RDONLY))
    return before


def apart(pair, call, *arguments):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            enter(pair)
            call(*arguments)
            code = 0
        except BaseException as error:
            print(f"FAILED: {error!r}", flush=True)
            raise
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "a case failed"


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        return 77
    pair = Pair(os.path.abspath(sys.argv[1]))
    try:
        mirrored(pair)
        apart(pair, inside, pair.mount, sys.argv[2:])
        assert pair.a.report["peer_synchronised"], "the secondary was lost"
        assert_equal(pair, holes=True)
        if not sys.argv[2:]:
            before = enter(pair)
            try:
                open_files_stay(pair)
            finally:
                join(before)  # in the other one nothing of the pair can be removed
            print("open_files_stay ok")
        print("both copies are identical")
        return 0
    except Exception:
        print(pair.logs())
        raise
    finally:
        pair.close()


if __name__ == "__main__":
    sys.exit(main())
