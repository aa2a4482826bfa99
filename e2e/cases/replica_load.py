"""Load for replica tests, run inside a replicated directory: random changes of every kind, or acknowledged appends.

usage: replica_load.py random DIRECTORY SEED [WITHOUT [RATE]]   until SIGTERM, at most so many a second; WITHOUT names a kind that is left out
       replica_load.py append FILE                prints each number once it is on both nodes' safe side (fsync returned)
"""
import ctypes, errno, os, random, shutil, signal, sys, time

stopped = False
libc = ctypes.CDLL("libc.so.6", use_errno=True)


def stop(*_):
    global stopped
    stopped = True


def append(path):
    with open(path, "ab", buffering=0) as file:
        number = 0
        while not stopped:
            number += 1
            file.write(b"%08d\n" % number)
            os.fsync(file.fileno())
            print(number, flush=True)


def punch(path, offset, size):
    fd = os.open(path, os.O_RDWR)
    libc.fallocate(fd, 3, ctypes.c_long(offset), ctypes.c_long(size))
    os.close(fd)


class Changes:
    def __init__(self, root, seed, without=None, rate=None):
        self.root, self.random, self.without = root, random.Random(seed), without
        self.pause = 1 / int(rate) if rate else 0
        os.makedirs(root, exist_ok=True)

    def pick(self, kind):
        """A path below the root of that kind, by walking down at random."""
        path = self.root
        for _ in range(6):
            entries = [e for e in os.scandir(path)]
            directories = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
            files = [e.path for e in entries if e.is_file(follow_symlinks=False)]
            if kind == "file" and files and (not directories or self.random.random() < 0.5):
                return self.random.choice(files)
            if kind == "directory" and self.random.random() < 0.4 or not directories:
                break
            path = self.random.choice(directories)
        return path if kind == "directory" else None

    def name(self):
        return f"n{self.random.randrange(60)}" + self.random.choice(("", "", "-\u00e9", " x"))

    def step(self):
        r = self.random
        what = r.choice("make make make write write write append append cut rename rename swap link remove remove mkdir mkdir "
                        "tree symlink mode owner xattr punch sync big temporary".split())
        if what == self.without:
            return
        directory = self.pick("directory")
        target = os.path.join(directory, self.name())
        file = self.pick("file")
        if what == "make":
            with open(target, "wb") as out:
                out.write(r.randbytes(r.choice((0, 10, 5000, 70000))))
        elif what == "mkdir":
            os.mkdir(target)
        elif what == "tree":
            if r.random() < 0.2 and directory != self.root:
                shutil.rmtree(directory)
        elif what == "symlink":
            os.symlink(r.choice(("nowhere", "../x", "/nowhere/safekit")), target)
        elif what == "rename" and r.random() < 0.3:
            moved = self.pick("directory")
            if moved != self.root:
                os.rename(moved, target)
        elif what == "temporary":
            with open(target + ".tmp", "wb") as out:
                out.write(r.randbytes(3000))
                os.fsync(out.fileno())
            os.rename(target + ".tmp", target)
        elif file is None:
            return
        elif what == "rename":
            os.rename(file, target)
        elif what == "swap":
            other = self.pick("file")
            if other and other != file:
                libc.renameat2(-100, os.fsencode(file), -100, os.fsencode(other), 2)
        elif what == "write":
            with open(file, "r+b") as out:
                out.seek(r.randrange(0, 200000))
                out.write(r.randbytes(r.choice((1, 4096, 30000))))
        elif what == "append":
            with open(file, "ab") as out:
                out.write(r.randbytes(1000))
        elif what == "big":
            with open(file, "r+b") as out:
                out.seek(r.randrange(0, 8) << 20)
                out.write(r.randbytes(300000))
        elif what == "cut":
            os.truncate(file, r.randrange(0, 100000))
        elif what == "link":
            os.link(file, target)
        elif what == "remove":
            os.unlink(file)
        elif what == "mode":
            os.chmod(file, r.choice((0o600, 0o644, 0o755)))
        elif what == "owner":
            os.chown(file, r.randrange(3), r.randrange(3))
        elif what == "xattr":
            os.setxattr(file, "user.a", r.randbytes(r.randrange(50)))
        elif what == "punch":
            punch(file, r.randrange(0, 30) * 4096, r.randrange(1, 40) * 4096)
        elif what == "sync":
            with open(file, "r+b") as out:
                os.fsync(out.fileno())

    def run(self):
        done = 0
        while not stopped:
            time.sleep(self.pause)
            try:
                self.step()
                done += 1
            except OSError as error:
                expected = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL,
                            errno.EMLINK, errno.ELOOP)
                if error.errno not in expected:
                    print(f"FAILED {error!r}", flush=True)
                    sys.exit(1)
        print(f"done {done}", flush=True)


signal.signal(signal.SIGTERM, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # who starts it may have it wait until here
if sys.argv[1] == "append":
    append(sys.argv[2])
else:
    Changes(sys.argv[2], int(sys.argv[3]), *sys.argv[4:]).run()
