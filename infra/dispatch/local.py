"""Runs stages inside this process: a bounded number at once, the rest in a bounded queue.

It may forget: a full queue drops, a crash loses all. The reconciler finds what nobody runs, so that dispatch is
at-least-once whatever happens here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self

import structlog

MOST_QUEUED = 50_000
STOP_SECONDS = 8.0

StageKey = tuple[str, str]

log = structlog.stdlib.get_logger(__name__)


class LocalDispatcher:
    """Calls `run(job_id, stage)` for each dispatched stage; the same stage is never queued or run twice at once."""

    def __init__(self, run: Callable[[str, str], Awaitable[float | None]], concurrency: int) -> None:
        self._run = run
        self._concurrency = concurrency
        self._queued: OrderedDict[StageKey, None] = OrderedDict()
        self._running: dict[StageKey, asyncio.Task[None]] = {}
        self._later: dict[StageKey, asyncio.TimerHandle] = {}
        self._reserved = 0
        self._stopping = False

    def dispatch(self, job_id: str, stage: str) -> None:
        """Run the stage as soon as there is room. With 50,000 waiting it is left to the reconciler."""
        key = (job_id, stage)
        if self._stopping or key in self._running or key in self._queued:
            return
        if len(self._queued) >= MOST_QUEUED:
            log.warning("dispatch_queue_full", job_id=job_id, stage=stage)
            return
        self._queued[key] = None
        self._fill()

    def reserve(self, count: int) -> "Places":
        """Places for stages that are not stored yet: that many if they could run at once, else none."""
        free = self._concurrency - len(self._running) - self._reserved
        return Places(self, 0 if self._stopping or self._queued or free < count else count)

    def dispatch_later(self, job_id: str, stage: str, seconds: float) -> None:
        """Run the stage after a delay."""
        key = (job_id, stage)
        if self._stopping or key in self._later:
            return
        self._later[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def _due(self, key: StageKey) -> None:
        self._later.pop(key, None)
        self.dispatch(*key)

    def _fill(self) -> None:
        while self._queued and len(self._running) + self._reserved < self._concurrency and not self._stopping:
            key, _ = self._queued.popitem(last=False)
            self._begin(key)

    def _begin(self, key: StageKey) -> None:
        task = asyncio.create_task(self._run_one(key), name=f"stage {key[0]} {key[1]}")
        self._running[key] = task
        task.add_done_callback(partial(self._ended, key))

    async def _run_one(self, key: StageKey) -> None:
        again: float | None = None
        try:
            again = await self._run(*key)
        except Exception:  # the lease expires and the reconciler tries again
            log.exception("stage_run_died", job_id=key[0], stage=key[1])
        if again is not None:
            self.dispatch_later(*key, again)

    def _ended(self, key: StageKey, _task: asyncio.Task[None]) -> None:
        # A callback of the task, since one that is cancelled before its first step never runs a line of its own.
        self._running.pop(key, None)
        self._fill()

    def cancel(self, job_id: str, stage: str) -> None:
        """Stop a running stage whose lease is gone."""
        task = self._running.get((job_id, stage))
        if task is not None:
            task.cancel()

    def rest(self) -> None:
        """Begin nothing more: what waits is left to whoever reconciles next. What runs goes on."""
        self._stopping = True
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()
        self._queued.clear()

    async def stop(self) -> None:
        """Take nothing new, cancel what runs (it hands its lease back), and wait for that at most eight seconds."""
        self.rest()
        # A task that is cancelled before its first step would run none, and not hand its lease back.
        await asyncio.sleep(0)
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=STOP_SECONDS)


class Places:
    """Places of a dispatcher that nobody else gets; those that were not used are free again at the end of the block."""

    def __init__(self, dispatcher: LocalDispatcher, count: int) -> None:
        self._dispatcher = dispatcher
        self.count = count
        dispatcher._reserved += count

    def begin(self, job_id: str, stage: str) -> bool:
        """Run the stage now, in one of the places; returns whether it does: not when the process has begun to stop."""
        if self.count == 0 or self._dispatcher._stopping:
            return False
        self.count -= 1
        self._dispatcher._reserved -= 1
        self._dispatcher._begin((job_id, stage))
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._dispatcher._reserved -= self.count
        self.count = 0
        self._dispatcher._fill()
