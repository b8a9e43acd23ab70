"""A seeded random schedule: which faults strike, in which order, how long, and at most two at a time."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.harness.fault import Fault, FaultMaker
from tests.faults.harness.scene import Scene
from tests.faults.harness.world import World

# Two faults may overlap, three may not: the third would mostly hide what the other two do.
LANES = 2
PAUSE_SECONDS = (0.5, 2.0)
# A fault also takes time to strike and to heal, which the plan can't know; so much is left for each.
HEAL_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Turn:
    """A fault in the plan: after a pause, for so many seconds."""

    pause_seconds: float
    fault: Fault
    seconds: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """The same seed, makers, stack and length give the same schedule. A lane's turns come one after the other."""

    seed: int
    lanes: tuple[tuple[Turn, ...], ...]

    async def run(self, scene: Scene, seconds: float) -> None:
        """Strike it all. A lane stops when `seconds` are over; a fault waits for its part to be whole."""
        parts: dict[str, asyncio.Lock] = {}
        deadline = time.monotonic() + seconds
        async with asyncio.TaskGroup() as lanes:
            for turns in self.lanes:
                lanes.create_task(_strike(scene, turns, parts, deadline))


async def _strike(scene: Scene, turns: Sequence[Turn], parts: dict[str, asyncio.Lock], deadline: float) -> None:
    for turn in turns:
        await asyncio.sleep(turn.pause_seconds)
        async with parts.setdefault(turn.fault.part, asyncio.Lock()):
            if time.monotonic() < deadline:
                await scene.hit(turn.fault, turn.seconds)


def draw(
    seed: int, makers: Sequence[FaultMaker], world: World, seconds: float, *, longest_seconds: float = math.inf
) -> Schedule:
    """Draw a schedule for a world that has not started, and prepare the world for it.

    The kinds are dealt like cards: none comes a second time before all that apply have come once. No fault lasts longer
    than `longest_seconds`, except that none is shorter than its own shortest time.
    """
    rng = random.Random(seed)
    deck: list[FaultMaker] = []
    lanes: list[list[Turn]] = [[] for _ in range(LANES)]
    ends = [0.0] * LANES
    while (start := min(ends)) < seconds:
        lane = ends.index(start)
        if not deck:
            deck = [maker for maker in makers if maker(random.Random(seed)).applies_to(world)]
            if not deck:
                raise ValueError(f"no fault applies to {world.stack.name}")
            rng.shuffle(deck)
        fault = deck.pop()(random.Random(rng.random()))
        shortest, longest = fault.seconds
        lasts = rng.uniform(shortest, max(shortest, min(longest, longest_seconds)))
        turn = Turn(rng.uniform(*PAUSE_SECONDS), fault, lasts)
        lanes[lane].append(turn)
        ends[lane] = start + turn.pause_seconds + turn.seconds + HEAL_SECONDS
    for turn in (turn for lane in lanes for turn in lane):
        turn.fault.prepare(world)
    return Schedule(seed, tuple(tuple(lane) for lane in lanes))
