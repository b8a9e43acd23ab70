"""A proxy in front of a gateway that breaks one rule of the wire contract, to show that the wire suite notices."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Frames = Iterator[bytes]
OF_ONE_CONNECTION = ("host", "connection", "keep-alive", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Lie:
    """What is changed on the way: the headers of a request, those of a stream, and a stream's frames."""

    request: Callable[[dict[str, str]], None] = lambda headers: None
    stream: Callable[[dict[str, str]], None] = lambda headers: None
    frames: Callable[[Frames], Frames] = lambda frames: frames


@contextmanager
def lying_proxy(target: str, lie: Lie) -> Iterator[str]:
    """A proxy that tells this lie about `target`, at the URL that is given."""
    with httpx.Client(base_url=target, trust_env=False, timeout=20, verify=False) as upstream:

        class Handler(_Handler):
            pass

        Handler.upstream, Handler.lie = upstream, lie
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    upstream: httpx.Client
    lie: Lie

    def do_GET(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_CONNECTION}
        self.lie.request(headers)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.upstream.stream(self.command, self.path, headers=headers, content=body) as answer:
            is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
            # The end of a body is the end of its connection here.
            passed = {name: value for name, value in answer.headers.items() if name not in OF_ONE_CONNECTION}
            if is_stream:
                self.lie.stream(passed)
            self.send_response_only(answer.status_code)
            for name, value in passed.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for part in self.lie.frames(_frames(answer)) if is_stream else answer.iter_raw():
                    self.wfile.write(part)
                    self.wfile.flush()
            except (OSError, httpx.TransportError):
                pass  # the client has seen enough, or the test is over

    do_POST = do_HEAD = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _frames(answer: httpx.Response) -> Frames:
    rest = b""
    for chunk in answer.iter_raw():
        rest += chunk
        while b"\n\n" in rest:
            frame, _, rest = rest.partition(b"\n\n")
            yield frame + b"\n\n"
    yield rest
