#!/usr/bin/env python3
"""echo.py serve PORT: answers UDP datagrams on every address. echo.py probe ADDRESS PORT: sends one each 10 ms and prints,
for every answer, the time at which its question was sent (seconds since 1970)."""
import socket
import sys
import time


def serve(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Answers from the address that was asked, which appears and goes with the role.
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    sock.bind(("0.0.0.0", port))
    while True:
        data, extra, _, peer = sock.recvmsg(64, 128)
        try:
            sock.sendmsg([data], extra, 0, peer)
        except OSError:
            pass  # the address is being taken away


def probe(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.01)
    while True:
        sent = time.time()
        try:
            sock.sendto(f"{sent:.6f}".encode(), (address, port))
            while True:
                print(sock.recv(64).decode(), flush=True)
                if time.time() - sent > 0.01:
                    break
        except (TimeoutError, OSError):
            pass
        rest = sent + 0.01 - time.time()
        if rest > 0:
            time.sleep(rest)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    probe(sys.argv[2], int(sys.argv[3]))
