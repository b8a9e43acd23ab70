"""Folds a job's events into the state that they describe: what its row, its stages and its items must be.

It knows the events only, not how they came about, so that it can judge whether log and rows agree.
"""

from dataclasses import dataclass, field
from typing import Any

from infra.database.status import RowStatus, StageStatus
from pipeline.registry import KINDS
from pipeline.stages import Stage


class BrokenLog(Exception):
    """The events contradict each other."""


@dataclass(slots=True)
class FoldedStage:
    """A stage as its events describe it."""

    status: str = StageStatus.QUEUED
    attempt: int = 0
    done: int = 0
    total: int = 0
    error: dict[str, str] | None = None


@dataclass(slots=True)
class FoldedJob:
    """A job as its events describe it; `values` are the latest by item id and stage."""

    job_id: str
    kind: str = ""
    status: str = "queued"
    run: int = 1
    stages: dict[str, FoldedStage] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: bool = False

    def apply(self, event_type: str, data: dict[str, Any]) -> None:
        """Take the next event. Raises BrokenLog when it cannot follow the ones before."""
        group, _, what = event_type.partition(".")
        if event_type == "job.accepted":
            if self.kind:
                raise BrokenLog("a second job.accepted")
            self.kind = data["kind"]
            self.stages = {name: FoldedStage(total=data["total"]) for name in KINDS[self.kind].stages}
        elif not self.kind:
            raise BrokenLog(f"{event_type} before job.accepted")
        elif event_type == "job.started":
            self._start(data["run"])
        elif group == "job":
            self._end(what, data["stages"])
        elif event_type == "item.updated":
            self._update(data)
        else:
            self._change(what, self.stages[data["stage"]], data)

    @property
    def ended(self) -> bool:
        """Whether the last run has ended."""
        return self.status not in ("queued", "running")

    def _start(self, run: int) -> None:
        if self.status != "queued" or run != self.run:
            raise BrokenLog(f"job.started of run {run} while run {self.run} is {self.status}")
        self.status = "running"
        self.started = True

    def _end(self, status: str, stages: dict[str, str]) -> None:
        if self.ended:
            raise BrokenLog(f"job.{status} after job.{self.status}")
        found = {name: str(stage.status) for name, stage in self.stages.items()}
        if found != stages:
            raise BrokenLog(f"job.{status} says {stages}, its stages' events say {found}")
        self.status = status

    def _update(self, data: dict[str, Any]) -> None:
        stage = self.stages[data["stage"]]
        if self.ended or stage.status != StageStatus.RUNNING or data["attempt"] != stage.attempt:
            raise BrokenLog(f"item.updated of {data['stage']} attempt {data['attempt']} outside a run of that attempt")
        values = self.values.setdefault(data["item_id"], {})
        if data["stage"] in values:
            raise BrokenLog(f"a second item.updated of {data['stage']} for the item {data['item_id']}")
        values[data["stage"]] = data["value"]
        stage.done += 1

    def _change(self, what: str, stage: FoldedStage, data: dict[str, Any]) -> None:
        if self.ended and what != "retrying":
            raise BrokenLog(f"stage.{what} after the end of the job")
        match what:
            case "started":
                stage.status, stage.attempt, stage.total = StageStatus.RUNNING, data["attempt"], data["total"]
                stage.error = None
            case "recovering":
                stage.attempt = data["attempt"]
            case "retrying":
                if self.ended:
                    self.status, self.run = "queued", self.run + 1
                stage.status, stage.error = StageStatus.RETRY_WAIT, data["error"]
            case "completed" | "failed":
                stage.status = StageStatus(what)
                stage.error = data.get("error")
                if data["done"] != stage.done:
                    raise BrokenLog(f"stage.{what} says done {data['done']}, {stage.done} items were updated")
            case "cancelled":
                stage.status = StageStatus.CANCELLED
            case _:
                raise BrokenLog(f"unknown event stage.{what}")

    def row_status(self, item_id: str) -> str:
        """What the item's processing_status must be."""
        if not self.ended:
            return RowStatus.PROCESSING if self.status == "running" else self._resting(item_id)
        return self._settled(item_id)

    def _resting(self, item_id: str) -> str:
        # Queued: either never run, or ended before and waiting for the next run.
        return RowStatus.PENDING if not self.started else self._settled(item_id)

    def _settled(self, item_id: str) -> str:
        filled = len(self.values.get(item_id, {}))
        if filled == len(self.stages):
            return RowStatus.COMPLETED
        return RowStatus.PARTIAL if filled else RowStatus.FAILED

    def stage_specs(self) -> dict[str, Stage]:
        """The stages of the job's kind."""
        return KINDS[self.kind].stages
