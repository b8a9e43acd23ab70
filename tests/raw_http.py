"""HTTP by hand over one TCP connection, for what no proper client would send."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer with its headers by their lower-case names (the last of each) and its whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class RawConnection:
    """One connection to a gateway. Every wait has a deadline, and its end is an error."""

    def __init__(self, url: str, receive_buffer: int | None = None) -> None:
        self.host = urlsplit(url).netloc
        host, _, port = self.host.partition(":")
        self.socket = socket.socket()
        self.socket.settimeout(WAIT_SECONDS)
        if receive_buffer is not None:  # bytes; before the connection is made, or the kernel makes it larger by itself
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, int(port)))
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send these bytes. Raises OSError when the server has closed."""
        self.socket.sendall(data)

    def request(self, method: str, target: str, *headers: str, body: bytes = b"") -> RawAnswer:
        """Send a request and read its answer; the target and the headers go out as they are, without any escaping."""
        self.send(self.head(method, target, *headers) + body)
        return self.read_answer(method)

    def head(self, method: str, target: str, *headers: str) -> bytes:
        """The bytes of a request's head."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def read_answer(self, method: str = "GET") -> RawAnswer:
        """The next answer. Raises EOFError when the server closes instead."""
        head = self._read_until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status = int(status_line.split(" ")[1])
        pairs = (line.partition(": ") for line in lines if line)
        headers = {name.lower(): value for name, _, value in pairs}
        if method == "HEAD" or status < 200 or status == 204:
            return RawAnswer(status, headers, b"")
        if "content-length" in headers:
            return RawAnswer(status, headers, self._read_exactly(int(headers["content-length"])))
        return RawAnswer(status, headers, b"".join(self._read_chunks()))

    def read_chunk(self) -> bytes:
        """The next chunk of an answer of which `read_head` has read the head; empty at its end."""
        size = int(self._read_until(b"\r\n"), 16)
        chunk = self._read_exactly(size)
        self._read_exactly(2)
        return chunk

    def read_head(self) -> int:
        """The head of an endless answer; its status."""
        return int(self._read_until(b"\r\n\r\n").split(b" ")[1])

    def wait_for_close(self, seconds: float = WAIT_SECONDS) -> bytes:
        """What comes until the server closes. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            with suppress(ConnectionResetError, BrokenPipeError):
                if data := self.socket.recv(65536):
                    self._unread += data
                    continue
            return self._unread

    def dribble(self, data: bytes, every_seconds: float, seconds: float = WAIT_SECONDS) -> float:
        """Send a byte at a time until the server closes; after how many seconds that was. Raises TimeoutError."""
        began = time.monotonic()
        self.socket.settimeout(every_seconds)
        for number in range(int(seconds / every_seconds)):
            try:
                self.socket.sendall(data[number % len(data) :][:1])
                if not (received := self.socket.recv(65536)):
                    return time.monotonic() - began
                self._unread += received
                time.sleep(every_seconds)
            except TimeoutError:
                continue
            except OSError:
                return time.monotonic() - began
        raise TimeoutError(f"the server kept the connection for {seconds:g} s")

    def _read_chunks(self) -> Iterator[bytes]:
        while chunk := self.read_chunk():
            yield chunk

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._unread:
            self._receive()
        found, _, self._unread = self._unread.partition(end)
        return found

    def _read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._receive()
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _receive(self) -> None:
        self.socket.settimeout(WAIT_SECONDS)
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed; unread: {self._unread[-200:]!r}")
        self._unread += data
