"""What a bar is: work that two programs do in turn, a figure of each run, and the ratio or the limit to reach."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
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

    `at_least` turns the direction round: results per second of a ratio of 30 or more. Without a `limit` the figure is
    only shown beside the peer's, good or bad.
    """

    figure: str
    kind: Kind
    limit: float | None = None
    peer: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run of one program: its figures by name, the unit being the name's last part (`p99_ms`).

    `pair` numbers the round in which the programs took turns. A run that lost, doubled or reordered anything is no run:
    it raises. `seconds`: how long it took in all, starts and warm-up included.
    """

    program: str
    pair: int
    figures: dict[str, float]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal with what was measured: median, lowest and highest of the rounds, or None when no round is whole.

    `rounds` is how many values these are of. `reached` None: there is no limit to reach.
    """

    goal: Goal
    measured: float | None
    lowest: float | None
    highest: float | None
    reached: bool | None
    rounds: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of a bar: every run, the verdicts, and which programs could not take part and why.

    `failures` are runs that raised, with their reason; one of them is enough and no goal is reached. `loads` says for
    which programs the work was another one; `attempts`, what became of work that a peer could not do.
    """

    name: str
    title: str
    programs: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    loads: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the table.

    `measure(program, pair)` starts the program afresh, lets it do the work and returns its run; `programs` are ours and
    the peers' names in the order in which they take turns. `others` run only in the first pairs that `other_pairs`
    says: they stand in the table and no goal with a limit looks at them. `pairs` is also how many values a goal needs.
    `attempts` run once, after the rounds; they are expected to fail, and show why a peer's load is no higher. When one
    of `may_fail` fails, that is told of it in the same place, and is no failure of the bar; no goal may be about it.
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
    loads: Mapping[str, str] = field(default_factory=dict)
    attempts: Sequence[str] = ()
    may_fail: Sequence[str] = ()
