#!/usr/bin/env python3
"""The address guard on a real kernel: this network namespace is a node with two virtual addresses, another one, joined by a
cable, is the network that asks. That an address is silent is seen without waiting: one that is not guarded is asked after it,
and has answered. Everything ends with the PID namespace, so nothing is left behind."""
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time

BIN = os.environ["SK_BIN"]
CHECK = f"{BIN}/address_guard_check"
MAC = bytes([2, 0, 0, 0, 0, 1])
PEER_MAC = bytes([2, 0, 0, 0, 0, 9])
OWN, VIP, VIP2, PEER = ((f"192.0.2.{n}", f"2001:db8::{n}") for n in (1, 7, 8, 9))
PORT = 9000
LIBC = ctypes.CDLL(None, use_errno=True)
KINDS = ("arp", "echo4", "tcp4", "solicitation", "echo6", "tcp6")


def sh(*command, check=True):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout


def ip(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def packet(source, target, protocol, message, at):
    """An IPv4 or IPv6 packet; the message's checksum goes to offset `at`."""
    pseudo = b""
    if protocol != 1:  # that of IPv6 is longer by zeros alone
        pseudo = source + target + struct.pack(">II", protocol, len(message))
    message = message[:at] + checksum(pseudo + message) + message[at + 2:]
    if len(source) == 16:
        return b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(message), protocol, 255) + source + target + message
    head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(message), 0x40000000 >> 16, 64, protocol, 0) + source + target
    return b"\x08\x00" + head[:10] + checksum(head) + head[12:] + message


def question(kind, address):
    """A frame of the peer that the address's owner answers."""
    v6 = kind in ("solicitation", "echo6", "tcp6")
    target, source = ip(address[v6]), ip(PEER[v6])
    if kind == "arp":
        return b"\xff" * 6 + PEER_MAC + bytes.fromhex("0806000108000604" "0001") + PEER_MAC + source + bytes(6) + target
    if kind == "solicitation":
        group = ip("ff02::1:ff00:0")[:13] + target[13:]
        message = bytes([135, 0, 0, 0, 0, 0, 0, 0]) + target + bytes([1, 1]) + PEER_MAC
        return b"\x33\x33" + group[12:] + PEER_MAC + packet(source, group, 58, message, 2)
    if kind == "echo4":
        body = packet(source, target, 1, bytes([8, 0, 0, 0, 0, 1, 0, 1]), 2)
    elif kind == "echo6":
        body = packet(source, target, 58, bytes([128, 0, 0, 0, 0, 1, 0, 1]), 2)
    else:
        question.port += 1
        syn = struct.pack(">HHIIBBHHH", question.port, PORT, 1, 0, 5 << 4, 2, 1024, 0, 0)
        body = packet(source, target, 6, syn, 16)
    return MAC + PEER_MAC + body


question.port = 20000


def said(frame):
    """(kind, address) of what a frame from the node says, or None."""
    if frame[12:14] == b"\x08\x06":
        kind = "announcement4" if frame[28:32] == frame[38:42] else "arp" if frame[20:22] == b"\0\2" else "question4"
        return kind, frame[28:32] if kind != "question4" else frame[38:42]
    if frame[12:14] == b"\x08\x00":
        kind = {1: "echo4", 6: "tcp4", 17: "udp4"}.get(frame[23])
        return (kind, frame[26:30]) if frame[23] != 6 or frame[47] == 0x12 else None
    if frame[12:14] == b"\x86\xdd":
        source, next_header, at = frame[22:38], frame[20], 54
        if next_header == 6 and frame[at + 13] == 0x12:
            return "tcp6", source
        if next_header == 17:
            return "udp6", source
        if next_header == 58 and frame[at] == 129:
            return "echo6", source
        if next_header == 58 and frame[at] == 136:
            solicited = frame[at + 4] & 0x40
            return "solicitation" if solicited else "announcement6", frame[at + 8:at + 24]
    return None


class Network:
    """The node's cable and who is at its other end."""

    def __init__(self):
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.process = subprocess.Popen(["unshare", "--net", "--", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.there = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        sh("ip", "link", "set", "lo", "up")
        self.plug()

    def plug(self):
        sh("ip", "link", "add", "veth0", "address", MAC.hex(":"), "type", "veth", "peer", "name", "veth1", "address",
           PEER_MAC.hex(":"), "netns", str(self.process.pid))
        for address in (OWN, VIP, VIP2):
            sh("ip", "address", "add", f"{address[0]}/24", "dev", "veth0")
            sh("ip", "address", "add", f"{address[1]}/64", "dev", "veth0", "nodad")
        sh("ip", "link", "set", "veth0", "up")
        # The answers need no questions first: these would be dropped in place of what is looked for.
        for peer in PEER:
            sh("ip", "neighbour", "replace", peer, "lladdr", PEER_MAC.hex(":"), "dev", "veth0", "nud", "permanent")
        enter = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        sh(*enter, "ip", "address", "add", f"{PEER[0]}/24", "dev", "veth1")
        sh(*enter, "ip", "address", "add", f"{PEER[1]}/64", "dev", "veth1", "nodad")
        sh(*enter, "ip", "link", "set", "veth1", "up")
        self.wire = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.wire.bind(("veth1", 3))
        self.wire.settimeout(10)
        while self.unanswered("arp", OWN):  # the carrier is not up yet
            pass

    def socket(self, *what):
        """Of the other end."""
        assert LIBC.setns(self.there, 0x40000000) == 0
        try:
            return socket.socket(*what)
        finally:
            assert LIBC.setns(self.here, 0x40000000) == 0

    def hear_until(self, last):
        """All that the node says until it says this."""
        heard = set()
        while last not in heard:
            frame, where = self.wire.recvfrom(2048)
            if where[2] != socket.PACKET_OUTGOING:
                heard.add(said(frame))
        return heard

    def unanswered(self, kind, address):
        self.wire.settimeout(0.2)
        self.wire.send(question(kind, address))
        try:
            self.hear_until((kind, ip(address[0])))
            return False
        except TimeoutError:
            return True
        finally:
            self.wire.settimeout(10)

    def answers(self, address, kinds=KINDS):
        """Which kinds of questions the node answers for the address."""
        result = set()
        for kind in kinds:
            v6 = kind in ("solicitation", "echo6", "tcp6")
            self.wire.send(question(kind, address))
            self.wire.send(question(kind, OWN))
            if (kind, ip(address[v6])) in self.hear_until((kind, ip(OWN[v6]))):
                result.add(kind)
        return result

    def leaves(self, address):
        """What of the node's own accord gets out in the name of the address."""
        result = set()
        for v6, name in enumerate(("4", "6")):
            sent = socket.socket((socket.AF_INET, socket.AF_INET6)[v6], socket.SOCK_DGRAM)
            sent.bind((address[v6], 0))
            sent.sendto(b"x", (PEER[v6], PORT))
            sh(f"{BIN}/netlink_check", "announce", "veth0", address[v6], check=False)  # ENOBUFS: it was kept back
            sh(f"{BIN}/netlink_check", "announce", "veth0", OWN[v6])
            heard = self.hear_until((f"announcement{name}", ip(OWN[v6])))
            result |= {what for what in (f"udp{name}", f"announcement{name}") if (what, ip(address[v6])) in heard}
        return result


class Holder:
    """A process that guards."""

    def __init__(self, module, *addresses, wrap=(), interface="veth0", works=True):
        words = [f"{a}@{interface}" for pair in addresses for a in pair]
        self.process = subprocess.Popen([*wrap, CHECK, "hold", module, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.answer = self.process.stdout.readline().strip()
        if self.answer.startswith("Unsupported"):
            print("SKIPPED:", self.answer)
            sys.exit(77)
        assert not works or self.answer == "attached", self.answer

    def __call__(self, line, answer="done"):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        got = self.process.stdout.readline().strip()
        assert answer is None or got == answer, f"{line}: {got}"
        return got

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()


ALL = set(KINDS)
OUT = {"udp4", "announcement4", "udp6", "announcement6"}


def expect(what, expected, got):
    assert expected == got, f"{what}: expected {expected}, got {got}"
    print(f"{what}: as expected")


def goes_silent(network, what, after):
    """Open until `after` seconds from now, or a little less: the caller has spent some."""
    began = time.monotonic()
    assert network.answers(VIP, ["echo4"]), f"{what}: silent at once"
    while network.answers(VIP, ["echo4"]):
        assert time.monotonic() - began < after + 1, f"{what}: still open"
    took = time.monotonic() - began
    assert took > after - 0.2, f"{what}: silent after {took:.3f} s"
    expect(f"{what}, silent after {took:.3f} s, answers", set(), network.answers(VIP))
    expect(f"{what}, leaves", set(), network.leaves(VIP))


def main():
    server = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    network = Network()
    expect("without a guard, answers", ALL, network.answers(VIP))
    expect("without a guard, leaves", OUT, network.leaves(VIP))

    db = Holder("db", VIP)
    expect("attached, not allowed: answers", set(), network.answers(VIP))
    expect("attached, not allowed: leaves", set(), network.leaves(VIP))
    assert int(db("dropped", None)) >= len(ALL) + len(OUT)
    expect("another address answers", ALL, network.answers(VIP2))
    expect("another address leaves", OUT, network.leaves(VIP2))
    with socket.create_connection((VIP[0], PORT)) as local:  # over loopback
        server.accept()[0].close()
        assert local.recv(1) == b""
    db("open")
    expect("allowed: answers", ALL, network.answers(VIP))
    expect("allowed: leaves", OUT, network.leaves(VIP))

    client = network.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect((VIP[0], PORT))
    served = server.accept()[0]
    while served.getpeername()[1] != client.getsockname()[1]:  # a question of ours that was completed
        served = server.accept()[0]
    db("closed")
    client.send(b"question")
    expect("not allowed again: answers", set(), network.answers(VIP))
    served.setblocking(False)
    try:
        served.recv(9)
        assert False, "a connection of before goes on"
    except BlockingIOError:
        pass
    db("open")
    served.settimeout(10)
    expect("a connection of before, allowed again", b"question", served.recv(9))

    db("400")
    goes_silent(network, "process awake", 0.4)
    db("400")
    db.process.send_signal(signal.SIGSTOP)
    goes_silent(network, "process stopped", 0.4)
    db.process.send_signal(signal.SIGCONT)
    db("400")
    db.end()
    goes_silent(network, "process killed", 0.4)
    old = Holder("db", VIP)
    expect("its successor, not allowed: answers", set(), network.answers(VIP))
    old("open")
    expect("its successor, allowed: answers", ALL, network.answers(VIP))
    db = Holder("db", VIP)
    db("open")
    old("closed")
    old("ensure", "Fenced: another process guards the addresses of 'db'")
    old("remove")
    expect("who was replaced cannot close: answers", ALL, network.answers(VIP))
    db("closed")
    expect("nor remove: answers", set(), network.answers(VIP))
    old.end()
    ahead = Holder("db", VIP, wrap=["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child"])
    ahead("400")
    goes_silent(network, "process in another time", 0.4)
    ahead.end()

    web = Holder("web", VIP2)
    db = Holder("db", VIP)
    db("open")
    expect("two modules, one allowed: answers", (ALL, set()), (network.answers(VIP), network.answers(VIP2)))
    db("closed")
    web("open")
    expect("two modules, the other: answers", (set(), ALL), (network.answers(VIP), network.answers(VIP2)))
    db("remove")
    expect("one is removed: answers", (ALL, ALL), (network.answers(VIP), network.answers(VIP2)))
    web("closed")
    expect("the other stays: answers", (ALL, set()), (network.answers(VIP), network.answers(VIP2)))
    db("ensure")
    expect("set again: answers", set(), network.answers(VIP))

    sh("ip", "link", "delete", "veth0")
    db("ensure", "NotFound: no interface 'veth0'")
    network.plug()
    expect("the interface came back: answers", ALL, network.answers(VIP))
    db("ensure")
    expect("ensured: answers", set(), network.answers(VIP))
    db.end()
    sh(CHECK, "forget", "db")
    expect("nothing is left", "", sh(CHECK, "show") + sh("tc", "qdisc", "show", "clsact"))
    expect("and answers", ALL, network.answers(VIP))

    sh("tc", "qdisc", "add", "dev", "veth0", "clsact")
    Holder("db", VIP)("remove")
    assert sh(CHECK, "show").split()[1:] == ["hooks"], "what another made is gone"
    u32 = ("protocol", "ip", "prio", "1", "u32", "match", "ip", "src", "203.0.113.0/24", "flowid", "1:1")
    if "not found" not in sh("tc", "filter", "add", "dev", "veth0", "ingress", *u32, check=False):
        db = Holder("db", VIP)
        expect("after a filter of another kind: answers", set(), network.answers(VIP))
        db("remove")
        assert "safekit" not in sh(CHECK, "show") and "u32" in sh("tc", "filter", "show", "dev", "veth0", "ingress")
    sh("tc", "qdisc", "delete", "dev", "veth0", "clsact")
    sh("tc", "qdisc", "add", "dev", "veth0", "ingress")
    expect("`ingress` in its place", "Conflict", Holder("db", VIP, works=False).answer.split(":")[0])
    expect("no interface", "NotFound: no interface 'veth7'", Holder("db", VIP, interface="veth7", works=False).answer)
    print("all good")


main()
