"""What one client received, held against what it should have received: lost, doubled, reordered, foreign."""

from collections.abc import Iterable
from dataclasses import dataclass, field

# One result: item, stage, attempt. The log holds each at most once.
ResultKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Irregularities:
    """How many events broke a promise; all zero is the only good outcome."""

    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    foreign: int = 0

    def __bool__(self) -> bool:
        return any((self.lost, self.doubled, self.reordered, self.foreign))


@dataclass(slots=True)
class Ledger:
    """The numbers and results of one stream over all its connections.

    `covered` is the number up to which a snapshot stood for the events; they need not come any more.
    """

    covered: int = 0
    last: int = 0
    _numbers: set[int] = field(default_factory=set)
    _results: set[ResultKey] = field(default_factory=set)
    _doubled: int = 0
    _reordered: int = 0

    def cover(self, seq: int) -> None:
        """Take a snapshot in place of every event up to `seq`."""
        self.covered = self.last = max(self.covered, seq)

    def take(self, seq: int, result: ResultKey | None = None) -> None:
        """Note an event in the order of its arrival."""
        if seq in self._numbers or (result is not None and result in self._results):
            self._doubled += 1
        elif seq <= self.last:
            self._reordered += 1
        self._numbers.add(seq)
        self.last = max(self.last, seq)
        if result is not None:
            self._results.add(result)

    @property
    def results(self) -> int:
        """How many different results have come."""
        return len(self._results)

    def close(self, expected: Iterable[int]) -> Irregularities:
        """Compare with the numbers that the stream had to bring; those that a snapshot covered are left out."""
        wanted = {seq for seq in expected if seq > self.covered}
        return Irregularities(
            lost=len(wanted - self._numbers),
            doubled=self._doubled,
            reordered=self._reordered,
            foreign=len(self._numbers - wanted),
        )
