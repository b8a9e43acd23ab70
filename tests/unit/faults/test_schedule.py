"""The schedule: the seed decides everything, all kinds get their turn, and no part is hit twice at the same time."""

import asyncio
import random
import shutil
from typing import Any

import pytest

from tests.faults.harness.schedule import LANES, Schedule, Turn, draw
from tests.faults.harness.world import SQLITE_ALONE, World


class Knock:
    """A fault that does nothing but say so."""

    seconds = (0.0, 4.0)

    def __init__(self, chance: random.Random, name: str = "knock", part: str = "door") -> None:
        self.name = name
        self.part = part
        self.force = chance.random()
        self.prepared = False

    def applies_to(self, world: World) -> bool:
        return self.name != "for others"

    def prepare(self, world: World) -> None:
        self.prepared = True

    async def strike(self, world: World) -> None: ...

    async def heal(self, world: World) -> None: ...

    def evidence(self) -> str:
        return "it knocked"


def maker(name: str, part: str = "door") -> Any:
    return lambda chance: Knock(chance, name, part)


KINDS = tuple(maker(name) for name in ("one", "two", "three", "four", "for others"))


def drawn(seed: int, seconds: float = 60.0, kinds: Any = KINDS, **options: float) -> Schedule:
    world = World(SQLITE_ALONE)
    try:
        return draw(seed, kinds, world, seconds, **options)
    finally:
        shutil.rmtree(world.directory)


def told(schedule: Schedule) -> list[list[tuple[float, str, float, Any]]]:
    return [
        [(turn.pause_seconds, turn.fault.name, turn.seconds, getattr(turn.fault, "force", None)) for turn in lane]
        for lane in schedule.lanes
    ]


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert told(drawn(7)) == told(drawn(7))
    assert told(drawn(7)) != told(drawn(8))


def test_every_kind_that_applies_comes_before_any_comes_again_and_is_prepared() -> None:
    schedule = drawn(1, 60)
    turns = [turn for lane in schedule.lanes for turn in lane]
    names = [turn.fault.name for turn in turns]
    assert len(names) > 8
    counts = {name: names.count(name) for name in ("one", "two", "three", "four")}
    assert sum(counts.values()) == len(names), "a fault that does not apply was drawn"
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(getattr(turn.fault, "prepared", False) for turn in turns)


def test_faults_can_be_kept_short() -> None:
    assert max(turn.seconds for lane in drawn(1).lanes for turn in lane) > 2
    assert max(turn.seconds for lane in drawn(1, longest_seconds=1.5).lanes for turn in lane) <= 1.5


def test_a_world_that_nothing_applies_to_is_an_error() -> None:
    with pytest.raises(ValueError, match="no fault applies"):
        drawn(1, 10, KINDS[-1:])


class Stage:
    """Stands where a scene would, and takes down how many faults were under way at once, in all and per part."""

    def __init__(self) -> None:
        self.under_way: list[str] = []
        self.most = 0
        self.struck: list[str] = []

    async def hit(self, fault: Any, seconds: float) -> None:
        assert fault.part not in self.under_way, f"{fault.part} is hit twice at once"
        self.under_way.append(fault.part)
        self.struck.append(fault.name)
        self.most = max(self.most, len(self.under_way))
        await asyncio.sleep(seconds)
        self.under_way.remove(fault.part)


def turns(*parts: str) -> tuple[Turn, ...]:
    return tuple(Turn(0.001, Knock(random.Random(1), f"{part} {n}", part), 0.02) for n, part in enumerate(parts))


async def test_two_faults_overlap_but_never_on_the_same_part() -> None:
    stage: Any = Stage()
    assert LANES == 2
    await Schedule(1, (turns("redis", "redis", "database"), turns("redis", "database", "client"))).run(stage, 10)
    assert len(stage.struck) == 6
    assert stage.most == 2


async def test_no_fault_is_struck_after_the_end() -> None:
    stage: Any = Stage()
    await Schedule(1, (turns(*["redis"] * 100),)).run(stage, 1.0)
    assert 0 < len(stage.struck) < 100
