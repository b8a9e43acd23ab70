"""Notices that the database is older than it was, or another one, and then gives every session a new epoch.

A client's position means "I have everything up to here of *this* log". After a restore the same numbers are given out
again for other events, so that old positions would be answered with a mixture. What is compared:

- SQLite: a random name of the log's present life, in the database and in a file beside it (`sidecar`), and the sum of
  all heads, noted after every commit and before any client hears of it. Rows of sessions are never deleted; whoever
  does so by hand gets new epochs.
- PostgreSQL: what the server says about itself (`lineage`) against what was stored in the database, at the start and
  every two seconds, since it can be restored under running gateways.

In doubt epochs change: a needless change costs every client one snapshot, a missed one hands out wrong events. Epochs
and the new identity are one transaction, and processes that notice together do it one after the other, so that the
first one's change is enough.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import exists, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from infra.bus.base import Message
from infra.database.engine import POSTGRES_SETTINGS, Database, unavailable_as_error
from infra.database.keyring import read_entry, replace_entry
from infra.database.lineage import Lineage, LineageReader
from infra.database.models import SESSION
from infra.database.sidecar import Sidecar
from infra.errors import DatabaseUnavailable
from infra.ids import new_epoch, new_id, new_id_after

EVERY_SECONDS = 2.0
START_SECONDS = 15.0
# All epochs are one statement, and millions of sessions take minutes: a limit that is met would be met again by every
# further attempt, and no gateway would ever start. This one is only there so that nothing waits for a dead server.
CHANGE_SECONDS = 3600.0
_ENTRY = "continuity"
Publish = Callable[[Sequence[Message]], None]
_LOCK = text("SELECT pg_advisory_xact_lock(7340194)")
_NO_LIMIT = text("SET LOCAL statement_timeout = 0")  # what the role may have
_IDLE_NAME = "idle_in_transaction_session_timeout"  # a process that freezes must not keep the lock
_IDLE = text(f"SET LOCAL {_IDLE_NAME} = {POSTGRES_SETTINGS[_IDLE_NAME]}")

log = structlog.stdlib.get_logger(__name__)


class Identity(msgspec.Struct, frozen=True):
    """What the database remembers of itself: the name of the log's present life, and where PostgreSQL had it."""

    life: str
    lineage: Lineage | None = None


class Continuity:
    """One process's guard over the epochs. `check_at_start` before anything reads one, `watch` for ever after."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lineage = LineageReader()
        self._life = ""
        self._reached = 0
        self._total = 0
        file = database.url.database if database.is_sqlite else None
        self._sidecar = Sidecar(file) if file else None
        self._file_number = 0
        self._replaced = False

    async def check_at_start(self) -> None:
        """Compare, and change all epochs if the database is not as it was left.

        Somebody may have the database locked: it is tried for fifteen seconds. Raises DatabaseUnavailable.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(DatabaseUnavailable),
            stop=stop_after_delay(START_SECONDS),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            reraise=True,
        ):
            with attempt:
                await self._check()
        if self._sidecar is not None:
            self._file_number = _file_number(self._database)

    async def watch(self) -> None:
        """Compare every two seconds, for ever; run it supervised."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                if self._sidecar is not None:
                    await self._watch_file(self._sidecar)
                elif await self._looks_different():
                    await self._check()
            except DatabaseUnavailable:
                log.warning("continuity_postponed", reason="database unavailable")
            except DBAPIError as error:  # in the middle of a restore the tables may be away
                log.warning("continuity_postponed", reason=str(error.orig)[:200])

    async def renew(self, session_id: str, epoch: str) -> bool:
        """Give one session a new epoch if it still has this one: its log was seen to be behind what was sent of it.

        Returns whether it did; False also when somebody else was faster. Raises DatabaseUnavailable.
        """
        behind = (SESSION.c.id == session_id) & (SESSION.c.epoch == epoch)
        with unavailable_as_error():
            async with self._database.write() as connection:
                changed = await connection.execute(update(SESSION).where(behind).values(epoch=new_epoch()))
        if changed.rowcount:
            log.warning("epoch_changed", session_id=session_id, reason="the log is behind what was already sent")
        return changed.rowcount > 0

    def noting(self, publish: Publish) -> Publish:
        """`publish` for the committer: takes down what was committed before anybody is told of it.

        Costs SQLite some ten microseconds for each transaction, PostgreSQL nothing.
        """
        if self._sidecar is None:
            return publish
        sidecar = self._sidecar

        def note_and_publish(messages: Sequence[Message]) -> None:
            self._total += sum(len(message.entries) for message in messages)
            sidecar.raise_to(self._total)
            publish(messages)

        return note_and_publish

    def close(self) -> None:
        """Leave in good order; call it when the database has been closed."""
        if self._sidecar is not None:
            self._sidecar.close()

    async def _check(self) -> None:
        with unavailable_as_error():
            async with _write_patiently(self._database) as connection:
                if self._sidecar is not None:
                    await self._check_file(connection, self._sidecar)
                else:
                    await self._check_server(connection)

    async def _check_file(self, connection: AsyncConnection, sidecar: Sidecar) -> None:
        # The write lock is ours: nobody commits, and no other process compares, until this is settled.
        stored = await _stored(connection)
        total: int = await connection.scalar(select(func.coalesce(func.sum(SESSION.c.head), 0))) or 0
        record = sidecar.read()
        if stored is None or record is None:
            reason: str | None = "it was not served here before"
        elif stored.life != record.life:
            reason = "it is not the one that was last served here"
        elif total < record.total:
            reason = f"it ends {record.total - total} events before what was last served"
        else:
            reason = sidecar.doubt(record)
        life = new_id() if reason or stored is None else stored.life
        # First beside the database, then in it: a crash between the two leaves them different, which is a doubt.
        if not sidecar.open(life, total):
            life = new_id()  # no record has this name, so that the next start is in doubt, whatever lies there
        if reason is not None:
            await _change_all(connection, reason)
        if stored is None or life != stored.life:
            await _store(connection, Identity(life))
        self._life, self._total = life, total

    async def _check_server(self, connection: AsyncConnection) -> None:
        await connection.execute(_LOCK)
        stored = await _stored(connection)
        lineage, reached = await self._lineage.read(connection)
        reason = self._difference(stored, lineage, reached)
        if reason is not None:
            if self._may_be_half_restored(stored, lineage) and not await _has_sessions(connection):
                return  # look again, and keep nobody waiting meanwhile
            # All of it at once, and no committer half-way: row by row would deadlock with those that hold some rows.
            await connection.execute(text("LOCK TABLE session IN EXCLUSIVE MODE"))
            await _change_all(connection, reason)
        known = stored.life if stored else ""
        life = new_id_after(max(known, self._life)) if reason or stored is None else known
        identity = Identity(life, lineage.completed_from(stored.lineage if stored and not reason else None))
        if stored != identity:
            await _store(connection, identity)
        self._life, self._reached = life, reached

    def _may_be_half_restored(self, stored: Identity | None, lineage: Lineage) -> bool:
        """Whether a restore may be under way that has not got to the sessions yet: they would bring old epochs along.

        A dump is put into a new or an emptied table, or comes with an earlier life. A failover has everything at once.
        """
        if not self._life:
            return False
        return stored is None or stored.life < self._life or not lineage.is_same_table(stored.lineage)

    def _difference(self, stored: Identity | None, lineage: Lineage, reached: int) -> str | None:
        if stored is None or stored.lineage is None:
            return "it was not served before"
        if stored.lineage.differs_from(lineage):
            return f"it was {stored.lineage}, it is {lineage}"
        if stored.life < self._life:  # the names of lives sort by time
            return "it was set back to an earlier life of the log"
        if 0 < reached < self._reached and stored.life == self._life:
            return "its write-ahead log ends before what was seen of it"
        return None

    async def _looks_different(self) -> bool:
        """PostgreSQL only: whether it is worth a closer look, under the lock."""
        async with self._database.read() as connection:
            stored = await _stored(connection)
            lineage, reached = await self._lineage.read(connection)
        if self._difference(stored, lineage, reached) is not None:
            return True
        self._life, self._reached = (stored.life if stored else ""), reached or self._reached
        return False

    async def _watch_file(self, sidecar: Sidecar) -> None:
        if not self._replaced and _file_number(self._database) != self._file_number:
            self._replaced = True
            log.error(
                "database_file_replaced",
                file=self._database.url.database,
                meaning="this process still writes to the old file; stop it now",
            )
        if sidecar.shared:  # others commit too, and each knows only its own
            async with self._database.read() as connection:
                total: int = await connection.scalar(select(func.coalesce(func.sum(SESSION.c.head), 0))) or 0
            sidecar.raise_to(total)


async def change_all_epochs(database: Database) -> int:
    """What an operator asks for after a restore that nobody could notice; returns how many sessions there are."""
    with unavailable_as_error():
        async with _write_patiently(database) as connection:
            if not database.is_sqlite:
                await connection.execute(text("LOCK TABLE session IN EXCLUSIVE MODE"))
            return await _change_all(connection, "the operator said that it was restored")


@asynccontextmanager
async def _write_patiently(database: Database) -> AsyncIterator[AsyncConnection]:
    """`Database.write`, over a connection of its own whose statements may take as long as all epochs take."""
    if database.is_sqlite:
        async with database.write() as connection:
            yield connection
        return
    limits = {"timeout": 5, "command_timeout": CHANGE_SECONDS}
    engine = create_async_engine(database.url, poolclass=NullPool, hide_parameters=True, connect_args=limits)
    try:
        async with engine.begin() as connection:
            await connection.execute(_IDLE)
            await connection.execute(_NO_LIMIT)
            yield connection
    finally:
        await engine.dispose()


async def _has_sessions(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(select(exists().select_from(SESSION))))


async def _change_all(connection: AsyncConnection, reason: str) -> int:
    if not await _has_sessions(connection):
        return 0
    # Made by the database, since there may be hundreds of thousands: 8 hexadecimal digits each.
    epochs = "lower(hex(randomblob(4)))" if connection.dialect.name == "sqlite" else "left(gen_random_uuid()::text, 8)"
    changed = (await connection.execute(text(f"UPDATE session SET epoch = {epochs}"))).rowcount
    log.warning("epochs_changed", sessions=changed, reason=reason, meaning="every client starts over from a snapshot")
    return changed


async def _stored(connection: AsyncConnection) -> Identity | None:
    entry = await read_entry(connection, _ENTRY)
    try:
        return None if entry is None else msgspec.json.decode(entry, type=Identity)
    except msgspec.MsgspecError:
        return None


async def _store(connection: AsyncConnection, identity: Identity) -> None:
    await replace_entry(connection, _ENTRY, msgspec.json.encode(identity).decode())


def _file_number(database: Database) -> int:
    try:
        return Path(str(database.url.database)).stat().st_ino
    except OSError:
        return 0
