"""The client of a job's stream, over a real socket, against everything that may happen to a connection."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.client.address import JobAddress
from gateway.client.backoff import Backoff
from gateway.client.stream import Event, EventId, JobStream, Link, Snapshot
from tests.unit.cli.scripted_server import (
    JOB_ID,
    NO_CONTENT,
    ScriptedServer,
    busy,
    chunked,
    ended,
    event,
    heartbeat,
    opened,
    reset,
    retry,
    scripted,
    snapshot,
    stream,
)

QUICK = 0.001  # seconds


async def follow(
    server: ScriptedServer, links: list[Link] | None = None, **options: float
) -> tuple[JobStream, list[int]]:
    """The stream after its end, and the numbers of the events that it gave."""
    on_link = links.append if links is not None else None
    job = JobStream(server.address, backoff=Backoff(QUICK, QUICK), on_link=on_link, **options)
    async with asyncio.timeout(20):
        numbers = [item.id.seq async for item in job.events() if isinstance(item, Event)]
    return job, numbers


async def test_a_stream_without_trouble_is_complete() -> None:
    async with scripted(stream(opened(0), event(1), event(2), heartbeat(2), event(3), ended(3))) as server:
        job, numbers = await follow(server)

    assert numbers == [1, 2, 3]
    assert (job.complete, job.gapless, job.status, job.received) == (True, True, "completed", 3)


async def test_the_token_travels_in_a_header_and_never_in_the_url() -> None:
    async with scripted(stream(opened(0), event(1), ended(1))) as server:
        await follow(server)

    assert "authorization: bearer the-token" in server.requests[0]
    assert "the-token" not in server.requests[0].splitlines()[0]


async def test_a_cut_connection_resumes_after_the_last_whole_event() -> None:
    cut = event(3)[:-1]  # its blank line is missing, so it does not count
    links: list[Link] = []
    async with scripted(stream(opened(0), event(1), event(2), cut), stream(opened(3), event(3), ended(3))) as server:
        job, numbers = await follow(server, links)

    assert numbers == [1, 2, 3]
    assert server.resumed_from == [None, "k3v9x0ab.2"]
    assert [link.state for link in links] == ["live", "waiting", "live"]
    assert job.complete


async def test_an_event_that_comes_again_is_given_once() -> None:
    async with scripted(
        stream(opened(0), event(1), event(2)), stream(opened(3), event(2), event(3), ended(3))
    ) as server:
        job, numbers = await follow(server)

    assert numbers == [1, 2, 3]
    assert (job.repeated, job.received) == (1, 3)


async def test_numbers_of_other_jobs_in_between_are_no_loss() -> None:
    async with scripted(stream(opened(4), event(4, kind="job.accepted"), event(7), event(9), ended(9))) as server:
        job, numbers = await follow(server)

    assert numbers == [4, 7, 9]
    assert (job.complete, job.gapless) == (True, False)


@pytest.mark.parametrize("claim", [heartbeat(3), ended(3)], ids=["heartbeat", "end"])
async def test_a_head_that_we_do_not_have_makes_it_ask_again(claim: bytes) -> None:
    async with scripted(stream(opened(0), event(1), claim), stream(opened(3), event(2), event(3), ended(3))) as server:
        job, numbers = await follow(server)

    assert numbers == [1, 2, 3]
    assert server.resumed_from == [None, "k3v9x0ab.1"]
    assert job.complete


async def test_a_snapshot_of_an_ended_job_tells_how_it_ended() -> None:
    trimmed = stream(opened(9), event(8), event(9))
    async with scripted(trimmed, stream(opened(9), snapshot(9, status="failed")), NO_CONTENT) as server:
        job, _ = await follow(server)

    assert server.resumed_from == [None, "snapshot", "k3v9x0ab.9"]
    assert (job.complete, job.status) == (True, "failed")


async def test_who_begins_at_the_last_event_is_not_told_how_the_job_ended() -> None:
    async with scripted(NO_CONTENT) as server:
        job = JobStream(server.address, position=EventId("k3v9x0ab", 9))
        async with asyncio.timeout(20):
            assert [item async for item in job.events()] == []

    assert (job.complete, job.status) == (True, None)


async def test_no_content_after_the_last_event_is_the_end() -> None:
    last = event(2, kind="job.completed_partial")
    async with scripted(stream(opened(0), event(1), last), NO_CONTENT) as server:
        job, numbers = await follow(server)

    assert numbers == [1, 2]
    assert (job.complete, job.status) == (True, "completed_partial")


@pytest.mark.parametrize("name", ["stream.busy", "stream.drain"])
async def test_a_server_that_asks_for_time_gets_it(name: str) -> None:
    links: list[Link] = []
    async with scripted(stream(opened(0), event(1), busy(120, name)), stream(opened(1), event(2), ended(2))) as server:
        _, numbers = await follow(server, links)

    assert numbers == [1, 2]
    (wait,) = [link for link in links if link.state == "waiting"]
    assert wait.seconds >= 0.12


async def test_a_reset_gives_a_snapshot_and_goes_on_from_there() -> None:
    start = opened(40, "newepoch", "reset") + reset(40, "newepoch")
    cut_before_the_snapshot = stream(start)
    whole = stream(start, snapshot(40, "newepoch"), event(41, "newepoch"), ended(41, "newepoch"))
    async with scripted(stream(opened(0), event(1)), cut_before_the_snapshot, whole) as server:
        job = JobStream(server.address, backoff=Backoff(QUICK, QUICK))
        items = [item async for item in job.events()]

    assert server.resumed_from == [None, "k3v9x0ab.1", "k3v9x0ab.1"]
    assert [type(item) for item in items] == [Event, Snapshot, Event]
    assert (str(job.position), job.complete, job.gapless, job.received) == ("newepoch.41", True, False, 2)
    assert (job.snapshots, job.since_snapshot) == (1, 1)


async def test_a_link_that_falls_silent_is_noticed() -> None:
    silent = stream(opened(0), event(1)) + ScriptedServer.HOLD
    links: list[Link] = []
    async with scripted(silent, stream(opened(2), event(2), ended(2))) as server:
        _, numbers = await follow(server, links, silence_seconds=2)

    assert numbers == [1, 2]
    assert [link.reason for link in links if link.state == "waiting"] == ["nothing came for too long"]


async def test_separators_that_only_unicode_knows_do_not_break_an_event() -> None:
    odd = "a\u2028b\u2029c\u0085d"
    async with scripted(stream(opened(0), event(1, note=odd), ended(1))) as server:
        job = JobStream(server.address)
        (item,) = [item async for item in job.events()]

    assert isinstance(item, Event)
    assert item.data["note"] == odd


async def test_a_connection_that_the_server_renews_is_no_trouble() -> None:
    links: list[Link] = []
    old = chunked(retry(30), opened(0), event(1), heartbeat(1))
    async with scripted(old, stream(opened(2), event(2), ended(2))) as server:
        job = JobStream(server.address, backoff=Backoff(QUICK, 1.0), on_link=links.append)
        async with asyncio.timeout(20):
            numbers = [item.id.seq async for item in job.events() if isinstance(item, Event)]

    assert numbers == [1, 2]
    assert [(link.state, link.seconds) for link in links] == [("live", 0), ("renewing", 0.03), ("live", 0)]
    assert (job.connections, job.gaps) == (2, 0)


async def test_a_proof_does_not_turn_a_broken_connection_into_a_renewed_one() -> None:
    links: list[Link] = []
    broken = chunked(opened(0), event(1), heartbeat(1), cut=True)
    async with scripted(broken, stream(opened(2), event(2), ended(2))) as server:
        await follow(server, links)

    assert [link.reason for link in links if link.state != "live"] == ["the connection broke"]


async def test_a_clean_end_without_a_proof_is_a_lost_connection() -> None:
    links: list[Link] = []
    async with scripted(chunked(opened(0), heartbeat(0), event(1)), stream(opened(1), ended(1))) as server:
        await follow(server, links)

    assert [link.state for link in links] == ["live", "waiting", "live"]


async def test_the_position_is_that_of_the_last_event_that_was_handed_out() -> None:
    whole = stream(opened(0), event(1), event(2), event(3), event(4), ended(4))
    rest = stream(opened(4, outcome="resumed"), event(3), event(4), ended(4))
    async with scripted(whole, rest) as server:
        job = JobStream(server.address)
        async with aclosing(job.events()) as items:
            async for item in items:
                if isinstance(item, Event) and item.id.seq == 2:
                    break
        assert str(job.position) == "k3v9x0ab.2"
        assert (job.received, job.complete) == (2, False)

        others = [item.id.seq async for item in job.events() if isinstance(item, Event)]

    assert others == [3, 4]
    assert server.resumed_from == [None, "k3v9x0ab.2"]
    assert job.complete


async def test_an_exception_of_the_caller_does_not_lose_the_place() -> None:
    async with scripted(
        stream(opened(0), event(1), event(2), ended(2)), stream(opened(2), event(2), ended(2))
    ) as server:
        job = JobStream(server.address)
        with pytest.raises(ZeroDivisionError):
            await _fail_at_the_first(job)
        assert str(job.position) == "k3v9x0ab.1"
        assert [str(item.id) async for item in job.events() if isinstance(item, Event)] == ["k3v9x0ab.2"]


async def test_a_stream_can_begin_at_an_event_of_another_job() -> None:
    async with scripted(stream(opened(5), heartbeat(5), ended(5))) as server:
        job = JobStream(server.address, position=EventId("k3v9x0ab", 9))
        async with asyncio.timeout(20):
            assert [item async for item in job.events()] == []

    assert (job.complete, job.gaps, job.connections) == (True, 0, 1)


async def test_a_log_that_lost_the_beginning_of_a_job_is_replaced_by_a_snapshot() -> None:
    trimmed = stream(opened(9), event(8), event(9))
    async with scripted(trimmed, stream(opened(9), snapshot(9), ended(9))) as server:
        job = JobStream(server.address, backoff=Backoff(QUICK, QUICK))
        async with asyncio.timeout(20):
            items = [item async for item in job.events()]

    assert [type(item) for item in items] == [Snapshot]
    assert server.resumed_from == [None, "snapshot"]
    assert (job.complete, job.received) == (True, 0)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_watch_on_silence_has_bounds(seconds: float) -> None:
    with pytest.raises(ValueError, match="silence_seconds"):
        JobStream(JobAddress("http://127.0.0.1:1", JOB_ID, None), silence_seconds=seconds)


async def _fail_at_the_first(job: JobStream) -> None:
    async with aclosing(job.events()) as items:
        async for _item in items:
            raise ZeroDivisionError
