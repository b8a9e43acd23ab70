"""What all faults share: facts are gathered while the fault happens, and without facts it did not happen."""

import asyncio
import time
from collections.abc import Callable

from tests.faults.harness.world import World

POLL_SECONDS = 0.05


class Blow:
    """The base of every fault. `note` takes down what was seen; `evidence` says it, or that nothing was."""

    name = "nothing"
    part = "nothing"
    seconds: tuple[float, float] = (0, 0)

    def __init__(self) -> None:
        self._facts: list[str] = []

    def applies_to(self, world: World) -> bool:
        """Whether this world has what the fault hits."""
        return True

    def prepare(self, world: World) -> None:
        """Most faults need nothing to be arranged."""

    def note(self, fact: str) -> None:
        """Keep a fact for the evidence."""
        self._facts.append(fact)

    def evidence(self) -> str:
        """The facts. Raises AssertionError when there is none."""
        assert self._facts, f"nothing shows that the fault happened: {self.name}"
        return ", ".join(self._facts)


async def seen(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition is true; False when it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
