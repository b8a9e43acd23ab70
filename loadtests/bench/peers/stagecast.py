"""Stagecast itself: one gateway process with SQLite and Redis, fed as by another process that runs stages."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version

from gateway.access import Access
from infra.bus.base import Entry, Message, encode_message
from infra.ids import new_epoch, new_id
from loadtests.bench.crowd import Target
from loadtests.bench.feed import Burst, Publisher
from loadtests.bench.machine import Cores
from loadtests.bench.payload import EVENT_TYPE, JOB_ID
from loadtests.bench.peers.base import Hub
from loadtests.bench.wire import Line, redis_publish
from tests.gateway_process import GatewayProcess
from tests.servers import RedisServer

SECRET = "a key for the benchmark, which runs on this machine only"
PREFIX = "sse"
MOST_STREAMS = 16_000
BUSY_SECONDS = 5.0


class Stagecast(Hub):
    """A session for each channel. All browsers come from one machine, so the limits by address are raised."""

    name = "stagecast"

    def __init__(self, channels: int, cores: Cores, heartbeat_seconds: int | None = None) -> None:
        super().__init__(channels, cores, heartbeat_seconds)
        self.sessions = [new_id() for _ in range(channels)]
        self.epochs = [new_epoch() for _ in range(channels)]
        self.settings: dict[str, str] = {}

    def start(self) -> None:
        self._redis = RedisServer()
        self.serve(self._redis)
        most = str(MOST_STREAMS)
        limits = {
            "SSE__MAX_CONNECTIONS": most,
            "SSE__MAX_CONNECTIONS_PER_SESSION": most,
            "SSE__MAX_CONNECTIONS_PER_ADDRESS": most,
        }
        beat = {"SSE__HEARTBEAT_SECONDS": str(self.heartbeat_seconds)} if self.heartbeat_seconds else {}
        settings = {"ACCESS__SECRET": SECRET, "SSE__CHANNEL_PREFIX": PREFIX, **limits, **beat, **self.settings}
        self.gateway = GatewayProcess(redis_url=self._redis.url, settings=settings)
        self.gateway.migrate()
        self.database = str(self.gateway.directory / "stagecast.db")
        self.make_sessions()
        self.measure(self.gateway)
        self.epochs = self._read_epochs()

    def make_sessions(self) -> None:
        """Their rows, straight into the database: the gateway has not started yet."""
        now = int(time.time() * 1000)
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.executemany(
                "INSERT INTO session (id, epoch, head, trimmed, created_at) VALUES (?, ?, 0, 0, ?)",
                [(session, epoch, now) for session, epoch in zip(self.sessions, self.epochs, strict=True)],
            )

    def _read_epochs(self) -> list[str]:
        # The gateway changes those of a database with a log that it has not served before.
        with closing(sqlite3.connect(self.database)) as connection:
            epochs: dict[str, str] = dict(connection.execute("SELECT id, epoch FROM session"))
        return [epochs[session] for session in self.sessions]

    @property
    def targets(self) -> Sequence[Target]:
        return [self.target(channel, "") for channel in range(self.channels)]

    def target(self, channel: int, headers: str) -> Target:
        """A browser of one session, with more headers (each ended by CR LF)."""
        session = self.sessions[channel]
        path = f"/v1/sessions/{session}/events?token={Access(SECRET.encode()).token(session)}"
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{headers}\r\n"
        return Target(self.gateway.port, request.encode(), channel)

    @property
    def publisher(self) -> Publisher:
        return StagecastPublisher(self._redis.port, self.database, self.sessions, self.epochs)

    def version(self) -> str:
        return f"stagecast {version('stagecast')}"


class StagecastPublisher:
    """Commits the events of a tick to the log in one transaction, then publishes a message for each session.

    The transaction is for real, as a committer's would be: without it the gateway's sweep would find a log that is
    behind what its browsers have, and change the epoch. It is not part of what the latency is counted from.
    """

    def __init__(self, redis_port: int, database: str, sessions: Sequence[str], epochs: Sequence[str]) -> None:
        self._redis_port = redis_port
        self._database = database
        self._sessions = sessions
        self._epochs = epochs

    def open(self) -> None:
        """Connect to both."""
        self._line = Line(self._redis_port, b":")
        self.open_database()

    def open_database(self) -> None:
        """Connect to the log only."""
        self._connection = sqlite3.connect(self._database, timeout=BUSY_SECONDS, isolation_level=None)
        # A power cut may take the benchmark's events with it.
        self._connection.execute("PRAGMA synchronous=OFF")

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Commit and publish the events of a tick."""
        self.commit(bursts)
        now = time.time_ns() // 1000
        commands = [redis_publish(self._channel(burst), encode_message(self._message(burst, now))) for burst in bursts]
        at = time.monotonic_ns()
        self._line.send(b"".join(commands), len(commands))
        return at

    def commit(self, bursts: Sequence[Burst]) -> None:
        """One transaction: the events, and the heads of their sessions."""
        sessions = self._sessions
        rows = [
            (sessions[burst.channel], seq, JOB_ID, EVENT_TYPE, data)
            for burst in bursts
            for seq, data in enumerate(burst.events, burst.first)
        ]
        heads = [(burst.first + len(burst.events) - 1, sessions[burst.channel]) for burst in bursts]
        run = self._connection
        run.execute("BEGIN IMMEDIATE")
        run.executemany("INSERT INTO event (session_id, seq, job_id, type, data) VALUES (?, ?, ?, ?, ?)", rows)
        run.executemany("UPDATE session SET head = ? WHERE id = ?", heads)
        run.execute("COMMIT")

    def wait(self, seconds: float) -> None:
        """Nothing waits for answers."""
        time.sleep(seconds)

    def finish(self) -> None:
        """Wait until Redis has taken everything."""
        self._line.finish()
        self.close_database()

    def close_database(self) -> None:
        """Leave the log."""
        self._connection.close()

    def _channel(self, burst: Burst) -> bytes:
        return f"{PREFIX}:{self._sessions[burst.channel]}".encode()

    def _message(self, burst: Burst, committed_at_us: int) -> Message:
        entries = tuple(Entry(JOB_ID, EVENT_TYPE, data) for data in burst.events)
        session, epoch = self._sessions[burst.channel], self._epochs[burst.channel]
        return Message(session, epoch, burst.first, entries, committed_at_us)
