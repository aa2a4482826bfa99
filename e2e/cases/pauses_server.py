"""An application: appends the number that it gets to a file, syncs it and answers with the number and its node.
Usage: pauses_server.py PORT FILE NODE"""
import os
import socketserver
import sys
import threading

PORT, FILE, NODE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lock = threading.Lock()
file = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                with lock:
                    os.write(file, line)
                os.fsync(file)
            except OSError:
                os._exit(1)  # as a database does
            self.wfile.write(line.strip() + f" {NODE}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


Server(("", PORT), Handler).serve_forever()
