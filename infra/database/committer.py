"""Group commit: everything that waits is written as one transaction, then announced on the bus.

At low load a change commits alone and at once. While one transaction runs the next group gathers, so that under load
the group grows by itself: a commit per result manages 600 results a second on SQLite, groups of 64 reach 44,000.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from infra.bus.base import Message
from infra.database.draft import Change
from infra.database.engine import Database, is_transient
from infra.database.models import EVENT
from infra.database.transaction import Decided, apply
from infra.errors import DatabaseUnavailable, OutcomeUnknown, Overloaded, StagecastError
from infra.telemetry.metrics import Metrics

Outcome = TypeVar("Outcome")

# One transaction's worth: past this the latency of a group costs more than its size saves.
MOST_CHANGES = 256
# A single change may be as large as settings allow (a submission of 10,000 items takes half a second); several are not
# put together beyond this. 95 such submissions in one transaction kept the event loop busy for longer than PostgreSQL
# waits for a silent client.
MOST_ROWS = 5000
MOST_WAITING = 10_000
# Turns of the loop that others have between two transactions. A transaction of a few changes keeps the loop for a
# millisecond, and a browser that opens its stream needs some turns: with these it has its first result a millisecond
# earlier, and what is decided in them is in the same transaction.
TURNS_BEFORE = 4
TRIES = 3
# How long to ask a database that broke off during COMMIT whether the transaction stands.
LONGEST_DOUBT_SECONDS = 10

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    change: Change[Any]
    future: asyncio.Future[Any]


class Committer:
    """Writes all the jobs, rows and events of a process. `commit` is safe to call from any number of tasks."""

    def __init__(self, database: Database, publish: Callable[[Sequence[Message]], None], metrics: Metrics) -> None:
        self._database = database
        self._publish = publish
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()

    async def commit(self, change: Change[Outcome]) -> Outcome:
        """Commit a change and return what it decided.

        Raises what `decide` raised, DuplicateRow or RowNotFound when its rows do not fit, DatabaseUnavailable when the
        transaction failed three times, Overloaded when 10,000 changes wait already. In every one of these cases nothing
        of the change was written. Only OutcomeUnknown leaves that open: the database broke off during the commit.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(change, future))
        self._wake.set()
        outcome: Outcome = await future
        return outcome

    async def run(self) -> None:
        """Commit groups for ever; run it supervised."""
        while True:
            await self._wake.wait()
            for _ in range(TURNS_BEFORE):
                await asyncio.sleep(0)
            group = self._next_group()
            if not self._waiting:
                self._wake.clear()
            try:
                await self._commit_group(group)
            finally:  # a cancelled or dying task leaves no waiter behind
                for waiting in group:
                    if not waiting.future.done():
                        waiting.future.set_exception(OutcomeUnknown())

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = 0
        while self._waiting and len(group) < MOST_CHANGES:
            rows += self._waiting[0].change.weight
            if group and rows > MOST_ROWS:
                break
            group.append(self._waiting.popleft())
        return group

    def close(self) -> None:
        """Refuse what still waits; call it when `run` has been stopped."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(DatabaseUnavailable())

    async def _commit_group(self, group: Sequence[_Waiting]) -> None:
        began = time.perf_counter()
        try:
            decided, messages = await self._write([waiting.change for waiting in group])
        except Exception as error:
            if len(group) > 1 and not is_transient(error) and not isinstance(error, DatabaseUnavailable):
                # Some change of the group can't be written; alone, each one gets its own fate.
                for waiting in group:
                    await self._commit_group([waiting])
                return
            self._refuse(group, error)
            return
        self._metrics.commit_batch.observe(len(group))
        self._metrics.commit_seconds.observe(time.perf_counter() - began)
        self._metrics.committed.inc(sum(len(message.entries) for message in messages))
        for waiting, one in zip(group, decided, strict=True):
            if waiting.future.done():  # its caller went away; the change stands all the same
                continue
            if one.error is not None:
                waiting.future.set_exception(one.error)
            else:
                waiting.future.set_result(one.outcome)
        if messages:
            self._publish(messages)

    def _refuse(self, group: Sequence[_Waiting], error: Exception) -> None:
        if is_transient(error):
            log.error("commit_failed", changes=len(group), error=f"{type(error).__name__}: {error}"[:500])
            error = DatabaseUnavailable()
        elif not isinstance(error, StagecastError):
            log.error("commit_refused", exc_info=error)
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(error)

    async def _write(self, changes: Sequence[Change[Any]]) -> tuple[list[Decided], list[Message]]:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            retry=retry_if_exception(is_transient),
            before_sleep=self._count_retry,
            reraise=True,
        ):
            with attempt:
                return await self._write_once(changes)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _write_once(self, changes: Sequence[Change[Any]]) -> tuple[list[Decided], list[Message]]:
        transaction_id: str | None = None
        written: tuple[list[Decided], list[Message]] | None = None
        try:
            async with self._database.writing() as writer:
                now, transaction_id = await writer.begin()
                written = await apply(writer, now, changes)
        except Exception as error:
            # The connection broke during COMMIT: only the server knows whether it happened.
            if (
                written
                and transaction_id
                and is_transient(error)
                and await self._did_commit(transaction_id, written[1])
            ):
                return written
            raise
        return written

    async def _did_commit(self, transaction_id: str, messages: Sequence[Message]) -> bool:
        """Ask the server. Raises OutcomeUnknown when it can't say: then nobody may write the changes again."""
        asking = AsyncRetrying(wait=wait_random_exponential(multiplier=0.1, max=2))
        try:
            # Around all tries: a single one may wait for half a minute when the server stands still.
            async with asyncio.timeout(LONGEST_DOUBT_SECONDS):
                return await asking(self._ask, transaction_id, messages)
        except TimeoutError as error:
            raise OutcomeUnknown from error

    async def _ask(self, transaction_id: str, messages: Sequence[Message]) -> bool:
        async with self._database.read() as connection:
            try:
                status = await connection.scalar(_STATUS, {"id": transaction_id})
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == _UNKNOWN_TRANSACTION:
                    return False
                raise
            if status == "in progress":  # the server has not noticed the break, and may commit yet
                raise DatabaseUnavailable
            # A crash forgets the numbers of transactions that it lost, and gives them to others: only when our events
            # are there too was it ours that committed.
            return status == "committed" and await _stands(connection, messages)

    def _count_retry(self, state: RetryCallState) -> None:
        self._metrics.commit_retries.inc()
        error = state.outcome.exception() if state.outcome else None
        log.warning("commit_retried", tries=state.attempt_number, error=str(error)[:300])


_STATUS = text("SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8))")
# "transaction ID ... is in the future": the server crashed and has not come that far again.
_UNKNOWN_TRANSACTION = "22023"


async def _stands(connection: AsyncConnection, messages: Sequence[Message]) -> bool:
    """Whether the log has these events under these numbers; the last one tells, since a cap cuts logs at the front."""
    if not messages:
        return True
    one = messages[0]
    seq = one.first_seq + len(one.entries) - 1
    found = select(EVENT.c.data).where(EVENT.c.session_id == one.session_id, EVENT.c.seq == seq)
    data = await connection.scalar(found)
    return data is not None and bytes(data) == one.entries[-1].data
