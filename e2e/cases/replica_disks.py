"""Disks that lose power, for tests: what is mounted afterwards is a copy of the image as it was at that moment."""
import os, subprocess, time


def sh(*command):
    subprocess.run(command, check=True)


class Disk:
    """A node's disk: an ext4 image that holds its data and its state."""

    def __init__(self, node, size):
        self.node, self.pair, self.count = node, node.pair, 0
        self.image = f"{self.pair.root}/{node.name}.0.img"
        with open(self.image, "wb") as out:
            out.truncate(size)
        sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.at = f"{self.pair.root}/disk-{node.name}"
        os.makedirs(self.at)
        self.mount()
        for name in ("data", "state"):
            os.makedirs(f"{self.root}{self.at}/{name}")
        self.bind()

    @property
    def root(self):
        return f"/proc/{self.node.keeper.pid}/root"

    def mount(self):
        # No commit but what somebody syncs: whatever is not on disk by a promise is lost.
        self.node.run("mount", "-o", "loop,commit=300", self.image, self.at)

    def bind(self):
        self.node.run("mount", "--bind", f"{self.at}/data", self.pair.mount)
        self.node.run("mount", "--bind", f"{self.at}/state", f"{self.pair.root}/state-{self.node.name}")
        boot = f"{self.pair.root}/boot-{self.node.name}-{self.count}"
        with open(boot, "w") as out:
            out.write(f"{self.node.name}-boot-{self.count}\n")
        self.node.run("mount", "--bind", boot, "/proc/sys/kernel/random/boot_id")
        self.node.data = f"{self.root}{self.at}/data"

    def lose_power(self):
        self.node.kill()
        self.count += 1
        old, self.image = self.image, f"{self.pair.root}/{self.node.name}.{self.count}.img"
        sh("cp", "--sparse=always", old, self.image)
        self.node.run("sh", "-c", f"while umount -l {self.pair.mount} 2>/dev/null; do :; done; umount -l {self.at} "
                                  f"{self.pair.root}/state-{self.node.name} /proc/sys/kernel/random/boot_id")
        self.mount()
        self.bind()
        # The clock of a machine that was booted now. A time namespace has whole seconds: what the node had done in this second
        # before it was lost must not look as if it were done since.
        booted = int(time.clock_gettime(time.CLOCK_BOOTTIME)) + 1
        while time.clock_gettime(time.CLOCK_BOOTTIME) < booted:
            time.sleep(max(0, booted - time.clock_gettime(time.CLOCK_BOOTTIME)))
        self.node.wrap = ["unshare", "-T", "--boottime", str(-booted)]
        os.unlink(old)
