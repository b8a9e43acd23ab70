"""A submitter never hears whether its order was accepted."""

from tests.faults.harness.faults.blow import Blow, seen
from tests.faults.harness.world import World

# An order comes every second or so, unless its gateway is down just now.
SETTLE_SECONDS = 20.0


class AnswerLost(Blow):
    """The connection is reset at the first byte of an answer: the job is there, and the submitter has to ask again."""

    name = "answer to a submitter lost"
    part = "submitter"

    async def strike(self, world: World) -> None:
        doors = world.submitter_doors
        before = [door.counters.cuts for door in doors]

        def cut() -> bool:
            return any(door.counters.cuts > cuts for door, cuts in zip(doors, before, strict=True))

        for door in doors:
            door.cut_after(1)
        assert await seen(cut, SETTLE_SECONDS), "no answer came that could be lost"
        tails = [door.counters.tails[-1] for door, cuts in zip(doors, before, strict=True) if door.counters.cuts > cuts]
        self.note(f"the connection was reset after the first byte of an answer, {tails[0][-1:]!r}")

    async def heal(self, world: World) -> None:
        """Nothing to undo: the submitter asks again, with the same key."""
