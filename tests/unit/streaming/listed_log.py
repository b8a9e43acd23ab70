"""An event log in a list: the LogReader of a channel, for tests that need thousands of small histories."""

import asyncio
from dataclasses import dataclass, field

from gateway.streaming.channel import Channel
from infra.bus.base import Entry, Message
from infra.database.log import LogPage, LogPosition
from infra.errors import DatabaseUnavailable

SESSION = "s" * 26
JOBS = tuple(name * 26 for name in "abc")


@dataclass
class ListedLog:
    """One session's log. `away` makes reads fail, `gate` holds them back; `reads` are the pages asked for."""

    epoch: str = "epoch000"
    entries: list[Entry] = field(default_factory=list)
    trimmed: int = 0
    away: bool = False
    gate: asyncio.Event | None = None
    reads: list[tuple[int, str | None]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.epoch, len(self.entries), self.trimmed)

    def commit(self, *job_ids: str, name: str = "item.updated") -> Message:
        """Append an event for each job; returns what goes to the bus."""
        first = len(self.entries) + 1
        new = tuple(Entry(job, name, b'{"n":%d}' % seq) for seq, job in enumerate(job_ids, first))
        self.entries += new
        return Message(SESSION, self.epoch, first, new, committed_at_us=first)

    async def page(self, session_id: str, after: int, limit: int, job_id: str | None = None) -> LogPage | None:
        assert session_id == SESSION
        self.reads.append((after, job_id))
        await asyncio.sleep(0)
        if self.away:
            raise DatabaseUnavailable
        # What a query sees is fixed when it runs; how long its answer travels is another matter.
        kept = [(seq, entry) for seq, entry in enumerate(self.entries, 1) if seq > max(after, self.trimmed)]
        page = tuple((seq, entry) for seq, entry in kept if job_id is None or entry.job_id == job_id)[:limit]
        position = self.position
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        reached = page[-1][0] if len(page) == limit else max(after, position.head)
        return LogPage(page, reached, position)

    def channel(self, ring_events: int = 256) -> Channel:
        """A channel of this log as it stands now."""
        return Channel(SESSION, self.position, self, ring_events, self.repairs.append)
