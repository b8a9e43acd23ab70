"""What one change wants to write: collected while it decides, applied with all others of its group or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from infra.database.state import JobState, StageState


class LogEvent(Protocol):
    """A typed event: its wire name and its JSON."""

    type: ClassVar[str]

    @property
    def job_id(self) -> str: ...

    def encode(self) -> bytes: ...


class Recorded(msgspec.Struct, frozen=True):
    """An event of a session that has not got its number yet."""

    session_id: str
    job_id: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What an Idempotency-Key stands for already."""

    job_id: str
    fingerprint: str


@dataclass(slots=True)
class Loaded:
    """What the transaction read for its group, before anything is decided."""

    now: int
    jobs: dict[str, JobState]
    epochs: dict[str, str]
    keys: dict[tuple[str, str], KnownKey]


class Draft:
    """The world as one change sees it, and what it adds. A change must check first and write after.

    `now` is the database's clock, unix milliseconds: leases are compared by one clock however many machines there are.
    """

    __slots__ = ("_created", "_loaded", "events", "inserts", "now", "row_steps", "touched", "updates")

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._created: str | None = None
        self.now = loaded.now
        self.events: list[Recorded] = []
        self.inserts: list[tuple[str, dict[str, Any]]] = []
        self.updates: list[RowUpdate] = []
        self.row_steps: list[RowStep] = []
        self.touched: list[JobState | StageState] = []

    def job(self, job_id: str) -> JobState | None:
        """The job with its stages, locked for this transaction, or None."""
        return self._loaded.jobs.get(job_id)

    def epoch(self, session_id: str) -> str | None:
        """The epoch of a session's log, or None when there is no such session."""
        return self._loaded.epochs.get(session_id)

    def known_key(self, scope: str, key: str) -> KnownKey | None:
        """The job that this Idempotency-Key made before, if any."""
        return self._loaded.keys.get((scope, key))

    def emit(self, session_id: str, event: LogEvent) -> None:
        """Append an event to the session's log; it gets its number when the group commits."""
        self.events.append(Recorded(session_id, event.job_id, event.type, event.encode()))

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Add a row. A duplicate id makes the whole change fail with DuplicateRow."""
        self.inserts.append((table, row))

    def update(self, table: str, session_id: str, row_id: str, columns: Mapping[str, Any]) -> None:
        """Set columns of a session's row. If it has no such row the whole change fails with RowNotFound."""
        self.updates.append(RowUpdate(table, session_id, row_id, columns))

    def begin_rows(self, table: str, job_id: str) -> None:
        """Set all rows of the job to processing: a run began."""
        if job_id != self._created:
            self.row_steps.append(RowStep(table, job_id, ()))

    def settle_rows(self, table: str, job_id: str, columns: tuple[str, ...]) -> None:
        """Set each row of the job to completed, partial or failed by how many of `columns` are filled: a run ended."""
        self.row_steps.append(RowStep(table, job_id, columns))

    def touch(self, *states: JobState | StageState) -> None:
        """Have the changed states written back."""
        if self._created is None:
            self.touched.extend(states)

    def create_session(self, session_id: str, epoch: str) -> None:
        """Add a session with an empty log."""
        self.insert("session", {"id": session_id, "epoch": epoch, "head": 0, "trimmed": 0, "created_at": self.now})
        self._loaded.epochs[session_id] = epoch

    def create_job(self, state: JobState) -> None:
        """Make a new job known to later changes of the same group, and to what this change does with it.

        Whoever creates it inserts it, its stages and its rows at the end, as they are then: they need no update.
        """
        self._loaded.jobs[state.id] = state
        self._created = state.id


class RowUpdate(msgspec.Struct, frozen=True):
    """Columns to set in one row of a session."""

    table: str
    session_id: str
    row_id: str
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowStep:
    """Set processing_status of a job's rows: to processing, or, with columns, to what those columns say."""

    table: str
    job_id: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be read and locked before a change can decide."""

    job_id: str | None = None
    session_id: str | None = None
    key: tuple[str, str] | None = None


Outcome_co = TypeVar("Outcome_co", covariant=True)


class Change(Protocol[Outcome_co]):
    """One unit that commits whole or not at all.

    `decide` is plain Python over what was loaded. It may run again on a retry, so it keeps nothing but its return
    value; an error that it raises (before it wrote anything to the draft) reaches whoever committed the change, and
    nobody else.
    """

    @property
    def needs(self) -> Needs: ...

    @property
    def weight(self) -> int:
        """About how many rows it writes, one at least: a group's sum is bounded."""
        ...

    def decide(self, draft: Draft) -> Outcome_co: ...
