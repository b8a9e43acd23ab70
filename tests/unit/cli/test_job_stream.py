"""The client of a job's stream, over a real socket, against everything that may happen to a connection."""

import asyncio

import pytest

from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError, Refused
from gateway.client.stream import Event, JobStream, Link, Snapshot
from tests.unit.cli.scripted_server import ScriptedServer, ended, event, heartbeat, opened, scripted, stream

QUICK = 0.001  # seconds


async def follow(
    server: ScriptedServer, links: list[Link] | None = None, **options: float
) -> tuple[JobStream, list[int]]:
    """The stream after its end, and the numbers of the events that it gave."""
    on_link = links.append if links is not None else None
    job = JobStream(server.address, backoff=Backoff(QUICK, QUICK), on_link=on_link, **options)
    async with asyncio.timeout(10):
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
    async with scripted(stream(opened(4), event(4), event(7), event(9), ended(9))) as server:
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


async def test_no_content_after_the_last_event_is_the_end() -> None:
    gone = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    async with scripted(stream(opened(0), event(1)), gone) as server:
        job, numbers = await follow(server)

    assert numbers == [1]
    assert job.complete


@pytest.mark.parametrize("name", ["stream.busy", "stream.drain"])
async def test_a_server_that_asks_for_time_gets_it(name: str) -> None:
    asked = f'event: {name}\ndata: {{"retry_ms":120}}\n\n'.encode()
    links: list[Link] = []
    async with scripted(stream(opened(0), event(1), asked), stream(opened(1), event(2), ended(2))) as server:
        _, numbers = await follow(server, links)

    assert numbers == [1, 2]
    (wait,) = [link for link in links if link.state == "waiting"]
    assert wait.seconds >= 0.12


async def test_a_reset_gives_a_snapshot_and_goes_on_from_there() -> None:
    reset = b'event: stream.reset\ndata: {"reason":"epoch_changed","epoch":"newepoch","head":"newepoch.40"}\n\n'
    picture = b'event: stream.snapshot\ndata: {"status":"running","head":"newepoch.40"}\n\n'
    cut_before_the_snapshot = stream(opened(40, "newepoch", "reset"), reset)
    whole = stream(opened(40, "newepoch", "reset"), reset, picture, event(41, "newepoch"), ended(41, "newepoch"))
    async with scripted(stream(opened(0), event(1)), cut_before_the_snapshot, whole) as server:
        job = JobStream(server.address, backoff=Backoff(QUICK, QUICK))
        items = [item async for item in job.events()]

    assert server.resumed_from == [None, "k3v9x0ab.1", "k3v9x0ab.1"]
    assert [type(item) for item in items] == [Event, Snapshot, Event]
    assert (str(job.position), job.complete, job.gapless, job.received) == ("newepoch.41", True, False, 1)


async def test_an_event_of_another_log_without_a_reset_is_not_believed() -> None:
    foreign = stream(opened(0), event(1), event(2, "otherlog"))
    async with scripted(foreign, stream(opened(2), event(2), ended(2))) as server:
        job, numbers = await follow(server)

    assert numbers == [1, 2]
    assert str(job.position) == "k3v9x0ab.2"


async def test_a_link_that_falls_silent_is_noticed() -> None:
    silent = stream(opened(0), event(1)) + ScriptedServer.HOLD
    links: list[Link] = []
    async with scripted(silent, stream(opened(2), event(2), ended(2))) as server:
        _, numbers = await follow(server, links, silence_seconds=0.2)

    assert numbers == [1, 2]
    assert [link.reason for link in links if link.state == "waiting"] == ["nothing came for too long"]


async def test_separators_that_only_unicode_knows_do_not_break_an_event() -> None:
    odd = "a\u2028b\u2029c\u0085d"
    async with scripted(stream(opened(0), event(1, note=odd), ended(1))) as server:
        job = JobStream(server.address)
        (item,) = [item async for item in job.events()]

    assert isinstance(item, Event)
    assert item.data["note"] == odd


async def test_a_refusal_that_may_pass_is_tried_again() -> None:
    away = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with scripted(away, stream(opened(0), event(1), ended(1))) as server:
        _, numbers = await follow(server)

    assert numbers == [1]


async def test_a_job_that_is_not_there_is_final() -> None:
    body = b'{"title":"There is nothing here for you","status":404,"detail":"There is no such job."}'
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with scripted(head + body) as server:
        with pytest.raises(Refused, match="no such job"):
            await follow(server)


async def test_a_page_instead_of_a_stream_is_final() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nhey!"
    async with scripted(page) as server:
        with pytest.raises(ProtocolError, match="is not a stream"):
            await follow(server)
