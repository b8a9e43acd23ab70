"""The moments of all streams behind one timer: heartbeats, ages, and turns of a drain.

A task with a timer for each stream is what made an idle one dear.
"""

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

import structlog

# After a failure, the stream is asked again so much later.
AGAIN_SECONDS = 1.0
# uvloop rounds timers to milliseconds: one that rang half a millisecond early rang again at once, 250 times over, for
# 0.33 ms of CPU a moment.
LATE_SECONDS = 0.001

log = structlog.stdlib.get_logger(__name__)


class Timed(Protocol):
    """Something with a next moment. `entry` belongs to the timetable, None when it is not in it."""

    entry: list[Any] | None

    def due(self) -> float | None:
        """Do what is due now; returns the next moment (the event loop's time), None when there is none."""
        ...

    @property
    def next_moment(self) -> float:
        """When something is due, in the event loop's time."""
        ...


class Timetable:
    """Calls `due` of everything in it at its moment."""

    def __init__(self) -> None:
        # [moment, number, who]: the number keeps entries of the same moment comparable; who is None once taken out.
        self._heap: list[list[Any]] = []
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0

    def put(self, timed: Timed) -> None:
        """Put something in, or move it to its present moment."""
        self.take_out(timed)
        self._insert(timed, timed.next_moment)
        self._set_timer()

    def take_out(self, timed: Timed) -> None:
        """Forget it."""
        entry, timed.entry = timed.entry, None
        if entry is not None:
            entry[2] = None

    def ask_all(self) -> None:
        """Have everybody look at the time now: something has changed for all."""
        entries, self._heap = self._heap, []
        self._ask(entries)

    def _insert(self, timed: Timed, moment: float) -> None:
        timed.entry = [moment, next(self._numbers), timed]
        heappush(self._heap, timed.entry)

    def _set_timer(self) -> None:
        if not self._heap:
            return
        first = self._heap[0][0]
        if self._timer is not None:
            if self._rings_at <= first:
                return
            self._timer.cancel()
        self._rings_at = first
        self._timer = asyncio.get_running_loop().call_at(first + LATE_SECONDS, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        due: list[list[Any]] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heappop(self._heap))
        self._ask(due)

    def _ask(self, due: list[list[Any]]) -> None:
        for entry in due:
            timed: Timed | None = entry[2]
            if timed is None:
                continue  # taken out or moved, perhaps by one that was asked before it
            timed.entry = None
            try:
                moment = timed.due()
            except Exception:  # one broken stream must not stop the time of all
                log.exception("moment_failed")
                moment = asyncio.get_running_loop().time() + AGAIN_SECONDS
            if moment is not None:
                self._insert(timed, moment)
        self._set_timer()

    def close(self) -> None:
        """Forget everybody."""
        if self._timer is not None:
            self._timer.cancel()
        self._heap.clear()
