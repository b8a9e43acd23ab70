"""A TCP balancer small enough to read: round robin over the gateways whose /health/ready answers 200.

A connection that one gateway refuses goes to the next one. It keeps what every gateway said about being ready, so that
a run can show that a gateway told the balancer before it closed its door.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

CHECK_SECONDS = 0.1
CHECK_TIMEOUT_SECONDS = 1.0
CONNECT_SECONDS = 5.0
BUFFER_BYTES = 65_536


@dataclass(slots=True)
class Backend:
    """One gateway. `answers` are (`time.perf_counter()`, status) of /health/ready, 0 for none; changes only."""

    port: int
    answers: list[tuple[float, int]] = field(default_factory=list)
    connections: int = 0

    @property
    def ready(self) -> bool:
        """Whether it said so when it was last asked."""
        return bool(self.answers) and self.answers[-1][1] == 200

    def note(self, status: int) -> None:
        """What it said now."""
        if not self.answers or self.answers[-1][1] != status:
            self.answers.append((time.perf_counter(), status))


class Balancer:
    """Listens on a free port of 127.0.0.1 between `start` and `close`."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.backends = [Backend(port) for port in ports]
        self.port = 0
        self._next = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Ask every gateway once, then listen."""
        for backend in self.backends:
            backend.note(await ask_ready(backend.port))
            self._tasks.add(asyncio.create_task(self._keep_asking(backend)))
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=BUFFER_BYTES, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the door and every connection."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _keep_asking(self, backend: Backend) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            backend.note(await ask_ready(backend.port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            behind = await self._connect()
            if behind is not None:
                await _join((reader, writer), behind)
        except asyncio.CancelledError:
            pass  # the balancer closes; asyncio's own callback would report it
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.backends:
            self._next = (self._next + 1) % len(self.backends)
            backend = self.backends[self._next]
            if backend.ready:
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        joined = await asyncio.open_connection("127.0.0.1", backend.port, limit=BUFFER_BYTES)
                    backend.connections += 1
                    return joined
        return None


async def _join(
    front: tuple[asyncio.StreamReader, asyncio.StreamWriter], behind: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Carry bytes both ways until one side ends; then both are closed."""
    ways = [asyncio.create_task(_pump(front[0], behind[1])), asyncio.create_task(_pump(behind[0], front[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        behind[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()


async def ask_ready(port: int) -> int:
    """The status of /health/ready, 0 when nothing answers within a second."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                line = await reader.readline()
                return int(line[9:12] or 0)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return 0
