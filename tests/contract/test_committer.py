"""The committer on SQLite and PostgreSQL: groups, gapless numbers, changes that fail alone, faults that pass."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import psutil
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from infra.bus.base import Message
from infra.clock import now_ms
from infra.database import committer, engine
from infra.database.draft import Draft, Needs
from infra.database.log import EventLog
from infra.database.migrate import migrate
from infra.database.models import Event, Job, MenuItem, Session, Stage
from infra.database.postgres_writer import PostgresWriter
from infra.database.transaction import apply
from infra.errors import DatabaseUnavailable, JobFinished, LeaseLost, NotClaimable, OutcomeUnknown
from infra.ids import new_id
from infra.settings import DatabaseSettings
from pipeline.transitions import Cancel, Claim, GiveUp, Lease, Record, Release
from tests.contract.jobs import LEASE_MS, answer, claim, item_ids, results, submit
from tests.contract.relay import Relay
from tests.database import Store
from tests.servers import PostgresServer, ServerError, wait_until
from tests.waiting import wait_for

STAGES = ("translation", "category", "description", "allergens", "ingredients", "image_search", "image", "price")


@dataclass
class Poison:
    """A change that the database will refuse: a row of a job that does not exist."""

    session_id: str
    tries: list[int] = field(default_factory=list)
    weight: int = 1

    @property
    def needs(self) -> Needs:
        return Needs(session_id=self.session_id)

    def decide(self, draft: Draft) -> None:
        self.tries.append(1)
        row = {"id": new_id(), "session_id": self.session_id, "job_id": "?" * 26, "position": 0, "name": "x"}
        draft.insert("menu_item", {**row, "processing_status": "pending", "created_at": 1, "updated_at": 1})


async def numbers(store: Store, session_id: str) -> list[int]:
    async with store.database.read() as connection:
        found = await connection.scalars(select(Event.seq).where(Event.session_id == session_id).order_by(Event.seq))
        return list(found)


async def check_log(store: Store, session_id: str) -> int:
    """The log is exactly 1..head; returns the head."""
    position = await EventLog(store.database).position(session_id)
    assert position is not None
    assert await numbers(store, session_id) == list(range(1, position.head + 1))
    return position.head


def batches(store: Store) -> tuple[float, float]:
    """How many transactions there were, and how many changes in them."""
    value = store.metrics.registry.get_sample_value
    return value("stagecast_commit_batch_size_count") or 0, value("stagecast_commit_batch_size_sum") or 0


def retries(store: Store) -> float:
    """How often a transaction was tried again."""
    return store.metrics.registry.get_sample_value("stagecast_commit_retries_total") or 0


async def test_what_waits_together_is_one_transaction(store: Store) -> None:
    before = batches(store)
    jobs = await asyncio.gather(*(submit(store.committer) for _ in range(50)))
    transactions, changes = (now - was for now, was in zip(batches(store), before, strict=True))
    assert changes == 50
    assert transactions <= 3
    assert len({job.id for job in jobs}) == 50
    assert sum(len(message.entries) for message in store.published) == 50


@pytest.mark.timeout(120)
async def test_large_changes_that_wait_together_are_transactions_of_some_5000_rows_each(store: Store) -> None:
    before = batches(store)
    first, *others = await asyncio.gather(*(submit(store.committer, items=2600) for _ in range(3)))
    transactions, changes = (now - was for now, was in zip(batches(store), before, strict=True))
    assert (transactions, changes) == (3, 3), "one alone may be larger, two are not put together"

    small = [submit(store.committer, items=1600) for _ in range(6)]
    before = batches(store)
    await asyncio.gather(*small)
    transactions, changes = (now - was for now, was in zip(batches(store), before, strict=True))
    assert (transactions, changes) == (2, 6), "three of 1608 rows fit"

    answers = []
    for job in (first, others[0]):
        lease = await claim(store.committer, job.id)
        answers.append(Record(lease, results("translation", await item_ids(store, job.id)), LEASE_MS))
    before = batches(store)
    await asyncio.gather(*map(store.committer.commit, answers))
    transactions, changes = (now - was for now, was in zip(batches(store), before, strict=True))
    assert (transactions, changes) == (2, 2), "results are rows, too"


async def test_all_stages_of_a_job_end_it_exactly_once(store: Store) -> None:
    job = await submit(store.committer, items=3)
    ids = await item_ids(store, job.id)

    async def run(stage: str) -> None:
        await answer(store, await claim(store.committer, job.id, stage), ids)

    await asyncio.gather(*(run(stage) for stage in STAGES))
    async with store.database.read() as connection:
        row = (await connection.execute(select(Job.status, Job.remaining, Job.first_seq, Job.last_seq))).one()
        types = list(await connection.scalars(select(Event.type).order_by(Event.seq)))
        statuses = set(await connection.scalars(select(MenuItem.processing_status)))
    head = await check_log(store, job.session_id)
    assert row == ("completed", 0, 1, head)
    assert types[-1] == "job.completed"
    assert types.count("job.completed") == types.count("job.started") == 1
    assert types.count("item.updated") == 24
    assert statuses == {"completed"}


async def test_two_jobs_of_a_session_share_its_numbers(store: Store) -> None:
    first = await submit(store.committer)
    second = await submit(store.committer, "prompt", session_id=first.session_id)
    await claim(store.committer, first.id)
    assert await check_log(store, first.session_id) == 4
    assert second.session_id == first.session_id
    assert [(one.first_seq, len(one.entries)) for one in store.published] == [(1, 1), (2, 1), (3, 2)]


async def test_a_change_that_refuses_itself_leaves_no_number_and_no_trace(store: Store) -> None:
    job = await submit(store.committer)
    lease = await claim(store.committer, job.id)
    outcomes = await asyncio.gather(
        store.committer.commit(Claim(job.id, "translation", LEASE_MS)),
        store.committer.commit(Claim(job.id, "price", LEASE_MS)),
        store.committer.commit(Release(Lease(job.session_id, job.id, "image", 1, "never given"))),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], NotClaimable)
    assert isinstance(outcomes[1], Lease)
    assert isinstance(outcomes[2], LeaseLost)
    assert await check_log(store, job.session_id) == 4
    assert lease.attempt == 1


async def test_a_poisoned_change_fails_alone(store: Store) -> None:
    job = await submit(store.committer)
    head = job.last_seq
    poison = Poison(job.session_id)
    outcomes = await asyncio.gather(
        *(submit(store.committer, session_id=job.session_id) for _ in range(5)),
        store.committer.commit(poison),
        *(submit(store.committer, session_id=job.session_id) for _ in range(5)),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in outcomes] == ["JobState"] * 5 + ["IntegrityError"] + ["JobState"] * 5
    assert isinstance(outcomes[5], IntegrityError)
    assert await check_log(store, job.session_id) == head + 10
    assert [message.first_seq for message in store.published][-1] == head + 10
    assert len(poison.tries) == 2, "once in the group and once by itself"


async def test_a_lost_lease_is_refused_and_writes_nothing(store: Store) -> None:
    job = await submit(store.committer, items=2)
    ids = await item_ids(store, job.id)
    zombie = await claim(store.committer, job.id, lease_ms=0)
    owner = await claim(store.committer, job.id)
    assert (owner.attempt, zombie.attempt) == (2, 1)
    head = await check_log(store, job.session_id)
    late = (
        Record(zombie, results("translation", ids), LEASE_MS),
        Record(zombie, results("translation", ids), LEASE_MS, finish=True),
        GiveUp(zombie, {"type": "x", "message": "x"}, False, 0),
        Release(zombie),
    )
    for outcome in await asyncio.gather(*map(store.committer.commit, late), return_exceptions=True):
        assert isinstance(outcome, LeaseLost)
    assert await check_log(store, job.session_id) == head
    async with store.database.read() as connection:
        assert set(await connection.scalars(select(MenuItem.translation))) == {None}
    await answer(store, owner, ids)


async def test_a_cancelled_job_takes_nothing_more(store: Store) -> None:
    job = await submit(store.committer)
    lease = await claim(store.committer, job.id)
    await store.committer.commit(Cancel(job.id))
    head = await check_log(store, job.session_id)
    with pytest.raises(LeaseLost):
        await answer(store, lease, await item_ids(store, job.id))
    with pytest.raises(JobFinished):
        await store.committer.commit(Cancel(job.id))
    with pytest.raises(NotClaimable):
        await claim(store.committer, job.id, "price")
    assert await check_log(store, job.session_id) == head


async def test_two_runners_race_for_a_stage_and_one_gets_it(database_settings: DatabaseSettings) -> None:
    async with Store(database_settings) as one, Store(database_settings) as two:
        job = await submit(one.committer)
        for stage in STAGES:
            change = Claim(job.id, stage, LEASE_MS)
            asked: list[Awaitable[Lease | None]] = [store.committer.commit(change) for store in (one, two, one, two)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, NotClaimable) for outcome in outcomes) == 3
        await check_log(one, job.session_id)


async def test_writers_in_eight_processes_leave_no_hole_and_a_follower_misses_nothing(
    database_settings: DatabaseSettings,
) -> None:
    """Eight committers with connections of their own, two sessions, a reader that follows while they write."""
    rounds = 12
    stores = [Store(database_settings) for _ in range(8)]
    async with stores[0]:
        first, second = await submit(stores[0].committer), await submit(stores[0].committer)
        seen: list[int] = []
        done = asyncio.Event()

        async def follow() -> None:
            log = EventLog(stores[0].database)
            while True:
                last = done.is_set()
                page = await log.page(first.session_id, seen[-1] if seen else 0, 20)
                assert page is not None
                seen.extend(seq for seq, _ in page.events)
                if last and not page.events:
                    return
                await asyncio.sleep(0)

        async def write(store: Store, number: int) -> None:
            for turn in range(rounds):
                session_id = (first, second)[(turn + number) % 2].session_id
                await asyncio.gather(*(submit(store.committer, session_id=session_id) for _ in range(2)))

        follower = asyncio.create_task(follow())
        others = [await store.__aenter__() for store in stores[1:]]
        await asyncio.gather(*(write(store, number) for number, store in enumerate(stores)))
        done.set()
        await follower
        heads = [await check_log(stores[0], job.session_id) for job in (first, second)]
        for store in others:
            await store.__aexit__(None, None, None)
        assert sum(heads) == 2 + 8 * rounds * 2
        assert seen == list(range(1, heads[0] + 1))
        announced = sorted(
            (message.session_id, seq)
            for store in stores
            for message in store.published
            for seq in range(message.first_seq, message.first_seq + len(message.entries))
        )
        assert len(announced) == len(set(announced)) == sum(heads), "every number is announced once"


async def test_a_group_that_rolls_back_leaves_no_hole(store: Store) -> None:
    job = await submit(store.committer)
    for _ in range(3):
        with pytest.raises(IntegrityError):
            await store.committer.commit(Poison(job.session_id))
        await submit(store.committer, session_id=job.session_id)
    assert await check_log(store, job.session_id) == 4


async def test_a_caller_that_goes_away_does_not_stop_the_committer(store: Store) -> None:
    job = await submit(store.committer)
    leaving = [asyncio.create_task(submit(store.committer, session_id=job.session_id)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await submit(store.committer, session_id=job.session_id)
    await check_log(store, job.session_id)


# Faults that pass.


def locks(store: Store) -> sqlite3.Connection:
    """Another process that holds SQLite's write lock."""
    other = sqlite3.connect(str(store.database.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
async def test_a_write_waits_for_another_process_to_release_its_lock(store: Store) -> None:
    job = await submit(store.committer)
    other = locks(store)
    asyncio.get_running_loop().call_later(0.3, other.execute, "COMMIT")
    await submit(store.committer, session_id=job.session_id)
    other.close()
    assert await check_log(store, job.session_id) == 2


@pytest.mark.parametrize("database_settings", ["sqlite"], indirect=True)
async def test_a_lock_that_outlasts_the_busy_timeout_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit(store.committer)

    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 20)
    other = locks(store)
    writing = asyncio.create_task(submit(store.committer, session_id=job.session_id))
    await wait_for(lambda: retries(store) >= 1)
    other.execute("COMMIT")
    await writing
    other.close()
    assert await check_log(store, job.session_id) == 2
    other = locks(store)
    with pytest.raises(DatabaseUnavailable):
        await submit(store.committer, session_id=job.session_id)
    other.execute("COMMIT")
    other.close()
    await submit(store.committer, session_id=job.session_id)
    assert await check_log(store, job.session_id) == 3


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_terminated_connection_in_the_middle_of_a_transaction_is_survived(store: Store) -> None:
    job = await submit(store.committer)
    url = str(store.database.url.render_as_string(hide_password=False)).replace("+asyncpg", "")
    other = await asyncpg.connect(url)
    await other.execute("BEGIN")
    await other.execute("SELECT * FROM session WHERE id = $1 FOR UPDATE", job.session_id)
    writing = asyncio.create_task(submit(store.committer, session_id=job.session_id))
    killed = False
    async with asyncio.timeout(10):
        while not killed:  # until the writer waits for the lock
            killed = bool(
                await other.fetchval(
                    "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )
            await asyncio.sleep(0.01)
    await other.execute("COMMIT")
    await writing
    assert await check_log(store, job.session_id) == 2
    for _ in range(5):
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await submit(store.committer, session_id=job.session_id)
    await other.close()
    assert await check_log(store, job.session_id) == 7


# In this database: the server is everybody's. Who waits for a transaction's end waits for a lock that has no database.
_SOMEBODY_WAITS = """SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
                     WHERE NOT granted AND datname = current_database()"""


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_deadlock_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another transaction takes the same locks in the other order; PostgreSQL ends one of the two.

    Each side looks for a deadlock once, when it has waited for its time: ours has to be in one by then, and is the one
    that gives in because its time is over first.
    """
    monkeypatch.setitem(engine.POSTGRES_SETTINGS, "deadlock_timeout", "3000")
    job = await submit(store.committer)
    other = await asyncpg.connect(store.database.url.render_as_string(hide_password=False).replace("+asyncpg", ""))
    await other.execute("SET deadlock_timeout = '30s'")
    await other.execute("BEGIN")
    await other.execute("SELECT * FROM session WHERE id = $1 FOR UPDATE", job.session_id)
    writing = asyncio.create_task(claim(store.committer, job.id))
    await wait_for(lambda: other.fetchval(_SOMEBODY_WAITS), 10)
    # The whole table: the server hands that lock on when ours lets go. A row would be free for whoever asks first, and
    # our next try was quicker now and then.
    await other.execute("LOCK TABLE job IN EXCLUSIVE MODE")
    await other.execute("COMMIT")
    await other.close()
    assert (await writing).attempt == 1
    assert retries(store) >= 1
    assert await check_log(store, job.session_id) == 3


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
@pytest.mark.parametrize("reached_server", [True, False])
async def test_a_connection_that_breaks_at_commit_writes_exactly_once(
    database_settings: DatabaseSettings, reached_server: bool
) -> None:
    async with Relay(database_settings) as relay, Store(relay.settings) as store:
        job = await submit(store.committer, items=2)
        ids = await item_ids(store, job.id)
        lease = await claim(store.committer, job.id)
        relay.break_at_commit(reached_server)
        await store.committer.commit(Record(lease, results("translation", ids), LEASE_MS))
        assert relay.broken
        async with store.database.read() as connection:
            updated = select(func.count()).select_from(Event).where(Event.type == "item.updated")
            assert await connection.scalar(updated) == 2
            done = select(Stage.done).where(Stage.job_id == job.id, Stage.name == "translation")
            assert await connection.scalar(done) == 2
        head = await check_log(store, job.session_id)
        announced = [seq for one in store.published for seq in range(one.first_seq, one.first_seq + len(one.entries))]
        assert announced == list(range(1, head + 1)), "and is announced once"


@pytest.mark.parametrize("database_settings", ["postgresql"], indirect=True)
async def test_a_transaction_that_still_runs_is_not_taken_for_one_that_failed(store: Store) -> None:
    """After a break at COMMIT the old server process may live on for a while, and commit after we asked."""
    await submit(store.committer)
    async with store.database._writer.connect() as other:
        await other.execute(text("UPDATE session SET head = head"))
        transaction_id = await other.scalar(text("SELECT pg_current_xact_id()::text"))
        asking = asyncio.create_task(store.committer._did_commit(str(transaction_id), ()))
        await asyncio.sleep(0.3)
        assert not asking.done()
        await other.commit()
        assert await asking is True
    async with store.database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(Session)) == 1


@pytest.mark.timeout(60)
async def test_a_server_that_stands_still_is_asked_for_the_named_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "LONGEST_DOUBT_SECONDS", 0.5)
    with PostgresServer() as server:
        store = Store(DatabaseSettings(url=server.create_database()))
        async with store.database.read() as connection:
            number = str(await connection.scalar(text("SELECT pg_current_xact_id()::text")))
            backend = psutil.Process(int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0))
        server.pause()
        backend.suspend()
        with pytest.raises(OutcomeUnknown):
            async with asyncio.timeout(15):  # one statement alone has half a minute
                await store.committer._did_commit(number, ())
        assert backend.status() == psutil.STATUS_STOPPED, "it stood still all the time"
        backend.resume()
        server.resume()
        await store.database.close()


@pytest.mark.timeout(90)
async def test_a_transaction_that_a_crash_has_lost_is_not_taken_for_the_next_one_with_its_number() -> None:
    """PostgreSQL hands out the number again, and then says "committed" of it."""
    with PostgresServer() as server:
        settings = DatabaseSettings(url=server.create_database())
        await migrate(settings)
        async with Store(settings) as store:
            job = await submit(store.committer)
            lost_id, lost = await _lose_in_a_crash(store, server, Cancel(job.id))
            await store.database.close()  # what is left of the connections
            assert not await store.committer._did_commit(lost_id, lost), "its number is in the future"
            other = await submit(store.committer)
            async with store.database.read() as connection:
                status = text("SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8))")
                assert await connection.scalar(status, {"id": lost_id}) == "committed", "the number was not given again"
            assert not await store.committer._did_commit(lost_id, lost), "its number is that of another one"
            assert await check_log(store, job.session_id) == await check_log(store, other.session_id) == 1


async def _lose_in_a_crash(store: Store, server: PostgresServer, change: Cancel) -> tuple[str, list[Message]]:
    """Apply a change in a transaction that the server does not survive: its number, and what it would announce."""
    async with store.database._writer.connect() as connection:
        number = str(await connection.scalar(text("SELECT pg_current_xact_id()::text")))
        _, messages = await apply(PostgresWriter(connection), now_ms(), [change])
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(wait_until, lambda: _starts(server), 30, "the server starts again")
        await connection.invalidate()
    return number, messages


def _starts(server: PostgresServer) -> bool:
    """The processes of a killed server hold its memory for a moment longer."""
    with suppress(ServerError):
        server.start()
    return server.is_running
