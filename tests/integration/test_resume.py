"""Drop a stream anywhere, come back with the last id, and nothing is missing, doubled or out of order."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from infra.database.engine import Database
from infra.database.retention import SESSIONS_AT_ONCE, Retention
from infra.settings import DatabaseSettings
from tests.client import MENU, PROMPT, Client, SubmittedJob, menu_of
from tests.fold import fold
from tests.gateway_process import GatewayProcess
from tests.log_rules import check_ids, check_job
from tests.streams import Frame

OpenStream = Callable[..., Any]


def by_header(event_id: str) -> dict[str, Any]:
    return {"last_event_id": event_id}


def by_snake_case(event_id: str) -> dict[str, Any]:
    return {"params": {"last_event_id": event_id}}


def by_camel_case(event_id: str) -> dict[str, Any]:
    return {"params": {"lastEventId": event_id}}


WAYS = (by_header, by_snake_case, by_camel_case)


def test_from_every_single_event_of_a_finished_job_the_rest_comes_exactly(
    gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()

    for seq in range(len(events)):
        with job.stream(job.id_of(seq)) as stream:
            opening = stream.read_until("stream.open")[-1]
            end = stream.read_all()[-1]
        assert opening.data == {"outcome": "resumed", "epoch": job.epoch, "head": events[-1].id}
        assert stream.durable == events[seq:]
        assert end.event == "stream.end"


@pytest.mark.parametrize("way", WAYS)
def test_the_last_id_is_taken_from_each_of_its_places(
    gateway_on_each_database: GatewayProcess, client: Client, way: Callable[[str], dict[str, Any]]
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    for open_stream in (job.stream, job.session_stream):
        with open_stream(**way(job.id_of(10))) as stream:
            stream.read_until(lambda frame: frame.id == events[-1].id)
        assert stream.durable == events[10:]


def test_the_header_wins_over_the_query_and_snake_case_over_camel_case(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    query = {"last_event_id": job.id_of(5), "lastEventId": job.id_of(3)}
    with job.stream(job.id_of(8), params=query) as stream:
        stream.read_all()
    assert stream.durable == events[8:]
    with job.stream(params=query) as stream:
        stream.read_all()
    assert stream.durable == events[5:]


def test_an_empty_last_id_is_none(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    with job.stream("", params={"last_event_id": "", "lastEventId": ""}) as stream:
        opening = stream.read_until("stream.open")[-1]
        stream.read_all()

    assert opening.data["outcome"] == "new"
    assert stream.durable == events


def test_a_reconnect_after_the_end_is_over_with_204(gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    for way in WAYS:
        options = way(events[-1].id or "")
        headers = {"Last-Event-ID": options.pop("last_event_id")} if "last_event_id" in options else {}
        answer = client.get(f"{job.status_url}/events", job.session_token, headers=headers, **options)
        assert (answer.status_code, answer.content) == (204, b"")


def test_past_the_end_of_the_job_but_within_the_session_is_the_end_too(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    later = client.submit({**PROMPT, "session_id": job.session_id}, job.session_token)
    events = later.read_to_end()

    answer = client.get(f"{job.status_url}/events", job.session_token, params={"last_event_id": events[-1].id})
    assert answer.status_code == 204


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_number_of_drops_in_a_running_job_gives_everything_once_and_in_order(
    slow_gateway: GatewayProcess, client: Client, seed: int
) -> None:
    chance = random.Random(seed)
    job = client.submit(menu_of(40))
    received: list[Frame] = []
    connections = 0
    while not received or not (received[-1].event or "").startswith("job.completed"):
        connections += 1
        options = chance.choice(WAYS)(received[-1].id or "") if received else {}
        with job.stream(**options) as stream:
            opening = stream.read_until("stream.open")[-1]
            assert opening.data["outcome"] == ("resumed" if received else "new")
            wanted = chance.randint(0, 40)
            for frame in stream if wanted else ():
                if frame.event == "stream.end" or len(stream.durable) >= wanted:
                    break
            # What had arrived behind the last frame is lost with the connection, as in a browser.
            received += stream.durable

    assert connections > 5
    check_ids(received)
    check_job(received, "menu")
    assert received == job.read_to_end()


def test_a_position_of_another_life_of_the_log_starts_again_from_a_snapshot(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    job.read_to_end()
    other = "zzzzzzzz" if job.epoch != "zzzzzzzz" else "yyyyyyyy"
    for seq in (0, 3, 10_000):
        _check_reset(job, job.stream, f"{other}.{seq}", "epoch_changed", ended=True)
        _check_reset(job, job.session_stream, f"{other}.{seq}", "epoch_changed", ended=False)


def test_a_position_ahead_of_the_log_starts_again_from_a_snapshot(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    events = job.read_to_end()
    for seq in (len(events) + 1, 10**17):
        _check_reset(job, job.stream, job.id_of(seq), "ahead_of_head", ended=True)
        _check_reset(job, job.session_stream, job.id_of(seq), "ahead_of_head", ended=False)


def test_a_reset_in_a_running_job_goes_on_live_after_the_snapshot(slow_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(80))
    with job.stream() as running:
        running.read_until(lambda frame: frame.event == "item.updated")
    with job.stream(f"{job.epoch}.99999") as stream:
        snapshot = stream.read_until("stream.snapshot")[-1].data
        stream.read_all()

    assert snapshot["status"] == "running"
    assert stream.durable
    assert fold(snapshot, stream.durable) == job.snapshot()


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
        retention = Retention(database, 0)
        trimmed = await retention.trim()
        assert trimmed > 0
        while trimmed == SESSIONS_AT_ONCE:
            trimmed = await retention.trim()
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


def test_a_reader_that_retention_overtakes_is_reset_and_never_given_a_part(
    tight_gateway: GatewayProcess, client: Client
) -> None:
    """With a ring of one event the channel that is still open in the gateway cannot help."""
    job = client.submit(MENU)
    job.read_to_end()
    asyncio.run(_trim(tight_gateway))

    for open_stream in (job.session_stream, job.stream):
        deadline = time.monotonic() + 6
        names: list[str | None] = []
        while "stream.snapshot" not in names:
            assert time.monotonic() < deadline, names
            names = []
            with open_stream(job.id_of(5)) as stream:
                for frame in stream:
                    names.append(frame.event)
                    if frame.event == "stream.snapshot":
                        break
            assert not stream.durable
        assert names == [None, "stream.open", "stream.reset", "stream.snapshot"]
