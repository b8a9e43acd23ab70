"""Who comes back to a log that was trimmed meanwhile. Every other way of coming back is in tests/contract/wire."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from infra.database.engine import Database
from infra.database.retention import Retention
from infra.settings import DatabaseSettings, LogSettings
from tests.client import MENU, PROMPT, Client, SubmittedJob
from tests.contract.wire.log_rules import check_ids, check_job
from tests.gateway_process import GatewayProcess

OpenStream = Callable[..., Any]
RESET_SECONDS = 20.0


def test_a_position_behind_retention_starts_again_from_a_snapshot(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    asyncio.run(_trim(gateway_on_each_database))

    for after in (job.id_of(0), job.id_of(1), 1):
        refused = job.poll(after=after)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/behind-retention")
    assert job.poll().json()["events"] == []
    # A channel in the gateway still remembers the events for a moment; its own sweep must find out by itself.
    for seq in (0, 5, len(events) - 1):
        _check_reset(job, job.stream, job.id_of(seq), "behind_retention", ended=True)
        _check_reset(job, job.session_stream, job.id_of(seq), "behind_retention", ended=False)
    with job.stream() as stream:
        frames = stream.read_all()
    assert [frame.event for frame in frames] == [None, "stream.open", "stream.snapshot", "stream.end"]
    at_the_end = client.get(f"{job.status_url}/events", job.session_token, headers={"Last-Event-ID": events[-1].id})
    assert at_the_end.status_code == 204


def test_a_trimmed_session_goes_on_with_its_numbers(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    first = client.submit(MENU)
    before = first.read_to_end()
    asyncio.run(_trim(gateway_on_each_database))
    second = client.submit({**PROMPT, "session_id": first.session_id}, first.session_token)
    after = second.read_to_end()

    assert second.head == first.id_of(len(before) + 1)
    check_ids(after, first=len(before) + 1)
    check_job(after, "prompt")
    answer = client.get(f"{first.status_url}/events", first.session_token, headers={"Last-Event-ID": before[-1].id})
    assert answer.status_code == 204, "it has all of the first job, whatever happened to the log since"
    with first.session_stream() as stream:
        stream.read_until(lambda frame: frame.id == after[-1].id)
    assert stream.durable == after


async def _trim(gateway: GatewayProcess) -> None:
    database = Database(DatabaseSettings(url=gateway.database_url))
    try:
        # At once: no setting may say so, because a client could not even take the last event.
        retention = Retention(
            database, LogSettings.model_construct(retention_seconds=0, max_events_per_session=100_000)
        )
        assert await retention.trim_old() > 0
        while await retention.trim_old():  # what other tests left in this database may take more than one transaction
            pass
    finally:
        await database.close()


def _check_reset(job: SubmittedJob, open_stream: OpenStream, last_event_id: str, reason: str, *, ended: bool) -> None:
    """stream.open, stream.reset, stream.snapshot, and never an event of before."""
    with open_stream(last_event_id) as stream:
        if ended:
            frames = stream.read_all()
            assert frames.pop().event == "stream.end"
        else:
            frames = stream.read_until("stream.snapshot")
    assert [frame.event for frame in frames] == [None, "stream.open", "stream.reset", "stream.snapshot"]
    _, opening, reset, snapshot = (frame.data for frame in frames)
    assert not stream.durable
    head = job.snapshot()["head"] if ended else job.session_head()
    assert opening == {"outcome": "reset", "epoch": job.epoch, "head": head}
    assert reset == {"reason": reason, "epoch": job.epoch, "head": head}
    assert snapshot["head"] == head
    if ended:
        assert snapshot == job.snapshot()


def test_a_reader_that_retention_overtakes_is_given_all_or_a_reset_and_never_a_part(
    tight_gateway: GatewayProcess, client: Client
) -> None:
    """The gateway's memory may still have what the log has no more; within a sweep (2 s) it lets go of that."""
    job = client.submit(MENU)
    events = job.read_to_end()
    asyncio.run(_trim(tight_gateway))

    deadline = time.monotonic() + RESET_SECONDS
    for open_stream in (job.session_stream, job.stream):
        names: list[str | None] = []
        while "stream.reset" not in names:
            assert time.monotonic() < deadline, names
            with open_stream(job.id_of(5)) as stream:
                frames = stream.read_until(lambda frame: frame.event == "stream.snapshot" or frame.id == events[-1].id)
            names = [frame.event for frame in frames]
            assert stream.durable in ([], events[5:])
        assert names == [None, "stream.open", "stream.reset", "stream.snapshot"]
