"""A job and its stages as a write transaction holds them:

read under the job's lock, changed in memory, written back.
"""

from dataclasses import dataclass, field

from infra.database.status import JobStatus, StageStatus


@dataclass(slots=True)
class StageState:
    """The mutable columns of a stage row; times are unix milliseconds."""

    job_id: str
    name: str
    position: int
    status: StageStatus
    attempt: int
    attempt_limit: int
    done: int
    total: int
    lease_token: str | None = None
    lease_until: int | None = None
    retry_at: int | None = None
    error: dict[str, str] | None = None


@dataclass(slots=True)
class JobState:
    """A job row with its stages by name, in order. `remaining` counts the stages that are not terminal."""

    id: str
    session_id: str
    kind: str
    status: JobStatus
    run: int
    remaining: int
    first_seq: int = 0
    last_seq: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    stages: dict[str, StageState] = field(default_factory=dict)
