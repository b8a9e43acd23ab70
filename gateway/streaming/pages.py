"""Reads of the log for all channels of a process: counted, shared while they run, and kept for those who come next.

Pages begin at multiples of their size, so that browsers of one session with cursors at different places share them: a
wave of reconnects costs one query per session and page.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.streaming.batch import Kept, keep
from infra.database.log import LogPage, LogPosition

PAGE_EVENTS = 500
# Kept pages of the whole process.
MOST_BYTES = 33_554_432
# What an event costs beside its frame, roughly: the object, its job id, its place in the tuple.
OVERHEAD_BYTES = 200


class LogReader(Protocol):
    """What pages are read from."""

    async def page(self, session_id: str, after: int, limit: int) -> LogPage | None: ...

    async def position(self, session_id: str) -> LogPosition | None: ...


@dataclass(frozen=True, slots=True)
class Page:
    """The events with numbers start+1..reached of one life of a log; `trimmed` is as of the moment it was read."""

    epoch: str
    trimmed: int
    reached: int
    events: Sequence[Kept]

    def after(self, seq: int) -> Sequence[Kept]:
        """The events that follow a number."""
        return self.events[bisect_right(self.events, seq, key=lambda one: one.seq) :]


class Pages:
    """The pages that replays read."""

    def __init__(self, event_log: LogReader, count_read: Callable[[], None], most_bytes: int = MOST_BYTES) -> None:
        self._log = event_log
        self._count_read = count_read
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, int], Page] = OrderedDict()
        self._starts: dict[str, set[int]] = {}
        self._reading: dict[tuple[str, int], asyncio.Task[Page | None]] = {}

    async def read(self, session_id: str, after: int, limit: int | None = None) -> LogPage | None:
        """A page straight from the log, counted and neither shared nor kept."""
        self._count_read()
        return await self._log.page(session_id, after, limit or PAGE_EVENTS)

    async def position(self, session_id: str) -> LogPosition | None:
        """Where the log stands now; asked for many sessions at once, it is one query and no page."""
        return await self._log.position(session_id)

    async def covering(self, session_id: str, epoch: str, seq: int) -> Page | None:
        """A page that holds what follows `seq`, as far as the log has it; None when there is no such session.

        The page may be of another epoch or be trimmed beyond `seq`: then the log is no longer what the caller knew.
        """
        page = await self._page(session_id, epoch, seq - seq % PAGE_EVENTS, seq)
        if page is not None and page.epoch == epoch and page.trimmed <= seq and page.reached <= seq:
            # Its events are so large that it ends before `seq`, or it was read a moment too early.
            page = await self._page(session_id, epoch, seq, seq)
        return page

    async def _page(self, session_id: str, epoch: str, start: int, seq: int) -> Page | None:
        key = (session_id, start)
        kept = self._kept.get(key)
        if kept is not None and kept.epoch == epoch and kept.reached > seq:
            self._kept.move_to_end(key)
            return kept
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key), name=f"page {session_id} {start}")
            reading.add_done_callback(lambda _done: self._reading.pop(key, None))
        # Shielded: one browser that leaves must not cancel the read of the others.
        return await asyncio.shield(reading)

    async def _read(self, key: tuple[str, int]) -> Page | None:
        found = await self.read(*key)
        if found is None:
            return None
        position = found.position
        events = tuple(keep(position.epoch, seq, entry) for seq, entry in found.events)
        page = Page(position.epoch, position.trimmed, found.reached, events)
        self._keep(key, page)
        return page

    def _keep(self, key: tuple[str, int], page: Page) -> None:
        self._drop(key)
        self._kept[key] = page
        self._starts.setdefault(key[0], set()).add(key[1])
        self._bytes += _size(page)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, int]) -> None:
        page = self._kept.pop(key, None)
        if page is None:
            return
        self._bytes -= _size(page)
        session_id, start = key
        self._starts[session_id].discard(start)
        if not self._starts[session_id]:
            del self._starts[session_id]

    def forget(self, session_id: str) -> None:
        """Let a session's pages go: its last browser has left."""
        for start in tuple(self._starts.get(session_id, ())):
            self._drop((session_id, start))

    async def close(self) -> None:
        """Stop what still reads, and let all pages go."""
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        self._kept.clear()
        self._starts.clear()
        self._bytes = 0


def _size(page: Page) -> int:
    return OVERHEAD_BYTES + sum(len(one.frame) + OVERHEAD_BYTES for one in page.events)
