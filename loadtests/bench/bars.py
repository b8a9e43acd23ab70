"""What a bar is: work that two programs do in turn, a figure of each run, and the ratio or the limit to reach."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What is held against the limit.

    RATIO: the median over pairs of (our value / the peer's value of the same pair). VALUE: the median of our values.
    """

    RATIO = "ratio"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit that a figure has to keep, for example `cpu_us_per_event` at most 0.35 times that of nchan.

    `at_least` turns the direction round: results per second of a ratio of 30 or more.
    """

    figure: str
    kind: Kind
    limit: float
    peer: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run of one program: its figures by name, the unit being the name's last part (`p99_ms`).

    `pair` numbers the round in which the programs took turns. A run that lost, doubled or reordered anything is no run:
    it raises.
    """

    program: str
    pair: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal with what was measured: median, lowest and highest of the pairs, or None when no pair is whole."""

    goal: Goal
    measured: float | None
    lowest: float | None
    highest: float | None
    reached: bool


@dataclass(slots=True)
class Outcome:
    """What became of a bar: every run, the verdicts, and which programs could not take part and why.

    `failures` are runs that raised, with their reason; one of them is enough and no goal is reached.
    """

    name: str
    title: str
    programs: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the table.

    `measure(program, pair)` starts the program afresh, lets it do the work and returns its run; `programs` are ours and
    the peers' names in the order in which they take turns. `others` run only in the first pairs that `other_pairs`
    says: they stand in the table and no goal looks at them.
    """

    name: str
    title: str
    goals: Sequence[Goal]
    programs: Sequence[str]
    measure: Callable[[str, int], Awaitable[Run]]
    others: Sequence[str] = ()
    other_pairs: int = 1
    pairs: int = 5
    notes: Sequence[str] = ()
