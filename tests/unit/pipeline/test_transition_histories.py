"""Random histories of one job over the transitions alone: no database, the clock is a number.

Claims, results, failures, hand-backs, cancels and retries come in any order, with leases that hold, that were lost, and
that never were. Whatever happens, the events tell the whole state, and a refused change leaves no trace.
"""

import copy
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.clock import rfc3339
from infra.database.draft import Change, Draft, Loaded
from infra.database.state import JobState, StageState
from infra.database.status import JOB_TERMINAL, STAGE_ACTIVE, JobStatus, StageStatus
from infra.database.writer import Encoded
from infra.errors import Conflict, JobFinished, LeaseLost, NotClaimable, NotFound, StagecastError, StageNotFailed
from pipeline.registry import KINDS
from pipeline.submission import NewJob, Submit
from pipeline.transitions import Cancel, Claim, GiveUp, Lease, Record, Release, Result, Retry
from tests.contract.wire.fold import TERMINAL, blank, fold
from tests.contract.wire.log_rules import check_job
from tests.contract.wire.sse import Frame

STAGES = {kind: tuple(one.stages) for kind, one in KINDS.items()}
POSITIONS = st.integers(0, 7)
ATTEMPTS = 2
LEASE_MS = 1000
START_MS = 1_800_000_000_000


class JobHistories(RuleBasedStateMachine):
    @initialize(kind=st.sampled_from(["menu", "prompt"]), items=st.integers(1, 3))
    def submit(self, kind: str, items: int) -> None:
        inputs: dict[str, Any] = {"name": "x", "input_price": None, "input_category": None}
        if kind == "prompt":
            items, inputs = 1, {"title": "t", "content": "c", "test_cases": [], "parent_id": None, "version": 1}
        new = NewJob(kind, None, None, "en", (inputs,) * items)  # type: ignore[arg-type]
        self.kind, self.now, self.frames = kind, START_MS, list[Frame]()
        self.loaded = Loaded(self.now, {}, {}, {})
        draft = Draft(self.loaded)
        accepted = Submit(new, None, None, ATTEMPTS).decide(draft)
        assert accepted.state is not None
        self.job: JobState = accepted.state
        # What a transaction would read back.
        rows = [row for table, row in draft.inserts if table == "stage"]
        fields = set(StageState.__dataclass_fields__)
        for row in rows:
            state = StageState(**{name: value for name, value in row.items() if name in fields})
            self.job.stages[state.name] = state
        self.rows = {row["id"]: dict(row) for table, row in draft.inserts if table == KINDS[kind].table}
        self.leases: list[Lease] = []
        self.answered: dict[str, set[str]] = {name: set() for name in STAGES[kind]}
        self.created_at = self.now
        self._take_events(draft)

    def _change(self, change: Change[Any]) -> Any:
        """Decide a change as the transaction does; returns its outcome or the error that refused it."""
        self.loaded.now = self.now
        draft = Draft(self.loaded)
        before = copy.deepcopy(self.loaded)
        try:
            outcome = change.decide(draft)
        except StagecastError as error:
            assert self.loaded == before, "a refused change left a trace"
            drafted = (draft.events, draft.inserts, draft.updates, draft.row_steps, draft.touched)
            assert not any(drafted), "a refused change wrote to its draft"
            return error
        touched = {id(state) for state in draft.touched}
        assert all(id(self.job.stages[name]) in touched for name in self.job.stages if self._changed(before, name)), (
            "a changed stage would not be written"
        )
        old = before.jobs[self.job.id]
        if [getattr(old, name) for name in JOB_COLUMNS] != [getattr(self.job, name) for name in JOB_COLUMNS]:
            assert id(self.job) in touched, "a changed job would not be written"
        for update in draft.updates:
            self.rows[update.row_id] |= update.columns
        for step in draft.row_steps:
            self._step_rows(step.columns)
        self._take_events(draft)
        return outcome

    def _changed(self, before: Loaded, name: str) -> bool:
        return before.jobs[self.job.id].stages[name] != self.job.stages[name]

    def _step_rows(self, columns: tuple[str, ...]) -> None:
        for row in self.rows.values():
            filled = sum(row.get(column) is not None for column in columns)
            ended = {0: "failed", len(columns): "completed"}.get(filled, "partial")
            row |= {"processing_status": ended if columns else "processing", "updated_at": self.now}

    def _take_events(self, draft: Draft) -> None:
        for event in draft.events:
            assert event.job_id == self.job.id
            data = orjson.loads(event.data)
            assert data["at"] == rfc3339(self.now)
            self.frames.append(Frame(event.type, data, f"abcd0123.{len(self.frames) + 1}", None))

    def _stage(self, position: int) -> StageState:
        return self.job.stages[STAGES[self.kind][position]]

    @rule(milliseconds=st.sampled_from([1, LEASE_MS // 2, LEASE_MS, 3 * LEASE_MS]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(position=POSITIONS)
    def claim(self, position: int) -> None:
        stage = self._stage(position)
        was = replace(stage)
        found = self._change(Claim(self.job.id, stage.name, LEASE_MS))
        abandoned = was.status is StageStatus.RUNNING and (was.lease_until or 0) <= self.now
        due = was.status is StageStatus.RETRY_WAIT and (was.retry_at or 0) <= self.now
        if not (abandoned or due or was.status is StageStatus.QUEUED):
            assert isinstance(found, NotClaimable)
        elif abandoned and was.attempt >= was.attempt_limit:
            assert found is None
            assert stage.status is StageStatus.FAILED, "an abandoned stage without attempts left fails"
        else:
            assert (found.attempt, stage.status) == (was.attempt + 1, StageStatus.RUNNING)
            assert found.token != was.lease_token
            self.leases.append(found)

    @rule(index=st.integers(0, 59), count=st.integers(0, 3), finish=st.booleans())
    def record(self, index: int, count: int, finish: bool) -> None:
        """The items that a run answers are those that were open when it began, which no other run can answer since."""
        if (lease := self._lease(index)) is None:
            return
        open_ids = [item_id for item_id in self.rows if item_id not in self.answered[lease.stage]]
        if not self._holds(lease):
            open_ids = list(self.rows)  # a zombie writes what it likes
        chosen = open_ids if finish else open_ids[:count]
        fills = KINDS[self.kind].stages[lease.stage].fills
        value = {"result": None, "provider": "x", "confidence": 0.0}
        columns = {column: Encoded(orjson.dumps(value).decode()) for column in fills}
        results = tuple(Result(one, self.rows[one]["position"], columns, orjson.dumps(value)) for one in chosen)
        held = self._holds(lease)
        outcome = self._change(Record(lease, results, LEASE_MS, finish))
        if not held:
            assert isinstance(outcome, LeaseLost)
            return
        assert outcome is None
        self.answered[lease.stage] |= set(chosen)
        stage = self.job.stages[lease.stage]
        assert stage.lease_until is None if finish else stage.lease_until == self.now + LEASE_MS

    @rule(index=st.integers(0, 59), retryable=st.booleans(), delay=st.sampled_from([0, LEASE_MS]))
    def give_up(self, index: int, retryable: bool, delay: int) -> None:
        if (lease := self._lease(index)) is None:
            return
        held = self._holds(lease)
        outcome = self._change(GiveUp(lease, {"type": "late", "message": "m"}, retryable, delay))
        stage = self.job.stages[lease.stage]
        if not held:
            assert isinstance(outcome, LeaseLost)
        elif retryable and lease.attempt < stage.attempt_limit:
            assert (outcome, stage.status) == (delay, StageStatus.RETRY_WAIT)
            assert stage.retry_at == self.now + delay
        else:
            assert (outcome, stage.status) == (None, StageStatus.FAILED)

    @rule(failing=st.sets(POSITIONS, max_size=2))
    def run_what_is_left(self, failing: set[int]) -> None:
        """Every stage that is not finished is, well or badly, so that many histories see the end of a run."""
        self.now += 3 * LEASE_MS
        for position, name in enumerate(STAGES[self.kind]):
            lease = self._change(Claim(self.job.id, name, LEASE_MS))
            if not isinstance(lease, Lease):
                continue
            self.leases.append(lease)
            if position in failing:
                self.give_up(len(self.leases) - 1, retryable=False, delay=0)
            else:
                self.record(len(self.leases) - 1, count=0, finish=True)

    @rule(index=st.integers(0, 59))
    def hand_back(self, index: int) -> None:
        if (lease := self._lease(index)) is None:
            return
        held, left = self._holds(lease), self._attempts_left(lease.stage)
        outcome = self._change(Release(lease))
        if not held:
            assert isinstance(outcome, LeaseLost)
        else:
            assert self._attempts_left(lease.stage) == left + 1, "stopping a process is not the stage's failure"

    @rule(chance=st.integers(0, 9))
    def cancel(self, chance: int) -> None:
        if chance:
            return
        ended = self.job.status in JOB_TERMINAL
        outcome = self._change(Cancel(self.job.id))
        assert isinstance(outcome, JobFinished) if ended else outcome is None
        if not ended:
            assert self.job.status is JobStatus.CANCELLED

    @rule(position=POSITIONS)
    def retry(self, position: int) -> None:
        stage, status, run = self._stage(position), self.job.status, self.job.run
        possible = stage.status is StageStatus.FAILED and status is not JobStatus.CANCELLED
        outcome = self._change(Retry(self.job.id, stage.name, ATTEMPTS))
        if not possible:
            assert isinstance(outcome, Conflict)
            assert isinstance(outcome, JobFinished if status is JobStatus.CANCELLED else StageNotFailed)
            return
        assert stage.attempt_limit - stage.attempt == ATTEMPTS, "a retry has fresh attempts"
        assert self.job.run == run + (status in JOB_TERMINAL)

    @rule()
    def ask_for_what_is_not_there(self) -> None:
        assert isinstance(self._change(Retry(self.job.id, "no such stage", 1)), NotFound)
        for change in (Claim("?" * 26, "price", 1), Cancel("?" * 26), Retry("?" * 26, "price", 1)):
            assert isinstance(self._change(change), NotFound)

    def _lease(self, index: int) -> Lease | None:
        if not self.leases:
            return None
        return self.leases[index % len(self.leases)]

    @rule(position=POSITIONS)
    def write_with_a_token_that_was_never_given(self, position: int) -> None:
        lease = Lease(self.job.session_id, self.job.id, self._stage(position).name, 1, "never given")
        for change in (Record(lease, (), LEASE_MS, True), GiveUp(lease, {}, True, 0), Release(lease)):
            assert isinstance(self._change(change), LeaseLost)

    def _holds(self, lease: Lease) -> bool:
        return self.job.stages[lease.stage].lease_token == lease.token

    def _attempts_left(self, stage: str) -> int:
        return self.job.stages[stage].attempt_limit - self.job.stages[stage].attempt

    @invariant()
    def remaining_counts_the_unfinished_stages(self) -> None:
        active = sum(stage.status in STAGE_ACTIVE for stage in self.job.stages.values())
        assert self.job.remaining == active
        assert (self.job.status in JOB_TERMINAL) == (active == 0)

    @invariant()
    def a_lease_is_whole_and_only_a_running_stage_has_one(self) -> None:
        for stage in self.job.stages.values():
            assert (stage.lease_token is None) == (stage.lease_until is None)
            assert (stage.lease_token is not None) == (stage.status is StageStatus.RUNNING)
            assert (stage.retry_at is not None) == (stage.status is StageStatus.RETRY_WAIT)
            assert stage.done == len(self.answered[stage.name]) <= stage.total

    @invariant()
    def the_events_fold_to_the_state(self) -> None:
        state = fold(blank(self._snapshot()), self.frames)
        assert state == self._snapshot()

    @invariant()
    def an_ended_job_obeys_the_rules_of_the_log(self) -> None:
        endings = [number for number, frame in enumerate(self.frames) if frame.event in ENDINGS]
        if self.job.status in JOB_TERMINAL:
            check_job(self.frames, self.kind, runs=self.job.run)
        else:
            assert len(endings) == self.job.run - 1, "one ending for each run that ended"

    def _snapshot(self) -> dict[str, Any]:
        """The state as the API's snapshot shows it."""
        job = self.job
        hidden = {"id", "session_id", "job_id", "deleted_at"}
        empty = {column: None for stage in KINDS[self.kind].stages.values() for column in stage.fills}
        rows = []
        for row in self.rows.values():
            seen = {name: value for name, value in (empty | row).items() if name not in hidden}
            seen |= {name: orjson.loads(str(value)) for name, value in seen.items() if type(value) is Encoded}
            times = {name: rfc3339(row[name]) for name in ("created_at", "updated_at")}
            rows.append({**seen, **times, "item_id": row["id"], "processing_status": str(row["processing_status"])})
        return {
            "job_id": job.id,
            "kind": self.kind,
            "title": None,
            "status": str(job.status),
            "run": job.run,
            "started_at": None if job.started_at is None else rfc3339(job.started_at),
            "finished_at": None if job.finished_at is None else rfc3339(job.finished_at),
            "stages": {
                stage.name: {
                    "status": str(stage.status),
                    "attempt": stage.attempt,
                    "done": stage.done,
                    "total": stage.total,
                    "error": stage.error,
                }
                for stage in job.stages.values()
            },
            "rows": rows,
            "epoch": "abcd0123",
            "head": f"abcd0123.{len(self.frames)}",
        }


JOB_COLUMNS = ("status", "run", "remaining", "started_at", "finished_at")
ENDINGS = tuple(f"job.{status}" for status in TERMINAL)

TestJobHistories = JobHistories.TestCase
TestJobHistories.settings = settings(max_examples=80, stateful_step_count=60)
