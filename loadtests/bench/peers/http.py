"""Publishing by HTTP as a careful publisher does it.

A channel always uses the same kept-alive connection, and there a request waits for the answer to the one before: events
must stay in order. Sent at once over several connections, Nchan has been seen to take them out of order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic_ns

from loadtests.bench.feed import Burst
from loadtests.bench.wire import OrderedLine, pump_lines

LINES = 16


class HttpPublisher(ABC):
    """Sends the requests of a tick. Latency is counted from the tick: waiting for an answer is part of it."""

    answer = b"HTTP/1.1 2"

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: list[OrderedLine] = []

    @abstractmethod
    def requests(self, burst: Burst) -> list[bytes]:
        """The requests of a burst: one for each event, or fewer when the hub takes many at once."""

    def open(self) -> None:
        """Connect."""
        self._lines = [OrderedLine(self._port, self.answer) for _ in range(LINES)]

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Send the events of a tick."""
        at = monotonic_ns()
        for burst in bursts:
            self._lines[burst.channel % LINES].push(self.requests(burst))
        return at

    def wait(self, seconds: float) -> None:
        """Go on with what waits for an answer."""
        pump_lines(self._lines, seconds)

    def finish(self) -> None:
        """Wait until all are accepted."""
        for line in self._lines:
            line.finish()
