"""Hubs written in Python that take a Redis message for each event: how they are started and fed."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import monotonic_ns, sleep
from typing import ClassVar

import httpx

from loadtests.bench.crowd import Target
from loadtests.bench.feed import Burst, Publisher
from loadtests.bench.peers.base import Absent, Hub
from loadtests.bench.wire import Line, redis_publish
from tests.servers import RedisServer, Server

ROOT = Path(__file__).parents[3]


class PythonServer(Server):
    """A module of the benchmark with a `main`, as a process of its own with `arguments` after its port."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.name = module.rpartition(".")[2]
        super().__init__()
        self._module = module
        self._arguments = arguments

    def command(self) -> list[str]:
        # -c, because the process runs in its own folder, and the load tests are not installed.
        start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {self._module} import main; main()"
        return [sys.executable, "-c", start, str(self.port), *self._arguments]

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{self.port}/health"
            return httpx.get(url, timeout=1.0, trust_env=False, verify=False).status_code == 200
        return False


class RedisFedHub(Hub):
    """`/events/{channel}` streams what is published to `hub:{channel}`."""

    module: ClassVar[str]
    packages: ClassVar[Sequence[str]]

    def start(self) -> None:
        self._redis = RedisServer()
        self.serve(self._redis)
        self._server = PythonServer(self.module, self._redis.url, str(self.heartbeat_seconds or 15))
        self.measure(self._server)

    @property
    def targets(self) -> Sequence[Target]:
        ask = "GET /events/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        return [Target(self._server.port, ask.format(number).encode(), number) for number in range(self.channels)]

    @property
    def publisher(self) -> Publisher:
        return RedisPublisher(self._redis.port)

    def version(self) -> str:
        for package in self.packages:
            if find_spec(package.replace("-", "_")) is None:
                raise Absent(f"{package} is not installed: `make bench` installs it")
        return ", ".join(f"{package} {version(package)}" for package in self.packages)


class QueueHub(RedisFedHub):
    """Litestar and sse-starlette, one subscriber, a queue for each browser."""

    name = "queue-hub"
    module = "loadtests.bench.peers.queue_hub"
    packages = ("litestar", "sse-starlette", "uvicorn")


class PlainHub(RedisFedHub):
    """FastAPI and sse-starlette, a subscriber for each browser."""

    name = "plain-hub"
    module = "loadtests.bench.peers.plain_hub"
    packages = ("fastapi", "sse-starlette", "uvicorn")


class RedisPublisher:
    """A PUBLISH for each event, those of a tick in one write."""

    def __init__(self, port: int) -> None:
        self._port = port

    def open(self) -> None:
        """Connect."""
        self._line = Line(self._port, b":")

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Send the events of a tick."""
        commands = [redis_publish(b"hub:%d" % burst.channel, event) for burst in bursts for event in burst.events]
        at = monotonic_ns()
        self._line.send(b"".join(commands), len(commands))
        return at

    def wait(self, seconds: float) -> None:
        """Nothing waits for answers."""
        sleep(seconds)

    def finish(self) -> None:
        """Wait until Redis has taken everything."""
        self._line.finish()
