"""Every bad answer and every bad ending of a connection that the client of a stream must survive, or give up at."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError, Refused
from gateway.client.stream import Event, JobStream, Link, Snapshot
from tests.unit.cli.scripted_server import (
    CHUNKED_HEAD,
    STREAM_HEAD,
    ScriptedServer,
    busy,
    chunked,
    control,
    ended,
    event,
    heartbeat,
    opened,
    refusal,
    reset,
    retry,
    scripted,
    snapshot,
    stream,
)

HOLD, DRIP = ScriptedServer.HOLD, ScriptedServer.DRIP
REST = stream(opened(2, outcome="resumed"), event(2), ended(2))
CUT = event(2, note="the price: ￥９８０")


class Viewer:
    """Follows a job to its end in the shortest pauses, and keeps what it was handed and told."""

    def __init__(self, server: ScriptedServer, **options: float) -> None:
        self.links: list[Link] = []
        self.handed: list[Event | Snapshot] = []
        self.job = JobStream(server.address, backoff=Backoff(0.001, 0.001), on_link=self.links.append, **options)

    async def follow(self) -> list[int]:
        async with asyncio.timeout(20):
            async for item in self.job.events():
                self.handed.append(item)
        return [item.id.seq for item in self.handed if isinstance(item, Event)]

    @property
    def reasons(self) -> list[str]:
        return [link.reason for link in self.links if link.state == "waiting"]


@pytest.mark.parametrize("clean", [True, False], ids=["cleanly", "hard"])
@pytest.mark.parametrize("cut", [1, 5, -1, -2, -9, CUT.index("￥".encode()) + 1])
async def test_an_event_that_was_cut_does_not_count(cut: int, clean: bool) -> None:
    part = CUT[:cut]
    async with scripted(chunked(opened(0), event(1), part, cut=not clean), REST) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1, 2]
        assert server.resumed_from == [None, "k3v9x0ab.1"]
    assert (viewer.job.complete, viewer.job.repeated) == (True, 0)


@pytest.mark.parametrize(
    "frame",
    [
        b"id: k3v9x0ab.2\nevent: item.updated\ndata: {\n\n",
        b"id: k3v9x0ab.2\nevent: item.updated\ndata: []\n\n",
        b"id: k3v9x0ab.2\nevent: item.updated\ndata: " + b"[" * 100_000 + b"\n\n",
        b"id: k3v9x0ab.two\nevent: item.updated\ndata: {}\n\n",
        b"id: k3v9x0ab.02\nevent: item.updated\ndata: {}\n\n",
        b"event: stream.head\ndata: {}\n\n",
        control("stream.head", '"head":7'),
        control("stream.busy", '"retry_ms":"soon"'),
        control("stream.busy", '"retry_ms":null'),
        control("stream.snapshot", '"head":null'),
    ],
    ids=["torn", "list", "deep", "no number", "zero", "no head", "number", "words", "null", "no place"],
)  # fmt: skip
async def test_a_frame_that_makes_no_sense_is_asked_for_again(frame: bytes) -> None:
    async with scripted(stream(opened(0), event(1), frame) + HOLD, REST) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1, 2]
        assert server.resumed_from == [None, "k3v9x0ab.1"]
    assert viewer.job.gaps == 1


async def test_frames_of_no_known_kind_are_left_to_newer_clients() -> None:
    unknown = b"event: stream.weather\ndata: {}\n\nevent: hint\ndata: not json\n\ndata: x\n\n: comment\n\nfoo: bar\n\n"
    async with scripted(stream(opened(0), unknown, event(1), event(2, kind="item.praised"), ended(2))) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1, 2]
    assert (viewer.job.gaps, viewer.job.connections) == (0, 1)


@pytest.mark.parametrize(
    "foreign",
    [
        stream(opened(0), event(1), event(2, "otherlog")),
        stream(opened(0), event(1), heartbeat(1, "otherlog")),
        stream(opened(0), event(1), ended(1, "otherlog")),
        stream(event(1)),
        stream(heartbeat(1)),
    ],
    ids=["event", "head", "end", "event without an opening", "head without an opening"],
)
async def test_another_log_without_a_reset_is_not_believed(foreign: bytes) -> None:
    whole = stream(opened(5, "newepoch"), snapshot(5, "newepoch"), event(6, "newepoch"), ended(6, "newepoch"))
    async with scripted(foreign + HOLD, whole) as server:
        viewer = Viewer(server)
        await viewer.follow()
        assert server.resumed_from == [None, "snapshot"]
    assert [type(item) for item in viewer.handed[-2:]] == [Snapshot, Event]
    assert (str(viewer.job.position), viewer.job.complete) == ("newepoch.6", True)


async def test_a_connection_that_resumes_in_another_log_is_left_at_once() -> None:
    strange = stream(opened(9, "otherlog", "resumed")) + HOLD
    async with scripted(stream(opened(0), event(1)), strange, stream(opened(9), snapshot(9), ended(9))) as server:
        viewer = Viewer(server)
        await viewer.follow()
        assert server.resumed_from == [None, "k3v9x0ab.1", "snapshot"]
    assert viewer.job.complete


async def test_an_event_in_place_of_the_snapshot_that_was_asked_for_is_not_believed() -> None:
    lost = stream(opened(0), event(1), event(2, "otherlog"))
    async with scripted(lost, stream(opened(9), event(9)), stream(opened(9), snapshot(9), ended(9))) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1]
        assert server.resumed_from == [None, "snapshot", "snapshot"]
    assert viewer.job.complete


async def test_after_a_reset_nothing_counts_but_the_snapshot() -> None:
    partial = stream(opened(9, outcome="reset"), reset(9), event(9)) + HOLD
    claimed = stream(opened(1, outcome="reset"), reset(1), heartbeat(1)) + HOLD
    whole = stream(opened(9), snapshot(9), ended(9))
    async with scripted(stream(opened(0), event(1)), partial, claimed, whole) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1]
        assert server.resumed_from == [None, "k3v9x0ab.1", "snapshot", "snapshot"]
    assert (viewer.job.snapshots, viewer.job.complete) == (1, True)


async def test_bytes_that_never_make_an_event_are_no_sign_of_life() -> None:
    async with scripted(stream(opened(0), event(1)) + DRIP, REST) as server:
        viewer = Viewer(server, silence_seconds=5.0, frame_seconds=1.0)
        assert await viewer.follow() == [1, 2]
    assert viewer.reasons == ["no whole event came for too long"]


async def test_the_time_that_the_caller_takes_is_not_held_against_the_connection() -> None:
    async with scripted(chunked(opened(0), event(1)), REST) as server:
        viewer = Viewer(server, frame_seconds=1.0)
        async with asyncio.timeout(20), aclosing(viewer.job.events()) as items:
            await anext(items)
            await asyncio.sleep(1.5)
            async for _item in items:
                pass
    assert viewer.reasons == ["the server closed the connection"]


async def test_an_answer_that_never_gets_past_its_head_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.client.stream.CONNECT_SECONDS", 1.5)
    dripping = b"HTTP/1.1 200 OK\r\nX-Slow: " + DRIP
    async with scripted(dripping, stream(opened(0), event(1), event(2), ended(2))) as server:
        viewer = Viewer(server, silence_seconds=1.5)
        assert await viewer.follow() == [1, 2]
    assert viewer.reasons == ["no answer in time"]


@pytest.mark.parametrize(
    "endless",
    [b"data: " + b"x" * 20_000_000, b"data: x\n" * 2_500_000, b":" + b"x" * 20_000_000, b"x" * 20_000_000],
    ids=["a line", "lines without a blank one", "a comment", "a field's name"],
)
async def test_an_event_that_never_ends_is_given_up_before_it_fills_the_memory(endless: bytes) -> None:
    async with scripted(stream(opened(0), event(1), endless) + HOLD) as server:
        viewer = Viewer(server)
        with pytest.raises(ProtocolError, match="more than 16777216 bytes"):
            await viewer.follow()
    assert str(viewer.job.position) == "k3v9x0ab.1"


async def test_an_event_just_below_the_limit_is_taken() -> None:
    large = event(2, note="x" * 15_000_000)
    async with scripted(stream(opened(0), event(1), large, event(3), ended(3))) as server:
        assert await Viewer(server).follow() == [1, 2, 3]


async def test_a_small_compressed_answer_cannot_become_a_large_one() -> None:
    packed = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + b"\x1f\x8b"
    async with scripted(packed) as server:
        with pytest.raises(ProtocolError, match="is not a stream"):
            await Viewer(server).follow()
        assert "accept-encoding: identity" in server.requests[0]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_refusal_that_may_pass_is_tried_again(status: int) -> None:
    async with scripted(refusal(status, b"<html>"), stream(opened(0), event(1), event(2), ended(2))) as server:
        assert await Viewer(server).follow() == [1, 2]


async def test_a_proxy_that_says_when_is_obeyed() -> None:
    away = refusal(503, b"", b"Retry-After: 1")
    async with scripted(away, stream(opened(0), event(1), event(2), ended(2))) as server:
        viewer = Viewer(server)
        await viewer.follow()
    assert [link.seconds for link in viewer.links if link.state == "waiting"] == [1.0]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
async def test_a_refusal_that_stays_is_final(status: int) -> None:
    body = b'{"title":"There is nothing here for you","status":404,"detail":"There is no such job."}'
    async with scripted(refusal(status, body, b"Content-Type: application/problem+json")) as server:
        with pytest.raises(Refused, match="no such job") as caught:
            await Viewer(server).follow()
        assert len(server.requests) == 1
    assert caught.value.status == status


async def test_the_text_of_a_refusal_may_be_endless() -> None:
    endless = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" + b"no " * 1_000_000
    async with scripted(endless + HOLD) as server:
        with pytest.raises(Refused, match="404 Not Found"):
            await Viewer(server).follow()


@pytest.mark.parametrize(
    "head",
    [b"Content-Type: text/html", b"Content-Type: text/event-streamer", b"X-None: 1"],
    ids=["html", "like", "none"],
)
async def test_what_is_no_stream_is_final(head: bytes) -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: 4\r\n\r\nhey!") as server:
        with pytest.raises(ProtocolError, match="is not a stream"):
            await Viewer(server).follow()


@pytest.mark.parametrize("kind", [b"text/event-stream; charset=latin-1", b"Text/Event-Stream"])
async def test_a_stream_is_utf_8_whatever_its_head_says(kind: bytes) -> None:
    said = stream(b"\xef\xbb\xbf" + opened(0), event(1, note="親子丼 \u2028 é"), ended(1))
    async with scripted(said.replace(b"text/event-stream", kind, 1)) as server:
        viewer = Viewer(server)
        await viewer.follow()
    (item,) = viewer.handed
    assert isinstance(item, Event)
    assert item.data["note"] == "親子丼 \u2028 é"


async def test_an_answer_that_is_not_http_is_tried_again() -> None:
    async with scripted(b"\x16\x03\x01\r\n\r\n", b"", stream(opened(0), event(1), event(2), ended(2))) as server:
        viewer = Viewer(server)
        assert await viewer.follow() == [1, 2]
    assert viewer.reasons == ["the connection broke", "the connection broke"]


async def test_chunks_that_are_garbage_cost_the_connection_and_no_event() -> None:
    garbage = CHUNKED_HEAD + b"%x\r\n%b\r\nzz\r\n" % (len(opened(0) + event(1)), opened(0) + event(1))
    async with scripted(garbage, REST) as server:
        assert await Viewer(server).follow() == [1, 2]


async def test_a_server_can_neither_send_a_client_away_for_a_day_nor_make_it_hammer() -> None:
    absurd = stream(retry(999_999_999), opened(0), event(1), busy(-5))
    async with scripted(absurd, REST) as server:
        backoff = Backoff(0.001, 0.001)
        backoff.ask(86_400_000)
        assert backoff.next_seconds() == 300.0
        viewer = Viewer(server)
        assert await viewer.follow() == [1, 2]


async def test_pauses_grow_while_nothing_comes_of_the_connections_and_start_again_when_something_does() -> None:
    empty = stream(opened(2, outcome="resumed"))
    scripts = [stream(opened(0), event(1)), *[empty] * 6, stream(opened(2), event(2)), stream(opened(2), ended(2))]
    ceilings: list[int] = []

    class Watched(Backoff):
        def next_seconds(self) -> float:
            ceilings.append(self._failures)
            super().next_seconds()
            return 0.0

    async with scripted(*scripts) as server:
        job = JobStream(server.address, backoff=Watched())
        async with asyncio.timeout(20):
            assert [item.id.seq async for item in job.events() if isinstance(item, Event)] == [1, 2]
    assert ceilings == [0, 1, 2, 3, 4, 5, 6, 0]
