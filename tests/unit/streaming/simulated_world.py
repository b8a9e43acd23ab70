"""Sessions, a bus and browsers in simulated time, around the product's hub, channels, cursors and responses.

The log is a list and the bus loses what it wants; everything between them and the bytes of a socket is the real thing,
driven through its real doors: `Hub`, and the ASGI call of `EventStream`. A world is `held` when its browsers come over
the product's own HTTP protocol, which holds their responses; else a plain ASGI server's `send` brings the frames.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.streaming.admission import Admission
from gateway.streaming.hub import Hub
from gateway.streaming.opening import Opener
from gateway.streaming.position import parse_position
from gateway.streaming.response import EventStream, StreamContext
from infra.bus.base import BusListener, Entry, Message
from infra.database.log import LogPage, LogPosition
from infra.settings import SseSettings
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics
from tests.unit.streaming.simulated_socket import ResponseReader, SimulatedServer, SimulatedTransport
from tests.unit.streaming.wire import Dispatched, dispatch

JOB = "j" * 26
QUERY_SECONDS = 0.002
# So small that eight events fill it: what waits for a slow browser in the server, beyond which it counts as slow.
HIGH_WATER_BYTES = 300
# What a browser takes from its socket at once.
MOST_READ_BYTES = 4096


class Logs:
    """The logs of all sessions; a query takes two milliseconds. Notes when each event was committed."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.committed_at: dict[tuple[str, int], float] = {}

    def commit(self, session_id: str, count: int, now: float, name: str = "item.updated") -> Message:
        entries = self.entries.setdefault(session_id, [])
        first = len(entries) + 1
        new = tuple(Entry(JOB, name, b'{"n":%d}' % seq) for seq in range(first, first + count))
        entries += new
        self.committed_at.update({(session_id, seq): now for seq in range(first, first + count)})
        return Message(session_id, "epoch000", first, new, committed_at_us=1)

    async def position(self, session_id: str) -> LogPosition | None:
        return (await self.positions([session_id])).get(session_id)

    async def positions(self, session_ids: Sequence[str]) -> dict[str, LogPosition]:
        found = {one: LogPosition("epoch000", len(self.entries[one]), 0) for one in session_ids if one in self.entries}
        await asyncio.sleep(QUERY_SECONDS)
        return found

    async def page(self, session_id: str, after: int, limit: int) -> LogPage | None:
        entries = self.entries[session_id]
        page = tuple(enumerate(entries[after : after + limit], after + 1))
        position = LogPosition("epoch000", len(entries), 0)
        await asyncio.sleep(QUERY_SECONDS)
        return LogPage(page, page[-1][0] if page else after, position)


class LossyBus:
    """Delivers after some milliseconds, loses one message of ten, and all while it is away."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.listener: BusListener | None = None
        self.sessions: set[str] = set()
        self.away = False
        self.lost = 0

    async def start(self, listener: BusListener) -> None:
        self.listener = listener

    def publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self.away or self.dice.random() < 0.1:
                self.lost += 1
                continue
            asyncio.get_running_loop().call_later(self.dice.uniform(0, 0.02), self._deliver, message)

    def _deliver(self, message: Message) -> None:
        if self.listener is not None and message.session_id in self.sessions and not self.away:
            self.listener.receive(message)

    def come_back(self) -> None:
        self.away = False
        if self.listener is not None:
            self.listener.gap_possible()

    async def subscribe(self, session_id: str) -> None:
        await asyncio.sleep(0.001)
        self.sessions.add(session_id)

    async def unsubscribe(self, session_id: str) -> None:
        self.sessions.discard(session_id)

    async def ping(self) -> bool:
        return not self.away

    async def close(self) -> None:
        self.listener = None


@dataclass
class Visit:
    """One connection of a browser: when it was, what came, and how long nothing did."""

    began: float
    ended: float = 0.0
    frames: list[Dispatched] = field(default_factory=list)
    longest_silence: float = 0.0
    cut: bool = False


class Browser:
    """An EventSource on a session's stream: takes whole frames, comes back with its last id after `retry`."""

    def __init__(self, world: "World", session_id: str, slow: bool) -> None:
        self.world = world
        self.session_id = session_id
        self.slow = slow
        self.got: list[tuple[int, float]] = []
        self.visits: list[Visit] = []
        self.retry_seconds = 1.0
        self._hang_up: asyncio.Event | None = None
        self._connection: SimulatedTransport | None = None
        self._reader: ResponseReader | None = None

    async def live(self) -> None:
        while True:
            await self._visit()
            await asyncio.sleep(self.retry_seconds)

    def cut(self) -> None:
        """The network breaks in the middle of whatever is on its way."""
        if self._hang_up is not None:
            self.visits[-1].cut = True
            self._hang_up.set()

    async def _visit(self) -> None:
        visit = Visit(asyncio.get_running_loop().time())
        self.visits.append(visit)
        hang_up = self._hang_up = asyncio.Event()
        await (self._visit_by_connection if self.world.held else self._visit_by_asgi)(visit, hang_up)
        visit.ended = asyncio.get_running_loop().time()
        self._hang_up = None

    @property
    def opener(self) -> Opener:
        """What this browser asks for now."""
        position = parse_position(f"epoch000.{self.got[-1][0]}", "Last-Event-ID") if self.got else None
        context = self.world.context
        return Opener(self.session_id, None, None, position, False, context.log, context.snapshots)

    async def _visit_by_connection(self, visit: Visit, hang_up: asyncio.Event) -> None:
        loop, dice = asyncio.get_running_loop(), self.world.dice
        heard = [loop.time()]

        def take(frame: bytes) -> None:
            visit.longest_silence = max(visit.longest_silence, loop.time() - heard[0])
            heard[0] = loop.time()
            self._take(frame, visit)

        connection, reader = self._connection, self._reader
        if connection is None or reader is None or connection.is_closing() or dice.random() < 0.3:
            if connection is not None:
                connection.lose()
            connection = self._connection = self.world.server.connect(HIGH_WATER_BYTES)
            reader = self._reader = ResponseReader(take)
        reader.on_frame, answers = take, reader.ended
        connection.protocol.data_received(f"GET /{self.world.browsers.index(self)} HTTP/1.1\r\n\r\n".encode())
        breaking = asyncio.create_task(hang_up.wait())
        try:
            while not connection.is_over and reader.ended == answers and not hang_up.is_set():
                if not connection.buffer:
                    connection.written.clear()
                    reading = asyncio.create_task(connection.written.wait())
                    await asyncio.wait({breaking, reading}, return_when=asyncio.FIRST_COMPLETED)
                    reading.cancel()
                if self.slow:
                    await asyncio.wait({breaking}, timeout=dice.uniform(0, 3))
                reader.feed(connection.take(dice.randint(1, 100) if hang_up.is_set() else MOST_READ_BYTES))
            if reader.ended == answers:
                connection.lose()
        finally:
            breaking.cancel()

    async def _visit_by_asgi(self, visit: Visit, hang_up: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        heard = [loop.time()]

        async def receive() -> dict[str, Any]:
            await hang_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] != "http.response.body" or hang_up.is_set():
                return
            visit.longest_silence = max(visit.longest_silence, loop.time() - heard[0])
            if self.slow:
                await asyncio.sleep(self.world.dice.uniform(0, 3))
            if not hang_up.is_set():
                heard[0] = loop.time()
                self._take(message["body"], visit)

        scope: Any = {"type": "http", "method": "GET", "client": ("192.0.2.1", 1)}
        await EventStream(self.world.context, self.opener)(scope, receive, send)  # type: ignore[arg-type]

    def _take(self, body: bytes, visit: Visit) -> None:
        for line in body.split(b"\n"):
            if line.startswith(b"retry: "):
                self.retry_seconds = int(line[7:]) / 1000
        for event in dispatch(body):
            visit.frames.append(event)
            if event.id is not None:
                self.got.append((event.seq, asyncio.get_running_loop().time()))

    @property
    def numbers(self) -> list[int]:
        return [seq for seq, _ in self.got]


class World:
    """Everything, wired as the composition root wires it."""

    def __init__(self, seed: int, settings: SseSettings, held: bool = False) -> None:
        self.dice = random.Random(seed)
        self.held = held
        self.server = SimulatedServer(self._serve)
        self.logs = Logs()
        self.bus = LossyBus(self.dice)
        self.metrics = Metrics()
        self.supervisor = Supervisor(self.metrics)
        self.renewed: list[str] = []
        log: Any = self.logs
        self.hub = Hub(self.bus, log, settings, self.supervisor, self.metrics, self._renew)
        self.admission = Admission(settings, self.metrics)
        snapshots: Any = None  # nobody here is ever reset
        self.context = StreamContext(self.hub, self.admission, log, snapshots, settings, self.metrics)
        self.browsers: list[Browser] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        opener = self.browsers[int(scope["path"][1:])].opener
        await EventStream(self.context, opener)(scope, receive, send)

    async def _renew(self, session_id: str, epoch: str) -> None:
        self.renewed.append(session_id)

    def commit(self, session_id: str, count: int) -> None:
        self.bus.publish([self.logs.commit(session_id, count, asyncio.get_running_loop().time())])

    def come(self, session_id: str, slow: bool = False) -> Browser:
        browser = Browser(self, session_id, slow)
        self.browsers.append(browser)
        self._tasks.append(asyncio.create_task(browser.live()))
        return browser

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for protocol in tuple(self.server.state.connections):
            protocol.transport.lose()  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        await self.hub.close()
        await self.supervisor.stop()
