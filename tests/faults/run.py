"""The long run: `python -m tests.faults.run --seconds 600 --seed 7 --write docs`, behind `make faults`.

Half of the time goes to a gateway alone on SQLite, half to two gateways on PostgreSQL and Redis. With `--write` the
report and its picture go into that folder. Exit code 1: the guarantee did not hold, or a fault can't be shown.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests.report import describe_machine
from tests.faults.harness.faults.catalogue import FAULTS
from tests.faults.harness.outcome import Outcome
from tests.faults.harness.play import play
from tests.faults.harness.report import PICTURE, Run, to_markdown
from tests.faults.harness.timeline import draw_timelines
from tests.faults.harness.world import SQLITE_ALONE, TWO_GATEWAYS

STACKS = (SQLITE_ALONE, TWO_GATEWAYS)


async def run_all(seed: int, seconds: float) -> list[Outcome]:
    """Each stack for its share of the time, one after the other."""
    outcomes = []
    for stack in STACKS:
        print(f"{stack.name}: {seconds / len(STACKS):.0f} s of faults from seed {seed}", flush=True)
        outcome = await play(stack, FAULTS, seed, seconds / len(STACKS))
        print(outcome.text(), flush=True)
        outcomes.append(outcome)
    return outcomes


def write(folder: Path, run: Run) -> None:
    """The page and its picture."""
    picture = folder / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    (folder / "faults.md").write_text(to_markdown(run))
    picture.write_text(draw_timelines(run.outcomes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write, and say whether it held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of faults, over both stacks (600)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a schedule; drawn and printed when left out")
    parser.add_argument("--write", type=Path, default=None, metavar="FOLDER", help="where faults.md goes")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    machine = describe_machine()
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    outcomes = asyncio.run(run_all(seed, given.seconds))
    command = f"make faults SECONDS={given.seconds:g} SEED={seed}"
    if given.write is not None:
        write(given.write, Run(date, command, seed, machine, outcomes))
    problems = [f"{outcome.stack}: {problem}" for outcome in outcomes for problem in outcome.problems]
    print(*(problems or [f"Nothing lost, doubled, reordered or altered (seed {seed})."]), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
