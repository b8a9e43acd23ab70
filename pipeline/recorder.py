"""Takes a stage's answers as they come and commits them without making the stage wait for every commit.

One commit per stage is under way at a time; what arrives meanwhile goes with the next one. A stage that answers faster
than the database writes is held back at a bound, and once, briefly, at its first answer: whoever watches sees that one
while the others are being found, not after all of them.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from infra.database.committer import Committer
from infra.database.writer import Encoded
from infra.providers.base import Answer
from pipeline.derived import NewRows, derived_rows
from pipeline.stages import Stage
from pipeline.transitions import Lease, Record, Result

MOST_PENDING_RESULTS = 512
# A first answer is committed in two milliseconds; a database that takes longer keeps no stage waiting.
FIRST_ANSWER_SECONDS = 0.05


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
        self._is_first = True

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
            if self._is_first and self._rows:  # a single answer goes with the stage's completion
                await asyncio.wait((self._commit,), timeout=FIRST_ANSWER_SECONDS)
            self._is_first = False
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
        rows: NewRows = ()
        if self._stage.kind == "prompt":
            value, rows = derived_rows(self._stage.name, row, self._stage.value(answer, self._provider))
            encoded = msgspec.json.encode(value)
            columns = {column: msgspec.json.encode(part) for column, part in self._stage.columns(value).items()}
        else:
            encoded, columns = self._stage.encode(answer, self._provider)
        stored = {column: Encoded(part.decode()) for column, part in columns.items()}
        if len(encoded) > self._max_event_bytes:
            encoded = orjson.dumps(reference_to(orjson.loads(encoded), self._lease.job_id))
        return Result(row["id"], row["position"], stored, encoded, rows)


def reference_to(value: dict[str, Any], job_id: str) -> dict[str, Any]:
    """What an event carries instead of a value that is too large for it: where the row is, and how to recognise it.

    Bytes and SHA-256 are those of the value as compact JSON with sorted keys, so that any reader can repeat them.
    """
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical).hexdigest()
    reference = {"url": f"/v1/jobs/{job_id}", "bytes": len(canonical), "sha256": digest}
    return {"reference": reference, "provider": value["provider"], "confidence": value["confidence"]}
