"""Waiting inside an event loop for something that nobody signals."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.005


# The default is long because a machine with two cores and several tenants may starve a process for seconds.
async def wait_for(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    """Poll a condition, plain or awaitable, until it is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(POLL_SECONDS)
