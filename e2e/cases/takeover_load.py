"""Applications that have something in use while the process below them is replaced. usage: takeover_load.py WHAT DIRECTORY,
until SIGTERM; the first error, or a wrong content, ends them with its text."""
import ctypes, errno, mmap, os, signal, sys

AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
libc = ctypes.CDLL("libc.so.6", use_errno=True)
stopped = False


def stop(*_):
    global stopped
    stopped = True


def append(root, number):
    """Fsyncs each line; `finish` reads all of them back."""
    if number == 0:
        append.file = open(f"{root}/log", "ab", buffering=0)
    append.file.write(b"%08d\n" % number)
    os.fsync(append.file.fileno())
    if number % 50 == 0:
        with open(f"{root}/log") as file:
            assert [int(line) for line in file] == list(range(number + 1)), "lines are missing"


def names(root, number):
    """Every change of names, each of which must succeed exactly once."""
    one, two = f"{root}/d{number}", f"{root}/e{number}"
    os.mkdir(one)
    with open(os.open(f"{one}/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY), "w") as file:
        file.write(str(number))
    os.link(f"{one}/f", f"{one}/g")
    os.symlink("f", f"{one}/s")
    os.mkfifo(f"{one}/p")
    os.rename(f"{one}/g", f"{one}/h")
    os.setxattr(f"{one}/f", "user.a", b"x", os.XATTR_CREATE)
    os.removexattr(f"{one}/f", "user.a")
    os.rename(one, two)
    assert sorted(os.listdir(two)) == ["f", "h", "p", "s"], os.listdir(two)
    assert os.stat(f"{two}/f").st_nlink == 2
    assert open(f"{two}/s").read() == str(number)
    for name in "fhps":
        os.unlink(f"{two}/{name}")
    os.rmdir(two)


def unnamed(root, number):
    """Open files whose names are gone, and one that never had any."""
    if number == 0:
        unnamed.old = open(f"{root}/old", "w+b", buffering=0)
        os.unlink(f"{root}/old")
        unnamed.temporary = open(os.open(root, os.O_TMPFILE | os.O_RDWR), "w+b", buffering=0)
    for file in (unnamed.old, unnamed.temporary):
        file.seek(8 * number)
        file.write(b"%08d" % number)
        file.seek(0)
        assert len(file.read()) == 8 * (number + 1), "content is missing"
        assert os.fstat(file.fileno()).st_size == 8 * (number + 1)
    with open(f"{root}/new{number % 4}", "w+b", buffering=0) as file:
        os.unlink(file.name)
        file.write(b"x")
        os.fsync(file.fileno())
        file.seek(0)
        assert file.read() == b"x"
    with open(os.open(root, os.O_TMPFILE | os.O_RDWR), "w+b", buffering=0) as file:
        file.write(b"named later")
        target = f"{root}/named{number}"
        path = f"/proc/self/fd/{file.fileno()}".encode()
        assert libc.linkat(AT_FDCWD, path, AT_FDCWD, target.encode(), AT_SYMLINK_FOLLOW) == 0, os.strerror(ctypes.get_errno())
        assert open(target).read() == "named later"
        os.unlink(target)


def directory(root, number):
    """Reads one directory slowly: every entry once."""
    if number == 0:
        for i in range(400):
            open(f"{root}/entry-with-a-long-name-{i:04d}", "w").close()
    seen = []
    with os.scandir(root) as entries:
        for entry in entries:
            seen.append(entry.name)
            entry.stat()
    assert len(seen) == len(set(seen)) == 400, f"{len(seen)} entries, {len(set(seen))} different"


def mapped(root, number):
    """Stores through a shared mapping arrive in the file."""
    if number == 0:
        file = open(f"{root}/map", "w+b", buffering=0)
        file.truncate(1 << 20)
        mapped.memory = mmap.mmap(file.fileno(), 1 << 20)
    at = number * 4096 % (1 << 20)
    mapped.memory[at:at + 8] = b"%08d" % number
    mapped.memory.flush(at, 4096)
    with open(f"{root}/map", "rb", buffering=0) as other:
        other.seek(at)
        assert other.read(8) == b"%08d" % number


def main():
    what, root = globals()[sys.argv[1]], sys.argv[2]
    os.makedirs(root)
    done = 0
    while not stopped:
        what(root, done)
        done += 1
    print(f"done {done}", flush=True)


signal.signal(signal.SIGTERM, stop)
try:
    main()
except (OSError, AssertionError) as error:
    print(f"FAILED {error!r} {errno.errorcode.get(getattr(error, 'errno', 0), '')}", flush=True)
    raise
