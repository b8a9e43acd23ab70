"""Who may open a stream: places per process, session and address, and budgets for openings under way.

A place is held for as long as the stream lives. An opening costs look-ups and perhaps a snapshot, so only so many are
under way at once. Browsers that resume and browsers that come for the first time wait in different queues, because a
wave of the one sort must not keep out the other.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address

from infra.settings import SseSettings
from infra.telemetry.metrics import Metrics

# A browser that waits longer is better off with `stream.busy`, which tells it when to come back.
OPENING_SECONDS = 5.0


class Refused(Exception):
    """There is no room for this stream now; `reason` says where: process, session, address or opening."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Place:
    """The room of one stream, until it leaves."""

    __slots__ = ("_address", "_admission", "_session_id")

    def __init__(self, admission: "Admission", session_id: str, address: str | None) -> None:
        self._admission: Admission | None = admission
        self._session_id = session_id
        self._address = address

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.free(self._session_id, self._address)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        self.leave()


class Admission:
    """Counts the streams of a process and refuses those beyond a limit."""

    def __init__(self, settings: SseSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self.connections = 0
        self.empty = asyncio.Event()
        self.empty.set()
        self._of_session: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._new = asyncio.Semaphore(settings.max_openings_new)
        self._resumed = asyncio.Semaphore(settings.max_openings_resumed)

    def place(self, session_id: str, client: str | None) -> "Place":
        """Take a place for one stream. Raises Refused. `client` is the peer's IP address, None when there is none."""
        address = network_of(client) if client else None
        self._check(session_id, address)
        self.connections += 1
        self.empty.clear()
        self._metrics.connections.inc()
        self._of_session[session_id] += 1
        if address is not None:
            self._of_address[address] += 1
        return Place(self, session_id, address)

    def free(self, session_id: str, address: str | None) -> None:
        """A place is free again; see `Place.leave`."""
        self.connections -= 1
        if not self.connections:
            self.empty.set()
        self._metrics.connections.dec()
        _release(self._of_session, session_id)
        if address is not None:
            _release(self._of_address, address)

    def _check(self, session_id: str, address: str | None) -> None:
        settings = self._settings
        if self.connections >= settings.max_connections:
            raise Refused("process")
        if self._of_session[session_id] >= settings.max_connections_per_session:
            raise Refused("session")
        if address is not None and self._of_address[address] >= settings.max_connections_per_address:
            raise Refused("address")

    @asynccontextmanager
    async def opening(self, resuming: bool) -> AsyncIterator[None]:
        """Hold one of the openings under way. Raises Refused after five seconds of waiting or of opening."""
        budget = self._resumed if resuming else self._new
        try:
            async with asyncio.timeout(OPENING_SECONDS) as deadline, budget:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Refused("opening") from None


def network_of(client: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that a provider gives to one IPv6 customer."""
    if ":" not in client:
        return client
    try:
        address = IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(IPv6Address(int(address) >> 64 << 64))


def _release(counted: Counter[str], key: str) -> None:
    counted[key] -= 1
    if counted[key] <= 0:
        del counted[key]
