"""The orderly end of a process: no new streams, the open ones leave one after the other, then the server stops.

The server itself closes its listener first and waits for open streams afterwards; by then nobody could read that
`/health/ready` says 503, and all browsers would come back at the same moment.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog

from gateway.services import Services

# Long enough for a probe that asks every second to see that this process is leaving.
SHORTEST_SECONDS = 1.0
# A few streams need not be spread over the whole time: 100 a second is gentle.
SECONDS_PER_STREAM = 0.01
# For the last streams to write their farewell.
GRACE_SECONDS = 1.0

log = structlog.stdlib.get_logger(__name__)


async def drain(services: Services) -> None:
    """Let the streams leave, spread over at most `SSE__DRAIN_SECONDS`; stages that run go on, none begins."""
    clock = asyncio.get_running_loop().time
    began, streams = clock(), services.admission.connections
    over_seconds = min(services.settings.sse.drain_seconds, streams * SECONDS_PER_STREAM)
    log.info("draining", streams=streams, over_seconds=round(over_seconds, 2))
    services.dispatcher.rest()
    services.hub.drain(over_seconds)
    await asyncio.sleep(SHORTEST_SECONDS)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(began + over_seconds + GRACE_SECONDS):
            await services.admission.empty.wait()
    log.info("drained", seconds=round(clock() - began, 2), streams_left=services.admission.connections)


def drain_at_signal(drain_all: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """At SIGTERM and SIGINT drain, then let the handler go on that was there before; a second signal does not wait.

    Returns what puts the earlier handlers back. Outside the main thread it does nothing: whoever embeds the application
    there stops it in another way.
    """
    loop = asyncio.get_running_loop()
    previous: dict[int, Any] = {}
    draining: list[asyncio.Task[None]] = []

    async def stop(number: int) -> None:
        try:
            await drain_all()
        except Exception:
            log.exception("drain_failed")
        _go_on(previous[number], number)

    def begin(number: int) -> None:
        draining.append(loop.create_task(stop(number), name="drain"))

    def handle(number: int, _frame: FrameType | None) -> None:
        if draining:
            _go_on(previous[number], number)
        else:
            loop.call_soon_threadsafe(begin, number)

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, handle)
    except ValueError:
        return lambda: None

    def restore() -> None:
        for number, before in previous.items():
            signal.signal(number, before)

    return restore


def _go_on(handler: Any, number: int) -> None:
    if callable(handler):
        handler(number, None)
    elif handler is not signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
