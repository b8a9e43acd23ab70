"""What a client knows of a job from its events: the job's state, and that of each of its eight stages."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.client.events import Event, Snapshot

ENDINGS = frozenset({"completed", "completed_partial", "failed", "cancelled"})


@dataclass(slots=True)
class StageProgress:
    """A stage: `done` of `total` items, the number of the attempt, and when it began and ended."""

    name: str
    status: str = "queued"
    attempt: int = 0
    done: int = 0
    total: int = 0
    error: str | None = None
    delay_ms: int = 0
    began: datetime | None = None
    ended: datetime | None = None

    def elapsed_seconds(self, now: datetime) -> float | None:
        """How long it took, or has taken so far; None before it began."""
        if self.began is None:
            return None
        return max(0.0, ((self.ended or now) - self.began).total_seconds())


@dataclass(slots=True)
class JobProgress:
    """A job: `status` is the one that its last event left."""

    job_id: str
    kind: str
    title: str | None = None
    status: str = "queued"
    run: int = 1
    stages: dict[str, StageProgress] = field(default_factory=dict)

    @classmethod
    def from_snapshot(cls, body: dict[str, Any], *, empty: bool = False) -> "JobProgress":
        """The state of a snapshot; `empty`: only its stages, as before the job's first event."""
        job = cls(body["job_id"], body["kind"], body["title"])
        for name, stage in body["stages"].items():
            job.stages[name] = StageProgress(name, total=stage["total"])
        if not empty:
            job._restore(body)
        return job

    def apply(self, item: Event | Snapshot) -> StageProgress | None:
        """Take in the next event, or start again from a snapshot. Gives the stage that the event was about."""
        if isinstance(item, Snapshot):
            self._restore(item.body)
            return None
        data = item.data
        if "stage" in data:
            stage = self.stages.setdefault(data["stage"], StageProgress(data["stage"]))
            _advance(stage, item.type, data)
            if self.status in ENDINGS:  # a stage of a finished job is retried
                self.status = "queued"
            return stage
        what = item.type.removeprefix("job.")
        if what == "started":
            self.status, self.run = "running", data["run"]
        elif what in ENDINGS:
            self.status = what
        return None

    def _restore(self, body: dict[str, Any]) -> None:
        self.status, self.run = body["status"], body["run"]
        for name, known in body["stages"].items():
            stage = self.stages.setdefault(name, StageProgress(name))
            stage.status, stage.attempt = known["status"], known["attempt"]
            stage.done, stage.total = known["done"], known["total"]
            stage.error = known["error"]["message"] if known["error"] else None
            stage.began = stage.ended = None  # a snapshot does not tell


def parse_time(text: str) -> datetime:
    """The `at` of an event."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _advance(stage: StageProgress, kind: str, data: dict[str, Any]) -> None:
    match kind:
        case "stage.started":
            if stage.began is None or stage.ended is not None:
                stage.began, stage.ended = parse_time(data["at"]), None
            stage.status, stage.attempt, stage.total = "running", data["attempt"], data["total"]
            stage.error = None
        case "item.updated":
            stage.done = min(stage.done + 1, stage.total) if stage.total else stage.done + 1
        case "stage.retrying":
            stage.status, stage.delay_ms = "retry_wait", data["delay_ms"]
            stage.error = (data["error"] or {}).get("message")
        case "stage.recovering":
            stage.status, stage.attempt = "running", data["attempt"]
        case "stage.completed" | "stage.failed" | "stage.cancelled":
            stage.status, stage.ended = kind.removeprefix("stage."), parse_time(data["at"])
            stage.done, stage.total = data.get("done", stage.done), data.get("total", stage.total)
            stage.error = data["error"]["message"] if "error" in data else None
