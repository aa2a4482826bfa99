"""What a node dials to reach its peer, for tests: it counts what it carries, can be slow, and can be cut, also in one direction."""
import queue, socket, threading, time

SLOW_BYTES = 6 << 20  # per second
PORT = 19600


class Line:
    def __init__(self, address, peer, rate=None, buffer=None, delay=0):
        """rate: bytes per second of each connection. buffer: bytes that it takes before it has passed them on. delay: seconds that it
        keeps what it carries."""
        self.peer, self.rate, self.delay, self.lost, self.slow, self.ends, self.closed = peer, rate, delay, set(), False, [], False
        # Of lost: "out", "back", or of one connection ("out", 3): what it carries is dropped.
        self.spoilt = None  # the direction in which one byte is to be another
        self.sent = []  # bytes that came from who dials, for each connection
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.listener.bind((address, PORT))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                continue
            self.ends.append(near)
            if self.lost & {"out", "back"}:
                continue  # nobody answers
            try:
                far = socket.create_connection((self.peer, PORT))
            except OSError:
                hang_up(near)
                continue
            self.ends.append(far)
            self.sent.append(0)
            for source, sink, direction in ((near, far, "out"), (far, near, "back")):
                threading.Thread(target=self.carry, args=(source, sink, direction, len(self.sent) - 1), daemon=True).start()

    def carry(self, source, sink, direction, number):
        sink = Later(sink, self.delay) if self.delay else sink
        try:
            while data := source.recv(1 << 16):
                if direction in self.lost or (direction, number) in self.lost:
                    return  # the sender is not told
                if direction == "out":
                    self.sent[number] += len(data)
                if self.spoilt == direction:
                    self.spoilt = None
                    data = data[:-1] + bytes([data[-1] ^ 1])
                rate = SLOW_BYTES if self.slow else self.rate
                if rate is not None:
                    time.sleep(len(data) / rate)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one end is gone, or the line is healed

    def heal(self):
        """What was cut has lost bytes, so its connections can only end."""
        was_cut, self.lost, self.slow = self.lost, set(), False
        if was_cut:
            self.hang_up()

    def hang_up(self):
        ends, self.ends = self.ends, []
        for end in ends:
            hang_up(end)

    def close(self):
        self.closed, self.lost = True, {"out", "back"}
        hang_up(self.listener)
        self.heal()


class Later:
    """A socket to which everything is passed on after a while."""

    def __init__(self, sink, delay):
        self.sink, self.delay, self.kept = sink, delay, queue.SimpleQueue()
        threading.Thread(target=self.pass_on, daemon=True).start()

    def sendall(self, data):
        self.kept.put((time.monotonic() + self.delay, data))

    def shutdown(self, _):
        self.sendall(b"")

    def pass_on(self):
        try:
            while True:
                at, data = self.kept.get()
                time.sleep(max(0, at - time.monotonic()))
                if not data:
                    return self.sink.shutdown(socket.SHUT_WR)
                self.sink.sendall(data)
        except OSError:
            hang_up(self.sink)


def hang_up(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
