"""The durable events, typed; each is encoded once, in the process that commits it (design: the stream)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What every event says: whose job, and when (RFC 3339, milliseconds, UTC)."""

    type: ClassVar[str]
    job_id: str
    at: str

    def encode(self) -> bytes:
        """Compact JSON; it has no raw newline, so that it is one `data:` line."""
        return orjson.dumps(self)


@dataclass(frozen=True, slots=True)
class JobAccepted(JobEvent):
    type: ClassVar[str] = "job.accepted"
    kind: str
    title: str | None
    total: int


@dataclass(frozen=True, slots=True)
class JobStarted(JobEvent):
    type: ClassVar[str] = "job.started"
    run: int


@dataclass(frozen=True, slots=True)
class StageStarted(JobEvent):
    type: ClassVar[str] = "stage.started"
    stage: str
    attempt: int
    total: int


@dataclass(frozen=True, slots=True)
class ItemUpdated(JobEvent):
    """`value` is an orjson.Fragment: the same bytes go into the row."""

    type: ClassVar[str] = "item.updated"
    item_id: str
    position: int
    stage: str
    value: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class StageRetrying(JobEvent):
    """`attempt` is the one that failed; the next one starts after `delay_ms`."""

    type: ClassVar[str] = "stage.retrying"
    stage: str
    attempt: int
    delay_ms: int
    error: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class StageRecovering(JobEvent):
    """`attempt` is the new one, which takes over from a run whose lease expired."""

    type: ClassVar[str] = "stage.recovering"
    stage: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class StageCompleted(JobEvent):
    type: ClassVar[str] = "stage.completed"
    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StageFailed(JobEvent):
    type: ClassVar[str] = "stage.failed"
    stage: str
    error: dict[str, str]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StageCancelled(JobEvent):
    type: ClassVar[str] = "stage.cancelled"
    stage: str


@dataclass(frozen=True, slots=True)
class JobEnded(JobEvent):
    stages: dict[str, str]


@dataclass(frozen=True, slots=True)
class JobCompleted(JobEnded):
    type: ClassVar[str] = "job.completed"


@dataclass(frozen=True, slots=True)
class JobCompletedPartial(JobEnded):
    type: ClassVar[str] = "job.completed_partial"


@dataclass(frozen=True, slots=True)
class JobFailed(JobEnded):
    type: ClassVar[str] = "job.failed"


@dataclass(frozen=True, slots=True)
class JobCancelled(JobEnded):
    type: ClassVar[str] = "job.cancelled"


ENDINGS: dict[str, type[JobEnded]] = {
    "completed": JobCompleted,
    "completed_partial": JobCompletedPartial,
    "failed": JobFailed,
    "cancelled": JobCancelled,
}
