"""The run as the library of 2009 made it, in Python 3: coroutines by
greenlet, a queue, an epoll that is one more job in the queue, channels, a
buffered file over a socket, and Python's own BaseHTTPRequestHandler on it.

Written anew after that design, with its cost and without its defects: each
wait changes what epoll watches, and each read and write is a message on a
channel.
"""

import collections
import errno
import http.server
import os
import select
import socket
import sys

from greenlet import getcurrent, greenlet

# ---- The scheduler: whatever can run is in the queue -------------------------

queue = collections.deque()


def go(function, *arguments):
    """Starts a coroutine."""
    queue.append((greenlet(lambda: function(*arguments), scheduler), ()))


def run_scheduler():
    while queue:
        job, arguments = queue.popleft()
        job.switch(*arguments)


scheduler = greenlet(run_scheduler)


# ---- Channels ----------------------------------------------------------------


class Channel:
    """Messages between coroutines, in order."""

    def __init__(self):
        self.messages = collections.deque()
        self.waiting = collections.deque()

    def write(self, message):
        self.messages.append(message)
        if self.waiting:
            queue.append((self.waiting.popleft(), ()))

    def read(self):
        while not self.messages:
            self.waiting.append(getcurrent())
            scheduler.switch()
        return self.messages.popleft()


# ---- Readiness: one job in the queue asks epoll ------------------------------

epoll = select.epoll()
watched = {}  # descriptor -> [mask, job to do when readable, ... writable]
asking = False


def watch(fd, mask, job):
    global asking
    entry = watched.get(fd)
    if entry is None:
        entry = watched[fd] = [0, None, None]
        epoll.register(fd, 0)
    entry[0] |= mask
    entry[1 if mask == select.EPOLLIN else 2] = job
    epoll.modify(fd, entry[0])
    if not asking:
        asking = True
        queue.append((greenlet(ask_epoll, scheduler), ()))


def ask_epoll():
    """Waits only if nobody else can run."""
    global asking
    while True:
        for fd, events in epoll.poll(0 if queue else -1):
            entry = watched[fd]
            for mask, which in (select.EPOLLIN, 1), (select.EPOLLOUT, 2):
                broken = select.EPOLLHUP | select.EPOLLERR
                if events & (mask | broken) and entry[0] & mask:
                    entry[0] &= ~mask
                    epoll.modify(fd, entry[0])
                    entry[which]()
        queue.append((getcurrent(), ()))
        scheduler.switch()


def go_read(fd, size):
    """A channel on which come the bytes, or b"" at the end."""
    channel = Channel()

    def attempt():
        try:
            channel.write(os.read(fd, size))
        except BlockingIOError:
            watch(fd, select.EPOLLIN, attempt)

    attempt()
    return channel


def go_write(fd, data):
    """A channel on which comes how much was written."""
    channel = Channel()
    written = 0

    def attempt():
        nonlocal written
        try:
            while written < len(data):
                written += os.write(fd, data[written:])
        except BlockingIOError:
            return watch(fd, select.EPOLLOUT, attempt)
        channel.write(written)

    attempt()
    return channel


def go_close(fd):
    watched.pop(fd, None)
    os.close(fd)


# ---- Files -------------------------------------------------------------------


class ScheduledFile:
    """A socket as a file of lines, buffered, for a coroutine."""

    def __init__(self, fd):
        os.set_blocking(fd, False)
        self.fd = fd
        self.received = b""
        self.unsent = []
        self.ended = False
        self.closed = False

    @classmethod
    def from_socket(cls, connection):
        return cls(os.dup(connection.fileno()))

    @classmethod
    def connect_tcp(cls, address):
        connection = socket.socket()
        connection.setblocking(False)
        error = connection.connect_ex(address)
        if error == errno.EINPROGRESS:
            connected = Channel()
            watch(connection.fileno(), select.EPOLLOUT,
                  lambda: connected.write(True))
            connected.read()
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        return cls(connection.detach())

    def _fill(self):
        data = go_read(self.fd, 32768).read()
        self.received += data
        self.ended = not data

    def read(self):
        while not self.ended:
            self._fill()
        data, self.received = self.received, b""
        return data

    def readline(self, limit=-1):
        while b"\n" not in self.received and not self.ended:
            self._fill()
        line, newline, self.received = self.received.partition(b"\n")
        return line + newline

    def write(self, data):
        self.unsent.append(data)
        return len(data)

    def flush(self):
        if self.unsent:
            data, self.unsent = b"".join(self.unsent), []
            go_write(self.fd, data).read()

    def close(self):
        if not self.closed:
            self.flush()
            self.closed = True
            go_close(self.fd)


# ---- The server --------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """The post's handler."""

    waiters = []

    def setup(self):
        self.rfile = self.wfile = ScheduledFile.from_socket(self.request)
        self.request.close()

    def finish(self):
        self.wfile.close()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-type", "text/plain")
        self.end_headers()
        if self.path == "/wait":
            channel = Channel()
            self.waiters.append(channel)
            n = channel.read()
        elif self.path == "/notify":
            n = len(self.waiters)
            for channel in self.waiters:
                channel.write(n)
            self.waiters.clear()
        else:
            n = len(self.waiters)
        self.wfile.write(b"%d" % n)

    def log_message(self, *arguments):
        pass


def serve_forever(listener):
    accepted = Channel()

    def attempt():
        try:
            while True:
                accepted.write(listener.accept())
        except BlockingIOError:
            watch(listener.fileno(), select.EPOLLIN, attempt)

    attempt()
    while True:
        connection, address = accepted.read()
        go(Handler, connection, address, None)


# ---- The run -----------------------------------------------------------------


def ask(client, path):
    client.write(b"GET %s HTTP/1.0\r\n\r\n" % path)
    client.flush()
    response = client.read()
    client.close()
    head, body = response.split(b"\r\n\r\n")
    assert b" 200 " in head, response
    return int(body)


def test_scheduled_server(n):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    address = listener.getsockname()
    go(serve_forever, listener)

    answers = []
    for _ in range(n):
        client = ScheduledFile.connect_tcp(address)
        go(lambda client: answers.append(ask(client, b"/wait")), client)
    while ask(ScheduledFile.connect_tcp(address), b"/") != n:
        pass
    assert ask(ScheduledFile.connect_tcp(address), b"/notify") == n
    while ask(ScheduledFile.connect_tcp(address), b"/") or len(answers) < n:
        pass
    assert answers == [n] * n
    print("done", n, flush=True)
    os._exit(0)  # the accept loop would wait for ever


go(test_scheduled_server, int(sys.argv[1]))
scheduler.switch()
