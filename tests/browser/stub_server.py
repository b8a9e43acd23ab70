"""A web server of the test's own: it answers with exactly the bytes that it is told, and remembers what it was asked.

It is no part of the product and imitates none. It is there to see what a browser does with bytes that the gateway would
never send.
"""

import socketserver
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

# Between two parts, so that they reach the browser as two.
PART_SECONDS = 0.01
PAGE = b"<!doctype html><title>stub</title>"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the parts of its body go out one by one, then the connection is closed, which ends the body.

    With `promised_bytes` the head announces a body of that length: one that is shorter is cut off. Without a status
    there is no answer at all: the connection is closed.
    """

    parts: Sequence[bytes] = ()
    status: str = "200 OK"
    content_type: str | None = EVENT_STREAM
    headers: dict[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None

    def head(self) -> bytes:
        fields = {"Connection": "close", "Cache-Control": "no-store", **self.headers}
        if self.content_type is not None:
            fields["Content-Type"] = self.content_type
        if self.promised_bytes is not None:
            fields["Content-Length"] = str(self.promised_bytes)
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a scripted path, its header names in lower case."""

    path: str
    headers: dict[str, str]


class StubServer:
    """Serves scripted answers, one after the other for each path, and a blank page everywhere else."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[str, list[Answer]] = defaultdict(list)
        stub = self

        class Handler(socketserver.StreamRequestHandler):
            # Every part goes out as it is written.
            disable_nagle_algorithm = True

            def handle(self) -> None:
                line = self.rfile.readline().decode()
                headers = {}
                while field_line := self.rfile.readline().decode().rstrip("\r\n"):
                    name, _, value = field_line.partition(":")
                    headers[name.lower()] = value.strip(" \t")
                answer = stub.answer(Asked(line.split(" ")[1], headers))
                if answer.status:
                    self.wfile.write(answer.head())
                for part in answer.parts:
                    self.wfile.write(part)
                    time.sleep(PART_SECONDS)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, path: str, *answers: Answer) -> None:
        """What `path` answers, request by request; after the last of them 204."""
        self._scripts[path].extend(answers)

    def requests(self, path: str) -> list[Asked]:
        """Every request for `path` so far."""
        return [asked for asked in self.asked if asked.path == path]

    def answer(self, asked: Asked) -> Answer:
        if asked.path not in self._scripts:
            return Answer([PAGE], content_type="text/html")
        number = len(self.requests(asked.path))
        self.asked.append(asked)
        script = self._scripts[asked.path]
        return script[number] if number < len(script) else Answer(status="204 No Content", content_type=None)
