"""Background tasks that somebody watches: an unexpected end is logged, counted, and followed by a restart."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from infra.telemetry.metrics import Metrics

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# A task that lived this long before it died starts again with the first pause.
STEADY_SECONDS = 30.0
STOP_TRIES = 10
STOP_TRY_SECONDS = 0.5

log = structlog.stdlib.get_logger(__name__)


class Supervisor:
    """Owns the long-lived tasks of a process. `failing` names those that died and are waiting for their restart."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failing: set[str] = set()

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run()` for as long as the process lives; it is expected never to return."""
        self._tasks[name] = asyncio.create_task(self._keep(name, run), name=name)

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = clock()
            try:
                self.failing.discard(name)
                await run()
                log.error("task_ended", task=name)
            except Exception:
                log.exception("task_died", task=name)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                log.exception("task_died", task=name)  # something that it waited for was cancelled, not it
            self.failing.add(name)
            self._metrics.task_restarts.labels(task=name).inc()
            if clock() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end, at most five seconds.

        A cancellation can get lost inside a library that turns it into a time-out of its own, so it is repeated.
        """
        left = set(self._tasks.values())
        self._tasks.clear()
        for _ in range(STOP_TRIES):
            for task in left:
                task.cancel()
            if not left:
                return
            _, left = await asyncio.wait(left, timeout=STOP_TRY_SECONDS)
        if left:
            log.error("tasks_not_stopped", tasks=sorted(task.get_name() for task in left))
