"""Epochs change when the database is not the one that was served, once, all of them, and at no other time."""

import asyncio
import fcntl
import os
import re
import secrets
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from infra.clock import now_ms
from infra.database.continuity import Continuity, change_all_epochs
from infra.database.engine import BUSY_TIMEOUT_MS, Database
from infra.database.models import Session
from infra.database.postgres_writer import PostgresWriter
from infra.database.sidecar import Sidecar
from infra.database.transaction import apply
from infra.errors import DatabaseUnavailable
from infra.ids import new_id_after
from infra.settings import DatabaseSettings
from pipeline.submission import NewJob, Submit
from tests.contract.jobs import DISH, submit
from tests.database import Store

EPOCH = re.compile(r"[a-z0-9]{8}")
on_postgres = pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)


async def epochs(store: Store) -> dict[str, str]:
    async with store.database.read() as connection:
        return {row.id: row.epoch for row in await connection.execute(select(Session.id, Session.epoch))}


async def run_sql(store: Store, *statements: str) -> None:
    async with store.database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def served(store: Store, sessions: int = 3) -> dict[str, str]:
    """A database that was served and left in good order, with sessions; their epochs."""
    continuity = Continuity(store.database)
    await continuity.check_at_start()
    for _ in range(sessions):
        job = await submit(store.committer)
    continuity.noting(lambda _: None)(store.published)
    continuity.close()
    assert job
    return await epochs(store)


async def check_again(store: Store) -> dict[str, str]:
    continuity = Continuity(store.database)
    await continuity.check_at_start()
    continuity.close()
    return await epochs(store)


async def test_epochs_stay_from_start_to_start(store: Store) -> None:
    before = await served(store)
    assert await check_again(store) == before
    assert await check_again(store) == before


async def test_a_database_that_nobody_has_served_gets_new_epochs_once(store: Store) -> None:
    await submit(store.committer)
    before = await epochs(store)
    after = await check_again(store)
    assert after != before
    assert await check_again(store) == after


async def test_every_session_gets_an_epoch_of_its_own(store: Store) -> None:
    before = await served(store, sessions=20)
    assert await change_all_epochs(store.database) == 20
    after = await epochs(store)
    assert all(EPOCH.fullmatch(epoch) for epoch in after.values())
    assert len({*before.values(), *after.values()}) == 40


async def test_a_session_whose_log_was_set_back_is_renewed_once_and_alone(store: Store) -> None:
    """Several gateways have it on their screens, and all of them see it."""
    before = await served(store)
    session_id, epoch = next(iter(before.items()))
    several = [Continuity(store.database) for _ in range(4)]
    assert not await several[0].renew(session_id, "00000000"), "it has another one already"
    assert await epochs(store) == before
    outcomes = await asyncio.gather(*(one.renew(session_id, epoch) for one in several))
    assert sorted(outcomes) == [False, False, False, True]
    after = await epochs(store)
    assert EPOCH.fullmatch(after[session_id])
    assert {one for one in before if before[one] != after[one]} == {session_id}


@on_sqlite
async def test_a_log_that_ends_earlier_than_what_was_noted_is_older(store: Store) -> None:
    before = await served(store)
    await run_sql(store, "UPDATE session SET head = head - 1")
    after = await check_again(store)
    assert set(before.values()).isdisjoint(after.values())
    assert await check_again(store) == after


@on_sqlite
async def test_a_start_waits_for_a_file_that_somebody_has_locked(store: Store) -> None:
    """Longer than SQLite itself waits: another process may be in the middle of something large."""
    before = await served(store)
    other = Store(DatabaseSettings(url=str(store.database.url)))
    async with store.database.write():
        starting = asyncio.create_task(check_again(other))
        await asyncio.sleep(BUSY_TIMEOUT_MS / 1000 + 0.5)
        assert not starting.done()
    assert await asyncio.wait_for(starting, 20) == before
    await other.database.close()


@on_sqlite
async def test_two_processes_of_one_file_know_together_how_far_it_came(store: Store) -> None:
    one, two = Continuity(store.database), Continuity(store.database)
    await one.check_at_start()
    await two.check_at_start()
    for process in (one, two):
        await submit(store.committer)
        process.noting(lambda _: None)(store.published[-1:])
    assert two._sidecar is not None
    await one._watch_file(two._sidecar)
    record = two._sidecar.read()
    assert record is not None
    assert record.total <= 2
    before = await epochs(store)
    assert await check_again(store) == before, "a process that starts beside another one has no doubt"
    for process in (one, two):
        process.close()


@on_sqlite
async def test_a_file_that_somebody_has_open_is_not_called_closed(store: Store) -> None:
    continuity = Continuity(store.database)
    await continuity.check_at_start()
    await submit(store.committer)
    sidecar = continuity._sidecar
    assert sidecar is not None
    continuity.close()
    record = sidecar.read()
    assert record is not None
    assert not record.closed


class SealedNote:
    """In the place of the note a file in memory: it can be read, but once it is sealed not even root can write it.

    What stands there stays, as valid as it was.
    """

    def __init__(self, note: Path) -> None:
        self.note = note
        self.file = os.memfd_create("note", os.MFD_ALLOW_SEALING)
        if note.exists():
            os.pwrite(self.file, note.read_bytes(), 0)
            note.unlink()
        note.symlink_to(f"/proc/self/fd/{self.file}")

    def seal(self) -> None:
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)

    def keep_from_removal(self) -> None:
        self.note.unlink()
        self.note.mkdir()

    def bytes(self) -> bytes:
        return os.pread(self.file, 1000, 0)


def note_of(store: Store) -> Path:
    return Sidecar(str(store.database.url.database)).path


async def stored_life(store: Store) -> str:
    async with store.database.read() as connection:
        entry = await connection.scalar(text("SELECT value FROM keyring WHERE name = 'continuity'"))
    return re.findall('"life":"([^"]+)"', entry or "")[0]


@on_sqlite
async def test_a_note_that_cannot_be_written_at_the_start_does_not_speak_for_the_database(store: Store) -> None:
    before = await served(store)
    life = await stored_life(store)
    sealed = SealedNote(note_of(store))
    sealed.seal()
    assert life.encode() in sealed.bytes(), "what stands there is the log's present life"
    blind = Continuity(store.database)
    await blind.check_at_start()
    assert await stored_life(store) != life, "the note's name can never be the database's again"
    assert not note_of(store).is_symlink(), "nor is it left there"
    blind.noting(lambda _: None)(store.published)
    blind.close()
    assert sealed.bytes().count(b"life") == 1
    after = await check_again(store)
    assert set(before.values()).isdisjoint(after.values())
    assert await check_again(store) == after, "with a new note once is enough"


@on_sqlite
async def test_a_note_that_stays_behind_is_removed(store: Store) -> None:
    """With it, a copy of the database from before its last line would pass for the newest."""
    sealed = SealedNote(note_of(store))
    before = await served(store)
    running = Continuity(store.database)
    await running.check_at_start()
    sealed.seal()
    await submit(store.committer)
    publish = running.noting(store.published.extend)
    publish(store.published[-1:])
    assert not note_of(store).is_symlink()
    publish(store.published[-1:])
    running.close()
    assert set(before.values()).isdisjoint((await check_again(store)).values())


def test_a_note_that_can_neither_be_written_nor_removed_is_emptied(tmp_path: Path) -> None:
    sidecar = Sidecar(str(tmp_path / "stagecast.db"))
    sealed = SealedNote(sidecar.path)
    assert sidecar.open("life", 1)
    sealed.keep_from_removal()
    sealed.seal()
    assert b"life" in sealed.bytes()
    sidecar.raise_to(2)
    assert sealed.bytes() == b""
    sidecar.close()


def test_a_note_that_cannot_be_read_counts_as_another_ones(tmp_path: Path) -> None:
    sidecar = Sidecar(str(tmp_path / "stagecast.db"))
    assert sidecar.open("life", 1)
    assert not sidecar.shared
    unreadable = os.open(tmp_path / "unreadable", os.O_WRONLY | os.O_CREAT)
    assert sidecar._file is not None
    os.dup2(unreadable, sidecar._file)
    os.close(unreadable)
    assert sidecar.shared
    sidecar.close()


def test_an_id_sorts_after_one_of_a_clock_that_is_ahead() -> None:
    ahead = "7" + "z" * 8 + "0" + "z" * 16
    after = new_id_after(ahead)
    assert after > ahead
    assert new_id_after(after) > after
    assert new_id_after("") < ahead


@on_postgres
async def test_changing_epochs_may_take_longer_than_any_other_statement(store: Store) -> None:
    """Both the gateway's own change and the operator's; otherwise a large database could never be served again."""
    before = await served(store)
    await run_sql(
        store,
        "CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NEW; END'",
        "CREATE TRIGGER slowly BEFORE UPDATE ON session FOR EACH STATEMENT EXECUTE FUNCTION rest()",
        'UPDATE keyring SET value = replace(value, \'"timeline":"0\', \'"timeline":"F\')',
    )
    hasty = Database(DatabaseSettings(url=str(store.database.url)))
    await hasty.close()
    hasty._writer = hasty._reader = create_async_engine(hasty.url, connect_args={"command_timeout": 1})
    try:
        with pytest.raises(DatabaseUnavailable):
            await Continuity(hasty).renew(*next(iter(before.items())))
        await Continuity(hasty).check_at_start()
        after = await epochs(store)
        assert set(before.values()).isdisjoint(after.values())
        assert await change_all_epochs(hasty) == len(before)
        assert set(after.values()).isdisjoint((await epochs(store)).values())
    finally:
        await hasty.close()


@on_postgres
@pytest.mark.parametrize("statement", ["VACUUM session", "ANALYZE session", "CHECKPOINT", "SELECT pg_switch_wal()"])
async def test_what_a_server_does_every_day_changes_nothing(store: Store, statement: str) -> None:
    before = await served(store)
    async with store.database._writer.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text(statement))
    assert await check_again(store) == before


@on_postgres
async def test_processes_that_notice_together_change_epochs_once(store: Store) -> None:
    before = await served(store)
    await run_sql(store, 'UPDATE keyring SET value = replace(value, \'"timeline":"0\', \'"timeline":"F\')')
    several = [Continuity(store.database) for _ in range(5)]
    await asyncio.gather(*(one.check_at_start() for one in several))
    after = await epochs(store)
    assert set(before.values()).isdisjoint(after.values())
    for one in several:
        assert not await one._looks_different()
        await one._check()
    assert await epochs(store) == after


@on_postgres
async def test_a_database_that_was_set_back_to_an_earlier_life_is_noticed(store: Store) -> None:
    """Rows that were put back into the same tables, the keyring with them."""
    await served(store)
    watching = Continuity(store.database)
    await watching.check_at_start()
    older = (
        'UPDATE keyring SET value = regexp_replace(value, \'"life":"[^"]*\', \'"life":"00000000000000000000000000\')'
    )
    await run_sql(store, older)
    before = await epochs(store)
    assert await watching._looks_different()
    await watching._check()
    assert set(before.values()).isdisjoint((await epochs(store)).values())
    assert not await watching._looks_different()


@on_postgres
async def test_a_restore_that_has_not_got_to_the_sessions_is_looked_at_again(store: Store) -> None:
    """The keyring comes first: settled then, the old epochs would come in unnoticed with the sessions."""
    await served(store)
    watching = Continuity(store.database)
    await watching.check_at_start()
    await run_sql(store, "CREATE TABLE kept AS SELECT * FROM session", "TRUNCATE session CASCADE")
    await watching._check()
    await run_sql(store, "INSERT INTO session SELECT * FROM kept")
    before = await epochs(store)
    assert await watching._looks_different()
    await watching._check()
    assert set(before.values()).isdisjoint((await epochs(store)).values())


@on_postgres
async def test_a_restore_that_has_not_got_to_the_sessions_keeps_nobody_waiting(store: Store) -> None:
    await served(store)
    watching = Continuity(store.database)
    await watching.check_at_start()
    await run_sql(store, "TRUNCATE session CASCADE")
    async with store.database.write() as connection:
        new = Submit(NewJob("menu", None, None, "en", (DISH,)), None, None, 3)
        await apply(PostgresWriter(connection), now_ms(), [new])  # written, not yet committed
        await asyncio.wait_for(watching._check(), 10)
    assert await watching._looks_different()


@on_postgres
async def test_a_failover_before_the_first_session_is_settled_and_its_epoch_stays(store: Store) -> None:
    watching = Continuity(store.database)
    await watching.check_at_start()
    await run_sql(store, 'UPDATE keyring SET value = replace(value, \'"timeline":"0\', \'"timeline":"F\')')
    assert await watching._looks_different()
    await watching._check()
    assert not await watching._looks_different()
    await submit(store.committer)
    before = await epochs(store)
    await watching._check()
    assert await epochs(store) == before
    assert len(before) == 1


@on_postgres
async def test_a_life_begun_by_a_clock_that_is_behind_is_no_earlier_one(store: Store) -> None:
    """The one that was there came from a machine far ahead; the next change must not look like a step back."""
    await served(store)
    ahead = "7zzzzzzzz0" + "z" * 16
    await run_sql(
        store,
        f'UPDATE keyring SET value = regexp_replace(value, \'"life":"[^"]*\', \'"life":"{ahead}\')',
    )
    watching = Continuity(store.database)
    await watching.check_at_start()
    await run_sql(store, 'UPDATE keyring SET value = replace(value, \'"timeline":"0\', \'"timeline":"F\')')
    after = await check_again(store)
    assert not await watching._looks_different()
    assert await stored_life(store) > ahead
    await watching._check()
    assert await epochs(store) == after


@on_postgres
async def test_a_role_that_may_not_ask_the_server_still_notices_another_table(
    store: Store, database_settings: DatabaseSettings
) -> None:
    before = await served(store)
    role = f"plain_{secrets.token_hex(4)}"
    await run_sql(
        store,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    )
    url = make_url(database_settings.url).set(username=role).render_as_string(hide_password=False)
    plain = Database(DatabaseSettings(url=url))
    try:
        await Continuity(plain).check_at_start()
        assert await epochs(store) == before, "what it may not know is not different"
        assert await check_again(store) == before, "and is not forgotten"
        await run_sql(store, "CREATE TABLE kept AS SELECT * FROM session", "TRUNCATE session CASCADE")
        await run_sql(store, "INSERT INTO session SELECT * FROM kept")
        await Continuity(plain).check_at_start()
        assert set(before.values()).isdisjoint((await epochs(store)).values())
    finally:
        await plain.close()
        await run_sql(store, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
