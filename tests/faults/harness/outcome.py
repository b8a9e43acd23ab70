"""What a run showed: every figure, every difference, and whether all of it is as promised."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.harness.checker import ViewerVerdict
from tests.faults.harness.history import Order


@dataclass(slots=True)
class Stroke:
    """A fault that was struck. Times are monotonic; `failure` says why it does not count.

    `recovered_seconds` is from the heal until every viewer was live and had what was committed by then; None: never.
    """

    name: str
    part: str
    struck_at: float
    healed_at: float = 0.0
    recovered_seconds: float | None = None
    evidence: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """`committed` is the sum of all heads at a moment, None while the database could not be read."""

    at: float
    committed: int | None


@dataclass(frozen=True, slots=True)
class Strip:
    """A viewer's life on the timeline, and the times in which nothing came although a job was under way."""

    viewer: str
    opened_at: float
    closed_at: float
    silences: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run on one stack. Without `problems`, the guarantee held.

    `statuses` are those of the jobs, `findings` what is wrong with jobs, rows or processes, and `complaints` what the
    gateways logged as errors, which is allowed while their database is away.
    """

    stack: str
    began: float
    ended: float
    committed: int
    jobs: int
    statuses: dict[str, int]
    strokes: Sequence[Stroke]
    verdicts: Sequence[ViewerVerdict]
    orders: Sequence[Order]
    findings: Sequence[str]
    complaints: dict[str, int]
    samples: Sequence[Sample] = field(repr=False)
    deliveries: Sequence[float] = field(repr=False)
    strips: Sequence[Strip] = field(repr=False)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def answers(self) -> Counter[str]:
        """How often each answer came to a submission: 202, 503, and the names of connection errors."""
        return Counter(answer for order in self.orders for answer in order.answers)

    def total(self, figure: str) -> int:
        """The sum of a figure over all viewers: "lost", "doubled", "delivered"..."""
        return sum(int(getattr(verdict, figure)) for verdict in self.verdicts)

    @property
    def longest_silence(self) -> float:
        """The longest time that any viewer got nothing while a job that it followed was under way."""
        return max((verdict.silence_seconds for verdict in self.verdicts), default=0.0)

    @property
    def longest_recovery(self) -> float:
        """The longest time from a heal to all viewers live at the head."""
        return max((stroke.recovered_seconds or 0.0 for stroke in self.strokes), default=0.0)

    @property
    def problems(self) -> list[str]:
        """Everything that is not as promised."""
        found = list(self.findings)
        if self.committed == 0 or not self.verdicts:
            found.append("nothing was committed or nobody watched: this run shows nothing")
        for stroke in self.strokes:
            if stroke.failure:
                found.append(f"{stroke.name} ({stroke.part}): {stroke.failure}")
            elif stroke.recovered_seconds is None:
                found.append(f"{stroke.name} ({stroke.part}): not everybody was live at the head again")
        for verdict in self.verdicts:
            if not verdict.is_whole or verdict.resets:
                said = "; ".join(verdict.examples) or ("" if verdict.complete else "does not know that it is complete")
                resets = f"{verdict.resets} resets" if verdict.resets else ""
                found.append(f"viewer {verdict.viewer}: {'; '.join(filter(None, (said, resets)))}")
        return found

    def check(self) -> None:
        """Raise AssertionError with the whole report unless all is as promised."""
        if self.problems:
            raise AssertionError(f"{len(self.problems)} problems:\n" + "\n".join(self.problems) + "\n\n" + self.text())

    def text(self) -> str:
        """The figures in lines, for a terminal and for a failure."""
        damage = ", ".join(
            f"{name} {self.total(name)}"
            for name in (
                "delivered",
                "lost",
                "doubled",
                "reordered",
                "altered",
                "phantom",
                "repeated",
                "gaps",
                "resets",
            )
        )
        answers = ", ".join(f"{name} x{count}" for name, count in sorted(self.answers.items()))
        lines = [
            f"{self.stack}: {self.seconds:.0f} s, {len(self.verdicts)} viewers, committed {self.committed}, {damage}",
            f"  longest silence {self.longest_silence:.2f} s, longest recovery {self.longest_recovery:.2f} s",
            f"  jobs {self.jobs}: {self.statuses}; {len(self.orders)} orders answered {answers}",
        ]
        lines += [f"  logged as an error x{count}: {event}" for event, count in self.complaints.items()]
        for stroke in self.strokes:
            recovered = f"{stroke.recovered_seconds:.2f} s" if stroke.recovered_seconds is not None else "never"
            lasted = stroke.healed_at - stroke.struck_at
            lines.append(
                f"  {stroke.struck_at - self.began:6.1f} s  {stroke.name} ({stroke.part}), {lasted:.1f} s, "
                f"recovered after {recovered}: {stroke.failure or stroke.evidence}"
            )
        return "\n".join(lines)
