"""What a fault is to the harness: it strikes, it is healed, and it can show that it really happened."""

import random
from collections.abc import Callable
from typing import Protocol

from tests.faults.harness.world import World


class Fault(Protocol):
    """One blow. An instance is used once: `prepare`, then `strike`, then `heal`, then `evidence`.

    `part` names what is hit ("redis", "database", "gateway 1", "client"): two faults of the same part never overlap, so
    that a fault may rely on finding its part whole. `seconds` is how long it lasts, from strike to heal, as
    (shortest, longest); a fault that is over at once, such as a dropped connection, says (0, 0).
    """

    @property
    def name(self) -> str: ...

    @property
    def part(self) -> str: ...

    @property
    def seconds(self) -> tuple[float, float]: ...

    def applies_to(self, world: World) -> bool:
        """Whether this world has what the fault hits. Asked before the world starts."""
        ...

    def prepare(self, world: World) -> None:
        """Arrange what must be there from the start (an environment variable, a small disk); harmless twice."""
        ...

    async def strike(self, world: World) -> None:
        """Do the damage, and see that it is done."""
        ...

    async def heal(self, world: World) -> None:
        """Undo it, and wait until what was hit answers again; bounded."""
        ...

    def evidence(self) -> str:
        """What shows that it happened, in a few words with figures. Raises AssertionError when nothing does."""
        ...


# Makes a fault; what is left to chance (which gateway, which viewer) is drawn from the given source only.
FaultMaker = Callable[[random.Random], Fault]
