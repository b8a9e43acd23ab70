"""The world that faults strike: real gateways, a real database and Redis, and proxies on every way between them.

Each gateway reaches Redis through a proxy of its own, and each client reaches its gateway through a proxy of its own
(a `door`), so that one link can be slowed, cut or half-opened without touching another.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import httpx

from tests.faults.harness.proxy import TcpProxy
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer, Server, ServerError

if TYPE_CHECKING:
    from tests.faults.harness.viewers import ProcessViewer, Viewer

AnyServer = TypeVar("AnyServer", bound=Server)
ASK_SECONDS = 2.0
REVIVE_SECONDS = 60.0
LEASE_SECONDS = 2

# 80 ms per dish and stage: a job of 25 dishes lasts two seconds, long enough to be struck in. Heartbeats are short, so
# that a client that missed something is told soon, and leases, so that a dead gateway's work is taken over soon.
SETTINGS: Mapping[str, str] = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "80",
    "PROCESSING__LEASE_SECONDS": str(LEASE_SECONDS),
    "PROCESSING__RETRY_DELAY_SECONDS": "0.2",
    "SSE__HEARTBEAT_SECONDS": "1",
    "SSE__RETRY_MS": "200",
    "SSE__SEND_TIMEOUT_SECONDS": "5",
    "SSE__DRAIN_SECONDS": "1",
    # Connections also come to their natural end while the faults strike.
    "SSE__MAX_AGE_SECONDS": "30",
    # A small ring: who was away for a second reads the log. With the usual one nobody would, at this pace.
    "SSE__RING_EVENTS": "32",
    "TELEMETRY__LOG_FORMAT": "json",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """Which real parts a world is made of."""

    name: str
    gateways: int = 1
    postgres: bool = False
    redis: bool = False


SQLITE_ALONE = Stack("SQLite alone")
SQLITE_AND_REDIS = Stack("SQLite and Redis", redis=True)
POSTGRES_ALONE = Stack("PostgreSQL alone", postgres=True)
TWO_GATEWAYS = Stack("PostgreSQL, Redis, two gateways", gateways=2, postgres=True, redis=True)


class WorldGateway(GatewayProcess):
    """A gateway whose process also sees environment variables that are no settings of ours (LD_PRELOAD)."""

    extra: Mapping[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.extra}

    def revive(self) -> None:
        """Serve again after its end, without migrating: as a service manager would, as often as it takes.

        The database may be away at the same time; a gateway does not start without it. Raises ServerError after 60 s.
        """
        deadline = time.monotonic() + REVIVE_SECONDS
        while True:
            try:
                super(GatewayProcess, self).start()
            except ServerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return


@dataclass(slots=True)
class Site:
    """One gateway and its way to Redis. `name` is its `part` in a fault: "gateway 1"."""

    name: str
    gateway: WorldGateway
    redis_proxy: TcpProxy | None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self.gateway.process is not None, f"{self.name} was never started"
        return self.gateway.process.pid


class World:
    """Entered, everything runs; left, everything is gone.

    Before it is entered, `settings` (names without STAGECAST_) and `environment` of the gateways may still be changed.
    `directory` is the world's own folder; a SQLite database lies in `disk` below it. Servers that are given are neither
    started nor closed; the others are the world's own. `viewers`, `process_viewers` and `submitter_doors` are filled by
    who adds them.
    `closing` takes what else must be undone at the end.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        settings: Mapping[str, str] | None = None,
        postgres: PostgresServer | None = None,
        redis: RedisServer | None = None,
    ) -> None:
        self.stack = stack
        self.settings = {**SETTINGS, **(settings or {})}
        self.environment: dict[str, str] = {}
        self.directory = Path(tempfile.mkdtemp(prefix="stagecast-world-"))
        self.disk = self.directory / "disk"
        self.disk.mkdir()
        self.postgres = postgres
        self.redis = redis
        self.database_url = ""
        self.sites: list[Site] = []
        self.viewers: list[Viewer] = []
        self.process_viewers: list[ProcessViewer] = []
        self.submitter_doors: list[TcpProxy] = []
        self.closing = AsyncExitStack()
        # First in, last out: a fault may have mounted something below, which must be gone by then.
        self.closing.callback(shutil.rmtree, self.directory, ignore_errors=True)

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None on PostgreSQL."""
        return None if self.stack.postgres else self.disk / "stagecast.db"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.closing.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.closing.aclose()

    async def _start(self) -> None:
        if self.stack.redis and self.redis is None:
            self.redis = await self._run(RedisServer())
        if self.stack.postgres:
            if self.postgres is None:
                self.postgres = await self._run(PostgresServer())
            self.database_url = await asyncio.to_thread(self.postgres.create_database)
        else:
            self.database_url = f"sqlite+aiosqlite:///{self.sqlite_path}"
        for number in range(1, self.stack.gateways + 1):
            await self._add_site(f"gateway {number}")

    async def _add_site(self, name: str) -> None:
        proxy, url = None, None
        if self.stack.redis:
            assert self.redis is not None
            proxy = await self._proxy(self.redis.port)
            url = f"redis://127.0.0.1:{proxy.port}/0"
        gateway = WorldGateway(self.database_url, redis_url=url, settings=self.settings)
        gateway.extra = self.environment
        await self._run(gateway)
        self.sites.append(Site(name, gateway, proxy))

    async def _run(self, server: AnyServer) -> AnyServer:
        self.closing.push_async_callback(asyncio.to_thread, server.close)
        await asyncio.to_thread(server.start)
        return server

    async def _proxy(self, port: int) -> TcpProxy:
        proxy = TcpProxy(port)
        await proxy.start()
        self.closing.push_async_callback(proxy.close)
        return proxy

    async def open_door(self, number: int) -> TcpProxy:
        """A new proxy in front of site `number` (from 0), for one client."""
        return await self._proxy(self.sites[number].gateway.port)

    async def metrics(self, number: int = 0) -> dict[str, float]:
        """Every sample of a gateway's /metrics by its name with its labels, past all proxies; empty when it is down."""
        text = await self.ask(number, "/metrics")
        lines = [line for line in (text or "").splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def ask(self, number: int, path: str) -> str | None:
        """The body of a GET at a gateway, whatever its status; None when there is no answer within two seconds."""
        url = f"{self.sites[number].gateway.url}{path}"
        try:
            async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False, verify=False) as client:
                return (await client.get(url)).text
        except httpx.TransportError:
            return None
