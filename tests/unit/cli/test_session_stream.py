"""The client of a session's stream: the numbers never skip, and there is no end."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError
from gateway.client.stream import Event, SessionStream, Snapshot
from tests.unit.cli.scripted_server import (
    NO_CONTENT,
    SESSION_ID,
    ScriptedServer,
    ended,
    event,
    events,
    heartbeat,
    opened,
    reset,
    scripted,
    snapshot,
    stream,
)

HOLD = ScriptedServer.HOLD


async def follow(server: ScriptedServer, until: int) -> tuple[SessionStream, list[int]]:
    """The stream after it handed out this number, and the numbers of its events; snapshots as negative numbers."""
    session = SessionStream(server.session, backoff=Backoff(0.001, 0.001))
    numbers = []
    async with asyncio.timeout(20), aclosing(session.events()) as items:
        async for item in items:
            numbers.append(item.id.seq if isinstance(item, Event) else -item.position.seq)
            if numbers[-1] == until:
                break
    return session, numbers


async def test_a_session_is_followed_by_its_own_url() -> None:
    async with scripted(stream(opened(2), event(1), event(2)) + HOLD) as server:
        session, numbers = await follow(server, 2)

    assert f"/v1/sessions/{SESSION_ID}/events" in server.requests[0]
    assert "authorization: bearer the-token" in server.requests[0]
    assert numbers == [1, 2]
    assert (session.complete, session.gapless) == (True, True)


async def test_a_hole_is_noticed_at_the_first_event_behind_it() -> None:
    holed = stream(opened(5), event(1), event(2), event(4), event(5)) + HOLD
    async with scripted(holed, stream(opened(5), events(3, 5)) + HOLD) as server:
        session, numbers = await follow(server, 5)

    assert numbers == [1, 2, 3, 4, 5]
    assert server.resumed_from == [None, "k3v9x0ab.2"]
    assert (session.gaps, session.repeated, session.complete) == (1, 0, True)


async def test_a_hole_that_stays_is_bridged_by_a_snapshot() -> None:
    holed = stream(opened(5), event(4), event(5)) + HOLD
    healed = stream(opened(5), snapshot(5), event(6)) + HOLD
    async with scripted(stream(opened(5), events(1, 2)), holed, holed, holed, holed, healed) as server:
        session, numbers = await follow(server, 6)

    assert numbers == [1, 2, -5, 6]
    assert server.resumed_from == [None, *["k3v9x0ab.2"] * 4, "snapshot"]
    assert (session.gaps, session.snapshots, session.complete) == (4, 1, True)


async def test_a_log_that_lost_its_beginning_is_replaced_by_a_snapshot() -> None:
    async with scripted(stream(opened(9), event(8)), stream(opened(9), snapshot(9), event(10)) + HOLD) as server:
        session, numbers = await follow(server, 10)

    assert numbers == [-9, 10]
    assert server.resumed_from == [None, "snapshot"]
    assert session.gaps == 0, "what retention removed was not lost on the way"


async def test_a_head_shows_that_the_last_event_is_missing() -> None:
    missing = stream(opened(2), event(1), heartbeat(2)) + HOLD
    async with scripted(missing, stream(opened(2), event(2)) + HOLD) as server:
        session, numbers = await follow(server, 2)

    assert numbers == [1, 2]
    assert session.gaps == 1


async def test_a_head_that_went_back_is_asked_about() -> None:
    went_back = stream(opened(3), events(1, 3), heartbeat(2)) + HOLD
    restored = stream(opened(2, "newepoch", "reset"), reset(2, "newepoch"), snapshot(2, "newepoch")) + HOLD
    async with scripted(went_back, restored) as server:
        session, numbers = await follow(server, -2)

    assert numbers == [1, 2, 3, -2]
    assert server.resumed_from == [None, "k3v9x0ab.3"]
    assert str(session.position) == "newepoch.2"


async def test_until_the_snapshot_of_a_reset_is_here_nothing_is_complete() -> None:
    cut = stream(opened(2, "newepoch", "reset"), reset(2, "newepoch"))
    whole = stream(opened(2, "newepoch", "reset"), reset(2, "newepoch"), snapshot(2, "newepoch")) + HOLD
    async with scripted(stream(opened(1), event(1)), cut, whole) as server:
        links: list[bool] = []
        session = SessionStream(
            server.session, backoff=Backoff(0.001, 0.001), on_link=lambda _link: links.append(session.complete)
        )
        async with asyncio.timeout(20), aclosing(session.events()) as items:
            async for item in items:
                if isinstance(item, Snapshot):
                    break
        assert session.complete

    # live, and after its event waiting; then live for the reset, waiting without the snapshot, and live again
    assert links == [False, True, False, False, False]


async def test_a_session_without_events_is_complete() -> None:
    async with scripted(stream(opened(0), heartbeat(0)), stream(opened(0), event(1)) + HOLD) as server:
        session, numbers = await follow(server, 1)

    assert numbers == [1]
    assert session.gaps == 0


async def test_the_end_of_a_job_is_not_the_end_of_its_session() -> None:
    async with scripted(stream(opened(1), event(1), ended(1), event(2)) + HOLD) as server:
        _, numbers = await follow(server, 2)

    assert numbers == [1, 2]


async def test_nothing_more_is_no_answer_for_a_session() -> None:
    async with scripted(stream(opened(1), event(1)), NO_CONTENT) as server:
        with pytest.raises(ProtocolError, match="status 204"):
            await follow(server, 2)
