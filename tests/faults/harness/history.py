"""What a viewer was handed, and what the database holds: the two sides that the checker compares."""

from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"job.completed", "job.completed_partial", "job.failed", "job.cancelled"})
# Queued and running are the two a job can leave.
ENDED = frozenset({"completed", "completed_partial", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the application got it; `at` is the machine's monotonic clock, the same for all processes."""

    at: float
    epoch: str
    seq: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A snapshot that came instead of events: it stands for everything up to `seq`; `after` events came before it."""

    at: float
    epoch: str
    seq: int
    after: int


@dataclass(slots=True)
class History:
    """One viewer's life. Follows a whole session, or one job of it when `job_id` is set.

    `connections` counts the streams that were opened, `repeated` the events that came over the wire again and were
    dropped by the client, `gaps` how often the client noticed that the server had left something out. `complete` is the
    client's own claim that nothing is missing. `opened_at` and `closed_at` bound the time in which events could come.
    """

    viewer: str
    session_id: str
    job_id: str | None = None
    opened_at: float = 0.0
    closed_at: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)
    connections: int = 0
    repeated: int = 0
    gaps: int = 0
    complete: bool = False
    failure: str | None = None
    under_way: set[str] = field(default_factory=set)

    def add(self, seen: Seen) -> None:
        """Take an event in; `under_way` are the jobs that have begun and not ended as far as the viewer knows."""
        self.seen.append(seen)
        job_id = str(seen.data.get("job_id"))
        self.under_way.discard(job_id) if seen.type in TERMINAL else self.under_way.add(job_id)

    @property
    def position(self) -> int:
        """The number of the last event or snapshot that was handed out; 0 before the first."""
        return max(self.seen[-1].seq if self.seen else 0, self.replaced[-1].seq if self.replaced else 0)


@dataclass(frozen=True, slots=True)
class Committed:
    """An event of the log. `data` are the bytes that the browsers are to get."""

    seq: int
    job_id: str
    type: str
    data: bytes


@dataclass(slots=True)
class SessionTruth:
    """A session as the tables say: its log from `trimmed` + 1 to `head`."""

    epoch: str
    head: int
    trimmed: int
    events: list[Committed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class JobTruth:
    """A job's row. `order` is the name of its first dish, by which the submitter knows it again."""

    job_id: str
    session_id: str
    status: str
    run: int
    order: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that was committed."""

    sessions: dict[str, SessionTruth]
    jobs: dict[str, JobTruth]

    @property
    def committed(self) -> int:
        """Events in all logs."""
        return sum(len(session.events) for session in self.sessions.values())


@dataclass(frozen=True, slots=True)
class Order:
    """A submission: `order` is what it is known by, `answers` every outcome in turn (202, 503, "connection refused").

    `seconds` is the time until it was accepted; `job_id` is None when it never was.
    """

    order: str
    at: float
    seconds: float
    answers: tuple[str, ...]
    job_id: str | None
    session_id: str | None
