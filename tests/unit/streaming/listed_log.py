"""An event log in a list: the LogReader of a channel, for tests that need thousands of small histories."""

import asyncio
from dataclasses import dataclass, field

from gateway.streaming.batch import unchunked
from gateway.streaming.budget import Budget
from gateway.streaming.channel import Channel
from gateway.streaming.pages import Pages
from infra.bus.base import Entry, Message
from infra.database.log import LogPage, LogPosition
from infra.errors import DatabaseUnavailable
from tests.unit.streaming.wire import dispatch

SESSION = "s" * 26
JOBS = tuple(name * 26 for name in "abc")


@dataclass(eq=False)
class Listener:
    """A live browser that writes down what it is given."""

    chunks: list[bytes] = field(default_factory=list)
    finished: str | None = None
    lost: bool = False

    @property
    def numbers(self) -> list[int]:
        return [event.seq for chunk in self.chunks for event in dispatch(unchunked(chunk))]

    def take(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def finish(self, status: str) -> None:
        self.finished = status

    def lose(self) -> None:
        self.lost = True


@dataclass
class ListedLog:
    """One session's log. `away` makes reads fail, `gate` holds them back; `reads` are the pages asked for.

    `most_in_a_page` cuts pages short, as the real log does when its events are large.
    """

    epoch: str = "epoch000"
    entries: list[Entry] = field(default_factory=list)
    trimmed: int = 0
    away: bool = False
    most_in_a_page: int = 10_000
    gate: asyncio.Event | None = None
    reads: list[int] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    set_back: list[Channel] = field(default_factory=list)

    @property
    def stands_at(self) -> LogPosition:
        return LogPosition(self.epoch, len(self.entries), self.trimmed)

    async def position(self, session_id: str) -> LogPosition | None:
        assert session_id == SESSION
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable
        return self.stands_at

    def commit(self, *job_ids: str, name: str = "item.updated") -> Message:
        """Append an event for each job; returns what goes to the bus."""
        first = len(self.entries) + 1
        new = tuple(Entry(job, name, b'{"n":%d}' % seq) for seq, job in enumerate(job_ids, first))
        self.entries += new
        return Message(SESSION, self.epoch, first, new, committed_at_us=first)

    async def page(self, session_id: str, after: int, limit: int) -> LogPage | None:
        assert session_id == SESSION
        self.reads.append(after)
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable
        # What a query sees is fixed when it runs; how long its answer travels is another matter.
        kept = [(seq, entry) for seq, entry in enumerate(self.entries, 1) if seq > max(after, self.trimmed)]
        page = tuple(kept[: min(limit, self.most_in_a_page)])
        position = self.stands_at
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return LogPage(page, page[-1][0] if page else max(after, self.trimmed), position)

    def channel(self, ring_events: int = 256) -> Channel:
        """A channel of this log as it stands now."""
        pages = Pages(self, lambda: None)
        rings = Budget(1_000_000_000)
        return Channel(SESSION, self.stands_at, pages, rings, ring_events, self.repairs.append, self.set_back.append)
