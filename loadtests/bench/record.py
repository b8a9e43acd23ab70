"""What is kept of the benchmark: each bar with its runs, and when, where and how it was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from loadtests.bench.bars import Outcome
from loadtests.report import Machine, describe_machine
from loadtests.source import describe_source

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results"
NAME = "bench"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When, where and how a bar was measured; `versions` are those of all programs that can take part.

    `commit` is that of the working tree (empty: not known), `dirty` says that `changed` files differed from it, and
    `seconds` how long the whole call took, all of its bars.
    """

    date: str
    command: str
    machine: Machine
    versions: dict[str, str]
    commit: str = ""
    dirty: bool = False
    changed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A bar of the table."""

    outcome: Outcome
    circumstances: Circumstances


@dataclass(slots=True)
class Record:
    """All bars that were ever measured here, by name. A run of some bars replaces only those."""

    rows: dict[str, Row] = field(default_factory=dict)

    def take(self, outcomes: Sequence[Outcome], circumstances: Circumstances) -> None:
        """Replace these bars."""
        for outcome in outcomes:
            self.rows[outcome.name] = Row(outcome, circumstances)

    def in_order(self, names: Sequence[str]) -> list[Row]:
        """The rows as the bars are listed; one that is no bar any more is left out."""
        return [self.rows[name] for name in names if name in self.rows]


def look_around(command: str, versions: dict[str, str]) -> Circumstances:
    """The circumstances now; before the runs, because of the load average. How long they take is not known yet."""
    date, source = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), describe_source(ROOT)
    return Circumstances(date, command, describe_machine(), versions, source.commit, source.changed > 0, source.changed)


def read_record(folder: Path = RESULTS) -> Record:
    """What is stored; an empty record when there is nothing."""
    path = folder / f"{NAME}.json"
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else Record()


def write_record(record: Record, folder: Path = RESULTS) -> None:
    """Store it as JSON that a person can read, too."""
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
