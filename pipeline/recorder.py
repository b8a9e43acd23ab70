"""Takes a stage's answers as they come and commits them without making the stage wait for every commit.

One commit per stage is under way at a time; what arrives meanwhile goes with the next one. A stage that answers faster
than the database writes is held back at a bound.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from infra.database.committer import Committer
from infra.database.engine import Encoded
from infra.providers.base import Answer
from pipeline.derived import derived_rows
from pipeline.stages import Stage
from pipeline.transitions import Lease, Record, Result

MOST_PENDING_RESULTS = 512


class Recorder:
    """Writes the results of one attempt under its lease.

    Any call may raise what a commit raised, LeaseLost above all.
    """

    def __init__(
        self,
        committer: Committer,
        lease: Lease,
        stage: Stage,
        provider: str,
        rows: dict[str, Mapping[str, Any]],
        lease_ms: int,
        max_event_bytes: int,
    ) -> None:
        self._committer = committer
        self._lease = lease
        self._stage = stage
        self._provider = provider
        self._rows = dict(rows)
        self._lease_ms = lease_ms
        self._max_event_bytes = max_event_bytes
        self._pending: list[Result] = []
        self._commit: asyncio.Task[None] | None = None
        self._committing = False

    async def add(self, answer: Answer) -> None:
        """Take one answer. A second answer for the same item, or one for a foreign item, is ignored."""
        row = self._rows.pop(answer.item_id, None)
        if row is None:
            return
        self._pending.append(self._encode(row, answer))
        if self._commit is not None and self._commit.done():
            commit, self._commit = self._commit, None
            await commit  # raises what the commit raised
        if self._commit is None:
            self._commit, self._committing = asyncio.create_task(self._commit_pending()), False
        elif len(self._pending) >= MOST_PENDING_RESULTS:
            await self.flush()

    @property
    def unanswered(self) -> int:
        """How many items have no answer yet."""
        return len(self._rows)

    async def _commit_pending(self) -> None:
        self._committing = True
        while self._pending:
            await self._take()

    async def _take(self, finish: bool = False) -> None:
        taken, self._pending = tuple(self._pending), []
        await self._committer.commit(Record(self._lease, taken, self._lease_ms, finish))

    async def flush(self) -> None:
        """Wait until everything taken so far is committed."""
        commit, self._commit = self._commit, None
        if commit is not None:
            await commit
        if self._pending:
            await self._take()

    async def finish(self) -> None:
        """Commit the rest together with the stage's completion: one transaction when the stage answered at once."""
        commit, self._commit = self._commit, None
        if commit is not None and not self._committing:
            commit.cancel()  # it has not begun: the completion takes its results along
        elif commit is not None:
            await commit
        await self._take(finish=True)

    def abandon(self) -> None:
        """Stop writing: the attempt is over and whatever was not committed is not wanted any more."""
        commit, self._commit = self._commit, None
        if commit is not None and not commit.cancel() and not commit.cancelled():
            commit.exception()  # looked at, so that asyncio does not report it as forgotten

    def _encode(self, row: Mapping[str, Any], answer: Answer) -> Result:
        value = self._stage.value(answer, self._provider)
        rows: tuple[tuple[str, dict[str, Any]], ...] = ()
        if self._stage.kind == "prompt":
            value, rows = derived_rows(self._stage.name, row, value)
        encoded = orjson.dumps(value)
        columns = {column: Encoded(orjson.dumps(part).decode()) for column, part in self._stage.columns(value).items()}
        if len(encoded) > self._max_event_bytes:
            encoded = orjson.dumps(reference_to(value, self._lease.job_id))
        return Result(row["id"], row["position"], columns, encoded, rows)


def reference_to(value: dict[str, Any], job_id: str) -> dict[str, Any]:
    """What an event carries instead of a value that is too large for it: where the row is, and how to recognise it.

    Bytes and SHA-256 are those of the value as compact JSON with sorted keys, so that any reader can repeat them.
    """
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical).hexdigest()
    reference = {"url": f"/v1/jobs/{job_id}", "bytes": len(canonical), "sha256": digest}
    return {"reference": reference, "provider": value["provider"], "confidence": value["confidence"]}
