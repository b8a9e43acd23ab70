"""How long to wait before the next try: exponential, with full jitter, never less than what the server asked for."""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0
# A server may ask for more than the longest pause of ours, when it stops for instance, but not for a day.
MOST_ASKED_SECONDS = 300.0


class Backoff:
    """Counts failures in a row. Full jitter, because clients that were cut off together must not come back together."""

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self.first_seconds = first_seconds
        self._longest = longest_seconds
        self._failures = 0
        self._asked = 0.0

    def ask(self, milliseconds: float) -> None:
        """The server wants the next try not before this."""
        self._asked = min(max(milliseconds, 0.0) / 1000, MOST_ASKED_SECONDS)

    def start_at(self, milliseconds: int) -> None:
        """The pause that the server recommends (`retry:`), from which the ceiling grows."""
        self.first_seconds = min(max(milliseconds, 1) / 1000, MOST_ASKED_SECONDS)

    def succeed(self) -> None:
        """There was progress: the next failure is the first one again."""
        self._failures = 0

    def renewal_seconds(self) -> float:
        """The pause after a connection that the server closed as a matter of routine: what it recommends.

        It makes that random itself, so the closes and the returns are spread already.
        """
        return min(self._longest, self.first_seconds)

    def next_seconds(self) -> float:
        """The pause after one more failure."""
        ceiling = min(self._longest, self.first_seconds * 2 ** min(self._failures, 30))
        self._failures += 1
        asked, self._asked = self._asked, 0.0
        return max(asked, random.uniform(0, ceiling))
