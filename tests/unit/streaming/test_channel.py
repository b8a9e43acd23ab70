"""A channel repairs a hole with one read however many browsers listen, and gives equal cursors the same bytes."""

import asyncio

import pytest

from gateway.streaming.channel import Channel
from gateway.streaming.cursor import Cursor, CursorLost
from tests.unit.streaming.listed_log import JOBS, ListedLog, Listener
from tests.unit.streaming.wire import dispatch

A, B, _ = JOBS


async def read_all(cursor: Cursor) -> list[int]:
    """The numbers of everything up to the head."""
    seqs: list[int] = []
    while (batch := await cursor.advance()) is not None:
        seqs += [event.seq for event in dispatch(batch.frames)]
    return seqs


async def let_repairs_end(channel: Channel) -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_cursors_at_the_same_place_share_the_same_bytes() -> None:
    log = ListedLog()
    channel = log.channel()
    channel.receive(log.commit(A, B, A))
    batches = [await Cursor(channel, 1).advance() for _ in range(3)]
    frames = [batch.chunk for batch in batches if batch is not None]
    assert len(frames) == 3
    assert all(one is frames[0] for one in frames)
    of_job = [await Cursor(channel, 1, A).advance() for _ in range(2)]
    assert of_job[0] is of_job[1]
    assert of_job[0] is not None
    assert of_job[0].chunk is not frames[0]


async def test_the_bytes_of_a_live_tail_and_of_a_replay_are_equal() -> None:
    log = ListedLog()
    live = log.channel()
    message = log.commit(A, B, A, B)
    live.receive(message)
    late = log.channel()
    batches = [await Cursor(live, 0).advance(), await Cursor(late, 0).advance()]
    assert batches[0] is not None
    assert batches[1] is not None
    assert batches[0].frames == batches[1].frames
    assert log.reads == [0], "the live tail needs no read"


async def test_one_hole_is_one_read_however_many_browsers_listen() -> None:
    log = ListedLog()
    channel = log.channel()
    cursors = [Cursor(channel, 0) for _ in range(50)]
    live = [Listener() for _ in range(50)]
    for listener in live:
        channel.join(listener, None)
    log.commit(A)  # lost
    for _ in range(5):
        channel.receive(log.commit(B))
    await let_repairs_end(channel)
    assert channel.head == 6
    assert log.reads == [0]
    assert log.repairs == ["hole"]
    assert [listener.numbers for listener in live] == [[1, 2, 3, 4, 5, 6]] * 50
    assert [await read_all(cursor) for cursor in cursors] == [[1, 2, 3, 4, 5, 6]] * 50
    assert len(log.reads) == 1, "the repaired events are in the ring for everyone"


async def test_readers_of_the_same_old_page_share_one_read() -> None:
    log = ListedLog()
    log.commit(*[A] * 10)
    channel = log.channel()
    seen = await asyncio.gather(*(read_all(Cursor(channel, 0)) for _ in range(20)))
    assert seen == [list(range(1, 11))] * 20
    assert log.reads == [0]


async def test_a_browser_that_leaves_does_not_cancel_the_read_of_the_others() -> None:
    log = ListedLog()
    log.commit(A, A)
    channel = log.channel()
    first = asyncio.create_task(read_all(Cursor(channel, 0)))
    second = asyncio.create_task(read_all(Cursor(channel, 0)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == [1, 2]
    assert len(log.reads) == 1


async def test_a_lost_last_message_is_healed_by_the_next_sweep() -> None:
    log = ListedLog()
    channel = log.channel()
    cursor = Cursor(channel, 0)
    log.commit(A)
    assert await cursor.advance() is None
    channel.note(log.stands_at)
    await let_repairs_end(channel)
    assert await read_all(cursor) == [1]
    assert log.repairs == ["sweep"]
    channel.note(log.stands_at)
    assert log.repairs == ["sweep"], "nothing is missing any more"


async def test_what_the_bus_brings_during_a_repair_is_not_appended_twice() -> None:
    log = ListedLog(gate=asyncio.Event())
    channel = log.channel()
    first, second = log.commit(A), log.commit(B)
    channel.receive(second)  # a hole: the read begins
    await let_repairs_end(channel)
    channel.receive(first)  # it was only late
    channel.receive(second)
    assert channel.head == 2
    assert log.gate is not None
    log.gate.set()
    await let_repairs_end(channel)
    assert await read_all(Cursor(channel, 0)) == [1, 2]


async def test_a_repair_that_fails_is_begun_again_by_the_next_sweep() -> None:
    log = ListedLog(away=True)
    channel = log.channel()
    log.commit(A)
    channel.note(log.stands_at)
    await let_repairs_end(channel)
    assert channel.head == 0
    log.away = False
    channel.note(log.stands_at)
    await let_repairs_end(channel)
    assert channel.head == 1


@pytest.mark.parametrize("behind", [1, 600], ids=["one event", "more than a page"])
async def test_a_channel_that_retention_overtook_sends_its_cursors_to_a_snapshot(behind: int) -> None:
    log = ListedLog()
    log.commit(A)
    channel = log.channel()
    cursor = Cursor(channel, 1)
    log.commit(*[A] * behind)  # lost
    log.trimmed = len(log.entries)  # retention removes a session's whole log at once
    channel.note(log.stands_at)
    await let_repairs_end(channel)
    with pytest.raises(CursorLost):
        await cursor.advance()


async def test_a_cursor_that_the_log_has_forgotten_is_lost() -> None:
    log = ListedLog()
    log.commit(A, A, A)
    channel = log.channel()
    log.trimmed = 2
    with pytest.raises(CursorLost) as lost:
        await Cursor(channel, 1).advance()
    assert lost.value.reason == "behind_retention"
    assert await read_all(Cursor(channel, 2)) == [3], "number 3 is still there"


@pytest.mark.parametrize("notice", ["message", "sweep", "replay"])
async def test_another_epoch_ends_every_cursor_however_it_is_noticed(notice: str) -> None:
    log = ListedLog()
    log.commit(A)
    channel = log.channel()
    live, old = Cursor(channel, 1), Cursor(channel, 0)
    listener = Listener()
    channel.join(listener, None)
    log.epoch = "epoch001"
    message = log.commit(A)
    if notice == "message":
        channel.receive(message)
        await let_repairs_end(channel)
    elif notice == "sweep":
        channel.note(log.stands_at)
    else:
        with pytest.raises(CursorLost):
            await old.advance()
    assert listener.lost
    for cursor in (live, old):
        with pytest.raises(CursorLost) as lost:
            await cursor.advance()
        assert lost.value.reason == "epoch_changed"


async def test_a_cursor_of_a_job_passes_what_others_did_without_a_byte() -> None:
    log = ListedLog()
    channel = log.channel(ring_events=2)
    channel.receive(log.commit(B, B, B))
    for cursor in (Cursor(channel, 0, A), Cursor(channel, 1, A)):
        batch = await cursor.advance()
        assert batch is not None
        assert (batch.frames, batch.count, cursor.seq) == (b"", 0, 3)
        assert await cursor.advance() is None


async def test_a_job_that_begins_another_run_has_not_ended() -> None:
    log = ListedLog()
    channel = log.channel()
    cursor = Cursor(channel, 0, A)
    channel.receive(log.commit(A, name="job.failed"))
    await cursor.advance()
    assert cursor.ended == "failed"
    channel.receive(log.commit(B, name="job.completed"))
    await cursor.advance()
    assert cursor.ended == "failed", "the end of another job says nothing"
    channel.receive(log.commit(A, name="stage.retrying"))
    await cursor.advance()
    assert cursor.ended is None
    assert cursor.head.seq == 3


async def test_a_session_does_not_end_with_one_of_its_jobs() -> None:
    log = ListedLog()
    channel = log.channel()
    cursor = Cursor(channel, 0)
    channel.receive(log.commit(A, name="job.completed"))
    await cursor.advance()
    assert cursor.ended is None


async def test_the_ring_is_bounded_and_what_fell_out_comes_from_the_log() -> None:
    log = ListedLog()
    channel = log.channel(ring_events=3)
    slow, live = Cursor(channel, 0), Cursor(channel, 0)
    for _ in range(10):
        channel.receive(log.commit(A))
        await read_all(live)
    assert log.reads == [], "a reader that keeps up never reads the log"
    assert channel.head - channel.base == 3
    assert await read_all(slow) == list(range(1, 11))
    assert log.reads == [0]


async def test_a_closed_channel_leaves_no_read_behind() -> None:
    log = ListedLog(gate=asyncio.Event())
    channel = log.channel()
    log.commit(A)
    channel.note(log.stands_at)
    reader = asyncio.create_task(Cursor(channel, 0).advance())
    await let_repairs_end(channel)
    await channel.close()
    await asyncio.wait([reader])
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("repair")] == []
