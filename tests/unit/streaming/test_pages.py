"""Replays share the pages of the log: one read per session and page at most, and what is held of them is bounded."""

import asyncio

import pytest

import gateway.streaming.pages
from gateway.streaming.batch import MOST_BATCH_BYTES
from gateway.streaming.budget import Budget, NoRoom
from gateway.streaming.channel import SCARCE_RING_BYTES, Channel
from gateway.streaming.cursor import Cursor, CursorLost
from gateway.streaming.pages import Pages
from infra.bus.base import Entry, Message
from tests.unit.streaming.listed_log import JOBS, SESSION, ListedLog
from tests.unit.streaming.test_channel import read_all
from tests.waiting import wait_for

A, B, _ = JOBS


def channel_over(log: ListedLog, pages: Pages, ring_events: int = 16, rings: Budget | None = None) -> Channel:
    rings = rings or Budget(1_000_000_000)
    return Channel(SESSION, log.stands_at, pages, rings, ring_events, log.repairs.append, log.set_back.append)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.streaming.pages, "PAGE_EVENTS", 100)


async def test_a_wave_far_behind_reads_each_page_once() -> None:
    log = ListedLog()
    log.commit(*[A, B] * 500)
    channel = channel_over(log, Pages(log, lambda: None))
    places = range(3, 900, 7)
    seen = await asyncio.gather(*(read_all(Cursor(channel, place)) for place in places))
    assert seen == [list(range(place + 1, 1001)) for place in places]
    assert len(log.reads) == len(set(log.reads)), "a page was read twice"
    assert len(log.reads) <= 11, "ten pages, and the tail of the ring"


async def test_a_wave_close_behind_a_new_channel_is_one_read() -> None:
    log = ListedLog()
    log.commit(*[A] * 300)
    channel = channel_over(log, Pages(log, lambda: None), ring_events=256)
    places = range(50, 300)
    seen = await asyncio.gather(*(read_all(Cursor(channel, place)) for place in places))
    assert seen == [list(range(place + 1, 301)) for place in places]
    assert log.reads == [44], "the ring's worth before the head, once"


async def test_what_is_committed_while_the_tail_is_being_read_is_not_lost_or_doubled() -> None:
    log = ListedLog()
    log.commit(*[A] * 40)
    log.gate = asyncio.Event()
    channel = channel_over(log, Pages(log, lambda: None), ring_events=256)
    reading = asyncio.create_task(read_all(Cursor(channel, 10)))
    await wait_for(lambda: bool(log.reads))
    channel.receive(log.commit(A, B, A))
    log.gate.set()
    assert await reading == list(range(11, 44))


@pytest.mark.parametrize("ring_events", [16, 256])
async def test_pages_that_are_cut_short_leave_no_hole(ring_events: int) -> None:
    log = ListedLog(most_in_a_page=7)
    log.commit(*[A] * 250)
    channel = channel_over(log, Pages(log, lambda: None), ring_events)
    seen = await asyncio.gather(*(read_all(Cursor(channel, place)) for place in (0, 3, 120, 243, 249)))
    assert seen == [list(range(place + 1, 251)) for place in (0, 3, 120, 243, 249)]


async def test_a_page_that_was_not_full_is_read_again_when_there_is_more() -> None:
    log = ListedLog()
    log.commit(*[A] * 130)
    channel = channel_over(log, Pages(log, lambda: None), ring_events=1)
    early, late = Cursor(channel, 0), Cursor(channel, 110)
    assert await read_all(early) == list(range(1, 131))
    for _ in range(3):
        channel.receive(log.commit(*[A] * 20))
    assert await read_all(late) == list(range(111, 191))
    assert await read_all(early) == list(range(131, 191))
    assert all(start % 100 == 0 for start in log.reads), "pages are shared only when they begin at the same places"


async def test_a_read_of_the_tail_that_failed_is_tried_again() -> None:
    log = ListedLog()
    log.commit(*[A] * 40)
    channel = channel_over(log, Pages(log, lambda: None), ring_events=256)
    log.away = True
    failed = await asyncio.gather(read_all(Cursor(channel, 0)), return_exceptions=True)
    assert isinstance(failed[0], Exception)
    log.away = False
    assert await read_all(Cursor(channel, 0)) == list(range(1, 41))


async def test_pages_of_sessions_that_nobody_reads_any_more_are_let_go() -> None:
    log = ListedLog()
    log.commit(*[A] * 1000)
    pages = Pages(log, lambda: None, most_bytes=60_000)
    channel = channel_over(log, pages)
    assert await read_all(Cursor(channel, 0)) == list(range(1, 1001))
    assert pages._bytes <= 60_000
    assert len(pages._kept) < 10
    log.reads.clear()
    assert await read_all(Cursor(channel, 0)) == list(range(1, 1001))
    assert log.reads, "everything is still kept"


async def test_the_pages_of_a_session_go_with_its_last_browser() -> None:
    log = ListedLog()
    log.commit(*[A] * 1000)
    pages = Pages(log, lambda: None)
    assert await read_all(Cursor(channel_over(log, pages), 0)) == list(range(1, 1001))
    assert pages._bytes > 0
    pages.forget("another")
    assert pages._kept
    pages.forget(SESSION)
    assert (pages._bytes, dict(pages._kept), pages._starts) == (0, {}, {})


@pytest.mark.parametrize("ring_events", [16, 256])
async def test_a_connection_never_holds_more_than_a_batch(ring_events: int) -> None:
    log = ListedLog()
    big = Entry(A, "item.updated", b'{"text":"' + b"x" * 60_000 + b'"}')
    log.entries += (big,) * 40
    channel = channel_over(log, Pages(log, lambda: None), ring_events)
    cursor, sizes, seqs = Cursor(channel, 0), [], 0
    while (batch := await cursor.advance()) is not None:
        sizes.append(len(batch.frames))
        seqs += batch.count
    assert seqs == 40
    assert max(sizes) <= MOST_BATCH_BYTES


async def test_an_event_larger_than_a_batch_comes_alone() -> None:
    log = ListedLog()
    log.commit(A)
    log.entries += (Entry(A, "item.updated", b'{"text":"' + b"x" * (2 * MOST_BATCH_BYTES) + b'"}'),)
    log.commit(A)
    assert await read_all(Cursor(channel_over(log, Pages(log, lambda: None)), 0)) == [1, 2, 3]


async def test_a_message_with_other_events_under_known_numbers_shows_a_log_that_was_set_back() -> None:
    log = ListedLog()
    channel = channel_over(log, Pages(log, lambda: None))
    channel.receive(log.commit(A, A, A))
    restored = ListedLog(epoch=log.epoch)
    restored.commit(A)
    another = restored.commit(B, B)
    entries = tuple(Entry(one.job_id, one.type, one.data.replace(b"n", b"m")) for one in another.entries)
    channel.receive(Message(SESSION, log.epoch, another.first_seq, entries))
    assert log.set_back == [channel]


async def test_a_message_that_comes_twice_shows_nothing() -> None:
    log = ListedLog()
    channel = channel_over(log, Pages(log, lambda: None))
    message = log.commit(A, B, A)
    channel.receive(message)
    channel.receive(message)
    assert log.set_back == []


async def test_a_log_that_ends_before_what_is_known_was_set_back() -> None:
    log = ListedLog()
    channel = channel_over(log, Pages(log, lambda: None))
    channel.receive(log.commit(A, A, A))
    before = channel.head
    del log.entries[1:]
    channel.note(log.stands_at, known_head=before)
    assert log.set_back == [channel]


async def test_when_all_rings_together_are_too_large_each_keeps_a_little_and_nobody_misses_an_event() -> None:
    rings = Budget(300_000)
    logs = [ListedLog() for _ in range(4)]
    channels = [channel_over(log, Pages(log, lambda: None), 256, rings) for log in logs]
    for _ in range(200):
        for log, channel in zip(logs, channels, strict=True):
            entry = Entry(A, "item.updated", b'{"text":"' + b"x" * 1000 + b'"}')
            log.entries += (entry,)
            channel.receive(Message(SESSION, log.epoch, len(log.entries), (entry,)))
    assert rings.used <= 300_000 + 4 * SCARCE_RING_BYTES
    assert [await read_all(Cursor(channel, 0)) for channel in channels] == [list(range(1, 201))] * 4
    for channel in channels:
        await channel.close()
    assert rings.used == 0


async def test_a_lost_channel_gives_its_ring_back_and_takes_nothing_more() -> None:
    log = ListedLog()
    rings = Budget(1_000_000)
    channel = channel_over(log, Pages(log, lambda: None), rings=rings)
    channel.receive(log.commit(A, A))
    assert rings.used > 0
    channel.lose()
    channel.receive(log.commit(A, A))
    assert rings.used == 0


async def test_a_channel_that_is_lost_while_its_tail_is_read_tells_the_reader() -> None:
    log = ListedLog()
    log.commit(*[A] * 10)
    log.gate = asyncio.Event()
    channel = channel_over(log, Pages(log, lambda: None))
    reading = asyncio.create_task(Cursor(channel, 5).advance())
    await wait_for(lambda: bool(log.reads))
    channel.lose()
    log.gate.set()
    with pytest.raises(CursorLost):
        await reading


async def test_stragglers_at_many_places_do_not_pile_up_shared_bytes() -> None:
    log = ListedLog()
    channel = channel_over(log, Pages(log, lambda: None), ring_events=100)
    big = Entry(A, "item.updated", b'{"text":"' + b"x" * 40_000 + b'"}')
    log.entries += (big,) * 90
    channel.receive(Message(SESSION, log.epoch, 1, (big,) * 90))
    for place in range(80):
        channel.tail(place, None)
    assert sum(len(batch.frames) for batch in channel._joined.values()) <= 2 * 1_048_576


def test_a_budget_refuses_what_does_not_fit_but_never_the_only_one() -> None:
    budget = Budget(100)
    with budget.share(500):
        with pytest.raises(NoRoom), budget.share(1):
            pytest.fail("there was no room")
        assert budget.scarce
    with budget.share(60), budget.share(40):
        pass
    assert budget.used == 0
