"""Times: unix milliseconds inside, RFC 3339 in UTC on the wire."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """Wall clock, unix milliseconds."""
    return time.time_ns() // 1_000_000


@lru_cache(64)  # hundreds of changes of a group share one moment
def rfc3339(milliseconds: int) -> str:
    """`2026-11-21T01:02:03.456Z` for unix milliseconds."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
