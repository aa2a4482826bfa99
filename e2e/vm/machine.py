"""An emulated machine (qemu without KVM, about 13 times slower): Debian's kernel, busybox, programs of ours and what they are linked
with, all in memory. What it says on its serial port is what a test has of it."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

NEEDS = ("qemu-system-x86_64", "busybox", "cpio", "depmod")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def kernel():
    """Where it is unpacked, and its version. Fetched once."""
    for program in NEEDS:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip(f"needs {program} (.ci/packages vm)")
    root = os.environ.get("SK_VM_KERNEL") or os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "safekit-vm")
    if not glob.glob(f"{root}/boot/vmlinuz-*"):
        fetched = subprocess.run([os.path.join(os.path.dirname(os.path.realpath(__file__)), "fetch"), root], capture_output=True, text=True)
        if fetched.returncode != 0:
            skip(f"no kernel can be fetched: {fetched.stderr.strip()}")
    image = sorted(glob.glob(f"{root}/boot/vmlinuz-*"))[-1]
    return root, image.split("vmlinuz-")[1]


def with_dependencies(root, version, module):
    """Paths below `root`, in the order in which they are to be loaded; parameters behind the name are the last one's."""
    module, *parameters = module.split()
    for line in open(f"{root}/lib/modules/{version}/modules.dep"):
        path, needs = line.rstrip("\n").split(":")
        if os.path.basename(path).split(".")[0] == module:
            return [f"lib/modules/{version}/{each}" for each in reversed(needs.split())] + [" ".join([f"lib/modules/{version}/{path}", *parameters])]
    raise RuntimeError(f"no kernel module '{module}' in {version}")


def libraries(program):
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", said)


class Machine:
    """`init`: lines of a shell script, run as root when everything is mounted. `programs`: paths on this machine; they are in /bin
    there. `modules`: of the kernel, with their parameters. A reset ends it."""

    def __init__(self, init, programs=(), modules=(), memory=512):
        self.root, self.version = kernel()
        self.directory = tempfile.mkdtemp(prefix="safekit-vm-", dir="/var/tmp")
        self.lines, self.changed = [], threading.Condition()
        loads = [path for module in modules for path in with_dependencies(self.root, self.version, module)]
        self._tree(init, programs, loads)
        image = f"{self.directory}/initrd"
        with open(image, "wb") as out:
            subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=f"{self.directory}/root", stdout=out, check=True)
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(memory), "-nodefaults", "-no-reboot", "-display", "none",
             "-monitor", "none", "-serial", "stdio", "-kernel", f"{self.root}/boot/vmlinuz-{self.version}", "-initrd", image,
             "-append", "console=ttyS0 quiet panic=-1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _tree(self, init, programs, loads):
        root = f"{self.directory}/root"
        for each in ("bin", "proc", "sys", "dev", "tmp", "etc", "run", "var/lib"):
            os.makedirs(f"{root}/{each}")
        shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
        for path in (load.split()[0] for load in loads):
            os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
            shutil.copy(f"{self.root}/{path}", f"{root}/{path}")
        for program in programs:
            shutil.copy(program, f"{root}/bin/")
            for library in libraries(program):
                os.makedirs(os.path.dirname(root + library), exist_ok=True)
                shutil.copy(os.path.realpath(library), root + library)
        script = ["#!/bin/busybox sh", "/bin/busybox --install -s /bin", "export PATH=/bin", "mount -t proc p /proc", "mount -t sysfs s /sys",
                  "mount -t devtmpfs d /dev", *(f"insmod /{load}" for load in loads), *init, "poweroff -f"]
        with open(f"{root}/init", "w") as out:
            out.write("\n".join(script) + "\n")
        os.chmod(f"{root}/init", 0o755)

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append((time.monotonic(), line.decode(errors="replace").strip()))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def said(self, text):
        """When, the first time; None: not yet."""
        return next((at for at, line in self.lines if text in line), None)

    def wait_for(self, text, seconds):
        with self.changed:
            if not self.changed.wait_for(lambda: self.said(text) or self.process.poll() is not None, seconds) or not self.said(text):
                raise RuntimeError(f"it did not say '{text}' within {seconds} s:\n" + "\n".join(line for _, line in self.lines))
            return self.said(text)

    def wait_for_reset(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it runs on after {seconds} s:\n" + "\n".join(line for _, line in self.lines)) from None
        return time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        shutil.rmtree(self.directory)
