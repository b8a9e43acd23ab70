"""Where Nchan is ahead of us, in all that hubs are compared by: ratios of the rounds in which both ran."""

import statistics
from collections.abc import Iterator, Sequence

from loadtests.bench.bars import Goal, Kind, Outcome
from loadtests.bench.figures import COMPARED, MORE_IS_BETTER, label, number
from loadtests.bench.pairs import figure_by_pair, measured_values
from loadtests.bench.record import Row

NCHANS = ("nchan", "nchan-posts")


def ahead_lines(rows: Sequence[Row]) -> list[str]:
    """A section for the report; it has no figure that the rows do not have."""
    found: dict[str, str] = {}
    for row in rows:
        for line in behind(row.outcome):
            found.setdefault(line, f"{row.outcome.name}: {line}")  # P5 and P4 may be of the same runs
    lines = [
        "**Where Nchan is ahead** in cost, latency, memory, connecting or publishing, with a goal or without:",
        "",
    ]
    return [*lines, *(f"- {line}" for line in found.values() or ["nowhere in these runs"])]


def behind(outcome: Outcome) -> Iterator[str]:
    """A line for each figure in which one of Nchan's feeds did better than we."""
    for peer in NCHANS:
        for figure in COMPARED:
            goal = Goal(figure, Kind.RATIO, peer=peer)
            ratios = measured_values(goal, outcome.programs[0], outcome.runs) if outcome.programs else []
            ratio = statistics.median(ratios) if ratios else 1.0
            if (ratio < 1) if figure in MORE_IS_BETTER else (ratio > 1):
                yield f"{label(figure)}: {_values(outcome, figure, peer)} ({number(ratio)}x)"


def _values(outcome: Outcome, figure: str, peer: str) -> str:
    ours, theirs = (figure_by_pair(figure, name, outcome.runs) for name in (outcome.programs[0], peer))
    both = [pair for pair in ours if pair in theirs]
    values = [number(statistics.median(side[pair] for pair in both)) for side in (ours, theirs)]
    rounds = f"{len(both)} rounds" if len(both) > 1 else "one round"
    return f"{values[0]}, {peer} {values[1]}, {rounds}"
