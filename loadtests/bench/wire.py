"""Bare connections of publishers."""

import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from loadtests.bench.feed import FeedError

ANSWER_SECONDS = 20.0
READ_BYTES = 1 << 18


class Line:
    """One kept-alive connection. Everything leaves at once; `answer` occurs once in every good answer."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # With a timeout Python would wait for an answer in spite of MSG_DONTWAIT.
        self.socket.settimeout(None)
        self.due = 0
        self._answer = answer
        self._rest = b""
        self._last = b""

    def send(self, requests: bytes, count: int) -> None:
        """Send so many requests, and take what has been answered to earlier ones, without waiting for it."""
        self.socket.sendall(requests)
        self.due += count
        self.take()

    def take(self) -> None:
        """Count the answers that are here. Raises FeedError when the connection is closed."""
        with suppress(BlockingIOError):
            self._count(self.socket.recv(READ_BYTES, socket.MSG_DONTWAIT))

    def finish(self) -> None:
        """Wait for all answers. Raises FeedError when they do not come, or are not all good."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.due:
            select.select([self.socket], [], [], 0.2)
            self.take()
            if time.monotonic() > deadline:
                raise FeedError(f"{self.due} publications were not accepted; last: {self._last!r}")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _count(self, data: bytes) -> None:
        if not data:
            raise FeedError(f"the publisher's connection was closed; last: {self._last!r}")
        self._last = data[-200:]
        data = self._rest + data
        found = data.count(self._answer)
        self.due -= found
        # What is cut at the end may be the beginning of an answer.
        rest = data[data.rfind(self._answer) + len(self._answer) :] if found else data
        self._rest = rest[-len(self._answer) + 1 :] if len(self._answer) > 1 else b""


class OrderedLine(Line):
    """A connection on which a request waits for the answer to the one before."""

    def __init__(self, port: int, answer: bytes) -> None:
        super().__init__(port, answer)
        self._waiting: deque[bytes] = deque()

    def push(self, requests: Sequence[bytes]) -> None:
        """Send these when it is their turn."""
        self._waiting.extend(requests)
        self.pump()

    def pump(self) -> None:
        """Take the answer, and send the next one."""
        self.take()
        if self._waiting and not self.due:
            self.socket.sendall(self._waiting.popleft())
            self.due = 1

    def finish(self) -> None:
        """Send the rest, and wait for all answers."""
        while self._waiting:
            super().finish()
            self.pump()
        super().finish()


def pump_lines(lines: Sequence[OrderedLine], seconds: float) -> None:
    """Keep the lines going for so long."""
    deadline = time.monotonic() + seconds
    while True:
        busy = {line.socket: line for line in lines if line.due}
        pause = deadline - time.monotonic()
        if pause <= 0:
            return
        if not busy:
            time.sleep(pause)
            return
        for readable in select.select(list(busy), [], [], pause)[0]:
            busy[readable].pump()


def post(path: str, body: bytes, media_type: str = "application/json", headers: str = "") -> bytes:
    """An HTTP request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media_type}\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def redis_publish(channel: bytes, message: bytes) -> bytes:
    """A PUBLISH in Redis' protocol."""
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, len(message), message)


def upgrade(path: str) -> bytes:
    """The request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def text_frame(text: bytes) -> bytes:
    """A WebSocket frame of 126 to 65,535 bytes; masked, as a client has to, with zeros."""
    return b"\x81\xfe%b\0\0\0\0%b" % (len(text).to_bytes(2, "big"), text)
