"""The orderly end of a process: no new streams, the open ones leave one after the other, then the server stops.

The server itself closes its listener first and waits for open streams afterwards; by then nobody could read that
`/health/ready` says 503, and all browsers would come back at the same moment.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog

from gateway.services import Services

# Long enough for a probe that asks every second to see that this process is leaving.
SHORTEST_SECONDS = 1.0
# A few streams need not be spread over the whole time: 100 a second is gentle.
SECONDS_PER_STREAM = 0.01
# Ctrl-C and service managers signal the whole group, and the parent passes it on to its workers half a second later.
SAME_WISH_SECONDS = 2.0
# For the last streams to write their farewell.
GRACE_SECONDS = 1.0

log = structlog.stdlib.get_logger(__name__)


async def drain(services: Services) -> None:
    """Let the streams leave, spread over at most `SSE__DRAIN_SECONDS`; stages that run go on, none begins.

    Cancelled, it has all that are left leave at once.
    """
    clock = asyncio.get_running_loop().time
    began, streams = clock(), services.admission.connections
    over_seconds = min(services.settings.sse.drain_seconds, streams * SECONDS_PER_STREAM)
    log.info("draining", streams=streams, over_seconds=round(over_seconds, 2))
    services.dispatcher.rest()
    services.hub.drain(over_seconds)
    try:
        await asyncio.sleep(SHORTEST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(began + over_seconds + GRACE_SECONDS):
                await services.admission.empty.wait()
    finally:
        services.hub.drain()
        log.info("drained", seconds=round(clock() - began, 2), streams_left=services.admission.connections)


class SignalledDrain:
    """At SIGTERM and SIGINT drains, then lets the handler go on that was there before, once.

    A signal that comes again at once is the same wish: a group's signal reaches a worker directly and through its
    parent. Later a second one means that somebody is in a hurry, and the streams' turns are skipped; further ones go to
    the earlier handler.
    """

    def __init__(self, drain_all: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._drain_all = drain_all
        self._loop = asyncio.get_running_loop()
        self._previous: dict[int, Any] = {}
        self._first_at: float | None = None
        self._hurry = asyncio.Event()
        self._passed_on = False
        self._stopping: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Take the signals; not outside the main thread, where whoever embeds us stops us in another way."""
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        except ValueError:
            return

    def restore(self) -> None:
        """Put the earlier handlers back."""
        for number, before in self._previous.items():
            signal.signal(number, before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
            self._loop.call_soon_threadsafe(self._begin, number)
        elif self._passed_on:
            _go_on(self._previous[number], number)
        elif now - self._first_at > SAME_WISH_SECONDS:
            self._loop.call_soon_threadsafe(self._hurry.set)

    def _begin(self, number: int) -> None:
        self._stopping = self._loop.create_task(self._stop(number), name="drain")

    async def _stop(self, number: int) -> None:
        draining = asyncio.create_task(self._drain_all())
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurrying):
            task.cancel()
        for error in await asyncio.gather(draining, hurrying, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("drain_failed", exc_info=error)
        self._passed_on = True
        _go_on(self._previous[number], number)


def _go_on(handler: Any, number: int) -> None:
    if callable(handler):
        handler(number, None)
    elif handler is not signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
