"""Writes numbers by connections of both kinds: a new one each time, and ones that stay as long as anybody might answer. Prints each
answer: [when it came, the node, the number, whether the connection was an old one]. Usage: pauses_client.py ADDRESS PORT"""
import itertools
import json
import socket
import sys
import threading
import time

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
numbers = itertools.count(1)
lock = threading.Lock()


def connect(seconds):
    connection = socket.create_connection((ADDRESS, PORT), timeout=0.5)
    connection.settimeout(seconds)
    return connection


def write(connection, is_old):
    with lock:
        number = next(numbers)
    connection.sendall(f"{number}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(100)
        if not part:
            raise OSError("closed")
        answer += part
    when = time.monotonic()
    got, node = answer.split()
    with lock:
        print(json.dumps([when, node.decode(), int(got), is_old]), flush=True)


def come_and_go():
    while True:
        try:
            with connect(1) as connection:
                write(connection, False)
        except OSError:
            pass
        time.sleep(0.01)


def stay():
    while True:
        try:
            with connect(20) as connection:  # longer than any pause
                while True:
                    write(connection, True)
                    time.sleep(0.01)
        except OSError:
            time.sleep(0.05)


for target in (come_and_go, stay, stay):
    threading.Thread(target=target, daemon=True).start()
threading.Event().wait()
