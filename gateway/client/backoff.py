"""How long to wait before the next try: exponential, with full jitter, never less than what the server asked for."""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0


class Backoff:
    """Counts failures in a row. Full jitter, because clients that were cut off together must not come back together."""

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self.first_seconds = first_seconds
        self._longest = longest_seconds
        self._failures = 0
        self._asked = 0.0

    def ask(self, milliseconds: float) -> None:
        """The server wants the next try not before this."""
        self._asked = milliseconds / 1000

    def succeed(self) -> None:
        """There was progress: the next failure is the first one again."""
        self._failures = 0

    def next_seconds(self) -> float:
        """The pause after one more failure."""
        ceiling = min(self._longest, self.first_seconds * 2 ** min(self._failures, 30))
        self._failures += 1
        asked, self._asked = self._asked, 0.0
        return max(asked, random.uniform(0, ceiling))
