"""An event loop whose clock jumps: when nothing is left to do, it is at once the time of the next timer.

Hours of sweeps, heartbeats and retries pass in a second, and the time of everything is exact. Only without real I/O.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class NothingWillHappen(RuntimeError):
    """Every task waits for something that no timer will bring."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen
        self.seconds += max(timeout, 0.0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop in simulated time, which begins at 0."""

    def __init__(self) -> None:
        self._selector_clock = _Jumping()
        super().__init__(self._selector_clock)

    def time(self) -> float:
        return self._selector_clock.seconds


def run_simulated(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)
