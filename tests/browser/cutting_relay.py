"""A TCP relay between a browser and a gateway that cuts streams where it is told."""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

STREAM = b"/events"
PIECE_BYTES = 65_536
# A side that says nothing for so long has been forgotten by the test.
SILENCE_SECONDS = 30.0

# Where in an answer to cut it, once enough of it is here to tell.
Cut = Callable[[bytes], int | None]


class CuttingRelay:
    """Passes every connection on to `target`; a stream that gets as far as the next of `cuts` says is cut there.

    A stream that does not, because it was refused with `stream.busy` perhaps, passes whole and leaves that cut to the
    one after it. `streams` is how many connections have asked for one; `cut` is how many were cut.
    """

    def __init__(self, target: int, cuts: Sequence[Cut] = ()) -> None:
        self._target = target
        self._cuts = cuts
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self.streams = 0
        self.cut = 0

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # A thread that waits in accept() is not woken by close().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(browser,), daemon=True).start()

    def _relay(self, browser: socket.socket) -> None:
        # One request for each connection: a browser sends the next one through a connection of its own.
        with browser, socket.create_connection(("127.0.0.1", self._target)) as gateway:
            for side in (browser, gateway):
                side.settimeout(SILENCE_SECONDS)
            with suppress(OSError):
                request = browser.recv(PIECE_BYTES)
                line, _, rest = request.partition(b"\r\n")
                gateway.sendall(line + b"\r\nConnection: close\r\n" + rest.replace(b"Connection: keep-alive\r\n", b""))
                self._pass_answer(gateway, browser, self._cut_of(line))

    def _cut_of(self, line: bytes) -> Cut | None:
        with self._lock:
            if STREAM not in line:
                return None
            self.streams += 1
            return self._cuts[self.cut] if self.cut < len(self._cuts) else None

    def _pass_answer(self, gateway: socket.socket, browser: socket.socket, cut: Cut | None) -> None:
        answer = b""
        while piece := gateway.recv(PIECE_BYTES):
            passed, answer = len(answer), answer + piece
            if cut is not None and (end := cut(answer)) is not None:
                browser.sendall(answer[passed:end])
                with self._lock:
                    self.cut += 1
                return
            browser.sendall(piece)
