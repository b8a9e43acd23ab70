"""One browser on an open stream, over the product's own HTTP protocol in simulated time: live, slow, gone, at its end.

The bytes are counted where a browser would read them. What it held of the process must be given back, whatever ends it.
"""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

import gateway.streaming.flusher
from gateway.streaming.opening import Opener
from gateway.streaming.position import parse_position
from gateway.streaming.response import EventStream
from infra.database.log import LogPosition
from infra.errors import DatabaseUnavailable
from infra.settings import SseSettings
from tests.unit.streaming.simulated_house import SESSION, SSE, House, Visitor, read_for, simulated, work_of_streams
from tests.unit.streaming.simulated_time import run_simulated
from tests.unit.streaming.simulated_world import JOB


@simulated
async def test_a_live_stream_has_no_task_and_is_written_to_at_once() -> None:
    house = House()
    before = len(asyncio.all_tasks())
    visitors = [Visitor(house) for _ in range(20)]
    await read_for(0.05, *visitors)
    assert house.live == 20
    assert work_of_streams() == []
    assert len(asyncio.all_tasks()) == before
    house.tell(5)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for visitor in visitors:
        visitor.read()
        assert visitor.numbers == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(asyncio.all_tasks()) == before
    await house.close()
    house.assert_all_given_back()


@simulated
async def test_a_slow_browser_is_brought_up_again_and_the_others_notice_nothing() -> None:
    house = House()
    slow, quick = Visitor(house), Visitor(house)
    await read_for(0.05, slow, quick)
    for round_ in range(4):
        while house.live == 2:  # some fit in; the ring of eight forgets what the slow one lacks
            house.tell(3)
            await read_for(0.002, quick)
        assert quick.numbers == list(range(1, house.head + 1))
        assert work_of_streams() == ["Follower._recover"]
        held_back = len(slow.connection.buffer)
        house.tell(50 if round_ % 2 else 1)
        await read_for(0.002, quick)
        assert len(slow.connection.buffer) == held_back, "what is written to a slow browser only piles up"
        await read_for(0.05, slow, quick)
        assert slow.numbers == quick.numbers == list(range(1, house.head + 1))
        assert house.live == 2
        assert work_of_streams() == []
    await house.close()
    house.assert_all_given_back()


@simulated
async def test_a_browser_that_takes_nothing_for_too_long_is_cut_and_gives_all_back() -> None:
    house = House()
    visitor = Visitor(house)
    await read_for(0.05, visitor)
    house.tell(100)
    await asyncio.sleep(SSE.send_timeout_seconds - 1)
    assert house.admission.connections == 1
    assert not visitor.connection.is_over
    await asyncio.sleep(2)
    assert visitor.connection.is_over
    assert house.closed("cut") == 1
    house.assert_all_given_back()
    await house.close()


@simulated
async def test_a_browser_that_takes_nothing_of_its_replay_is_cut_and_gives_all_back() -> None:
    house = House(events=400)
    visitor = Visitor(house)
    await asyncio.sleep(SSE.send_timeout_seconds + 1)
    assert visitor.connection.is_over
    assert house.closed("cut") == 1
    house.assert_all_given_back()
    await house.close()


PATHS = ["session//", "session/2/", "session//snapshot", "session/99999/", "job/2/", "job//snapshot"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["the client leaves", "the request is cancelled"])
def test_whenever_a_browser_goes_it_gives_all_back(path: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """At every turn of the event loop from the request to a stream that has ended."""

    async def go_after(turns: int) -> bool:
        house = House(SseSettings(ring_events=8, send_timeout_seconds=0.02), events=60)
        visitor = Visitor(house, path)
        # What the bus did not bring: a repair is under way, or the snapshot is ahead of the channel.
        house.write(20)
        for turn in range(turns):
            await asyncio.sleep(0 if turn % 3 else 0.0004)
            if turn % 11 == 10:
                visitor.read()
            if turn == 30:
                house.tell(10)
            if turn == 60:
                house.tell(1, "job.completed")
        if way == "the client leaves":
            visitor.connection.lose()
        else:
            for task in tuple(house.server.state.tasks):
                task.cancel()
            await asyncio.sleep(0)
            visitor.connection.lose()
        was_over = house.closed("ended") == 1
        await asyncio.sleep(0)
        assert "Follower._recover" not in work_of_streams(), "its task goes on for nobody"
        await asyncio.sleep(2)
        assert house.admission.connections == 0, f"after {turns} turns a place is still taken"
        house.assert_all_given_back()
        await house.close()
        return was_over

    over = [run_simulated(go_after(turns)) for turns in range(110)]
    assert not over[0]
    assert over[-1] == path.startswith("job"), "a stream was not followed to its end"
    if way == "the client leaves":
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("blocked", [False, True], ids=["reads all", "is slow"])
def test_a_plain_request_that_is_cancelled_at_any_moment_gives_all_back(blocked: bool) -> None:
    async def cancel_after(turns: int) -> None:
        house = House(events=60)
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await never.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await asyncio.sleep(1000 if blocked and message["type"] == "http.response.body" else 0)

        scope = {"type": "http", "method": "GET", "client": None, "path": "/session//", "headers": [(b"host", b"a")]}
        request = asyncio.create_task(house._serve(scope, receive, send))
        for turn in range(turns):
            await asyncio.sleep(0 if turn % 3 else 0.0004)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        await asyncio.sleep(0.1)
        house.assert_all_given_back()
        await house.close()

    for turns in range(60):
        run_simulated(cancel_after(turns))


def test_a_request_that_is_cancelled_before_its_pump_began_gives_all_back() -> None:
    """With everything at hand a stream is live before the loop turns once."""

    async def cancel_at_once() -> None:
        house = House()
        async with house.hub.open(SESSION):
            opener = Opener(SESSION, None, None, parse_position("epoch000.3", ""), False, house.context.log, None)  # type: ignore[arg-type]

            async def nothing(*_message: Any) -> Any:
                return None

            scope: Any = {"type": "http", "method": "GET", "client": None}
            request = asyncio.create_task(EventStream(house.context, opener)(scope, nothing, nothing))
            for _ in range(100):
                if house.channel.crowds:
                    break
                await asyncio.sleep(0)
            request.cancel()
            with suppress(asyncio.CancelledError):
                await request
        await asyncio.sleep(0)
        house.assert_all_given_back()
        await house.close()

    run_simulated(cancel_at_once())


@pytest.mark.parametrize("kind", ["session", "job"])
@pytest.mark.parametrize("bus_seconds", [0.001, 0.01, 0.5, None], ids=["soon", "late", "too late", "never"])
def test_a_snapshot_that_is_newer_than_the_bus_is_followed_by_what_it_lacks_only(
    kind: str, bus_seconds: float | None
) -> None:
    async def live() -> None:
        house = House()
        first = Visitor(house)  # the channel stands at 3
        await read_for(0.05, first)
        message = house.write(4)
        visitor = Visitor(house, f"{kind}//snapshot")
        if bus_seconds is not None:
            asyncio.get_running_loop().call_later(bus_seconds, house.hub.receive, message)
        await read_for(1.0, visitor, first)
        house.tell(2)
        await read_for(0.1, visitor, first)
        assert visitor.frames[1].data["head"] == "epoch000.7"
        assert visitor.numbers == [8, 9]
        assert first.numbers == list(range(1, 10))
        assert house.live == 2
        await house.close()

    run_simulated(live())


@simulated
async def test_a_resume_ahead_of_the_bus_goes_on_from_there() -> None:
    house = House()
    first = Visitor(house)
    await read_for(0.05, first)
    message = house.write(4)
    visitor = Visitor(house, "session/6/")  # another gateway was faster
    await read_for(0.005, visitor, first)
    house.hub.receive(message)
    await read_for(0.1, visitor, first)
    assert visitor.numbers == [7]
    await house.close()


@simulated
async def test_a_stream_of_age_ends_with_the_proof_and_leaves_the_connection_for_the_next_request() -> None:
    house = House(SseSettings(max_age_seconds=60, heartbeat_seconds=15))
    visitor = Visitor(house)
    ended_at = 0.0
    while not visitor.reader.ended:
        await read_for(0.1, visitor)
        ended_at = asyncio.get_running_loop().time()
    assert 48 <= ended_at <= 60.3
    assert [visitor.frames[-1].name, visitor.frames[-1].data["head"]] == ["stream.head", "epoch000.3"]
    assert house.closed("aged") == 1
    house.assert_all_given_back()
    assert not visitor.connection.is_closing()
    house.tell(1)
    visitor.ask("session/3/")
    await read_for(0.1, visitor)
    assert visitor.numbers == [1, 2, 3, 4]
    await house.close()


@simulated
async def test_a_drain_ends_live_and_slow_streams_and_those_that_are_brought_up() -> None:
    house = House()
    live, slow = Visitor(house), Visitor(house)
    await read_for(0.05, live, slow)
    house.tell(60)
    await read_for(0.01, live)
    replaying = Visitor(house, "session/1/")
    await read_for(0.01, live)
    assert (house.live, house.admission.connections) == (1, 3)
    house.hub.drain()
    await read_for(0.01, live)
    assert live.names[-1] == "stream.drain"
    assert house.admission.connections == 2, "who is slow may take what was sent first"
    await read_for(0.1, live, slow, replaying)
    for visitor in (slow, replaying):
        assert visitor.names[-1] == "stream.drain"
        assert b"retry: " in visitor.raw[-100:]
        assert visitor.numbers == list(range(visitor.numbers[0], visitor.numbers[-1] + 1))
    assert house.closed("drained") == 3
    house.assert_all_given_back()
    live.ask("session//")
    await read_for(0.1, live)
    assert live.names[-1] == "stream.busy"
    await house.close()


@pytest.mark.parametrize("ring_events", [8, 256], ids=["it follows what was too much", "it is part of it"])
@simulated
async def test_a_job_ends_exactly_with_its_last_event_also_for_whom_that_one_was_too_much(ring_events: int) -> None:
    house = House(SseSettings(ring_events=ring_events))
    quick, slow = Visitor(house, "job//"), Visitor(house, "job//")
    await read_for(0.05, quick, slow)
    house.tell(40, "stage.started")
    house.tell(1, "job.completed")
    await read_for(0.01, quick)
    assert quick.names[-2:] == ["job.completed", "stream.end"]
    assert quick.frames[-1].data == {"job_id": JOB, "status": "completed", "head": "epoch000.44"}
    assert house.admission.connections == 1
    await read_for(0.1, slow)
    assert slow.frames[-1] == quick.frames[-1]
    assert slow.numbers == quick.numbers == list(range(1, 45))
    assert house.closed("ended") == 2
    house.assert_all_given_back()
    quick.ask("job/44/")
    await read_for(0.05, quick)
    assert quick.reader.statuses == [200, 204]
    await house.close()


@simulated
async def test_a_log_of_another_life_ends_the_stream_between_two_events() -> None:
    house = House()
    visitor = Visitor(house)
    await read_for(0.05, visitor)
    house.channel.note(LogPosition("epoch001", 3, 0))
    await read_for(0.05, visitor)
    assert visitor.reader.ended == 1
    assert house.closed("lost") == 1
    house.assert_all_given_back()
    await house.close()


@pytest.fixture
def _slow_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flush takes longer than the window, as far as the flusher can see."""
    looks = iter(range(1_000_000))
    clock = SimpleNamespace(
        perf_counter=lambda: asyncio.get_running_loop().time() + 1e-9 * next(looks), time=lambda: 0.0
    )
    monkeypatch.setattr(gateway.streaming.flusher, "time", clock)
    monkeypatch.setattr(gateway.streaming.flusher, "PAUSE_PER_FLUSH", 1e12)


@pytest.mark.usefixtures("_slow_flushes")
@pytest.mark.parametrize("kind", ["session", "job"])
def test_a_heartbeat_names_nothing_that_has_not_been_written(kind: str) -> None:
    async def live() -> None:
        house = House(SseSettings(flush_window_ms=1000, heartbeat_seconds=0.1, max_age_seconds=600))
        visitor = Visitor(house, f"{kind}//")
        held_back = 0
        for _ in range(40):
            house.tell(1)
            await read_for(0.05, visitor)
            held_back += visitor.names[-1] == "stream.head" and visitor.numbers[-1] < house.head
        last = 0
        for frame in visitor.frames[1:]:
            if frame.id is not None:
                assert frame.seq == last + 1
                last = frame.seq
            else:
                assert frame.data["head"] == f"epoch000.{last}"
        assert held_back > 5, "no heartbeat came while events were held back"
        await house.close()

    run_simulated(live())


@simulated
async def test_a_database_that_is_away_tells_a_slow_browser_to_come_back() -> None:
    house = House()
    slow = Visitor(house)
    await read_for(0.05, slow)
    for _ in range(10):
        house.tell(10)  # the ring has forgotten most of it when the browser takes the first of it

    async def away(*_arguments: Any) -> Any:
        raise DatabaseUnavailable

    house.logs.page = away  # type: ignore[method-assign]
    await read_for(0.05, slow)
    assert slow.names[-1] == "stream.busy"
    assert slow.numbers == list(range(1, slow.numbers[-1] + 1))
    assert slow.numbers[-1] < house.head
    house.assert_all_given_back()
    await house.close()


class Broken:
    """A browser that can't be written to, which no outlet is."""

    def take(self, chunk: bytes) -> None:
        raise RuntimeError("broken")

    def finish(self, status: str) -> None: ...

    def lose(self) -> None: ...


@pytest.mark.usefixtures("_slow_flushes")
@simulated
async def test_a_browser_that_joins_while_a_flush_fails_starts_over_too() -> None:
    house = House(SseSettings(flush_window_ms=1000))
    first = Visitor(house)
    await read_for(0.05, first)
    house.tell(1)
    await read_for(0.01, first)
    house.channel.join(Broken(), None)
    house.tell(1)  # held back: it is written before the next one joins
    late = Visitor(house)
    await read_for(0.05, first, late)
    assert [first.reader.ended, late.reader.ended] == [1, 1]
    assert house.admission.connections == 0
    await house.close()


@simulated
async def test_a_request_whose_head_comes_in_two_halves_around_the_opening_is_answered() -> None:
    house = House()
    visitor = Visitor(house, "job//")
    feed = visitor.connection.protocol.data_received
    feed(b"GET /job//snapsh")  # before the stream has opened
    await read_for(0.05, visitor)
    assert visitor.names[0] == "stream.open"
    feed(b"ot HTTP/1.1\r\nHost: a\r\n\r\nGET /job/4/ HTTP/1.1\r\nHost: a\r\n\r\n")
    house.tell(1, "job.completed")
    await read_for(0.05, visitor)
    assert visitor.reader.statuses == [200, 200, 204]
    assert visitor.names[-3:] == ["stream.open", "stream.snapshot", "stream.end"]
    await house.close()
    house.assert_all_given_back()
