"""What the crowds of a channel do at a job's end, at a member that blocks, and when retention overtakes them."""

import asyncio
from typing import Any

import pytest

import gateway.streaming.batch
from gateway.streaming.channel import Channel
from gateway.streaming.crowd import Crowd
from gateway.streaming.cursor import Cursor
from tests.unit.streaming.listed_log import JOBS, ListedLog, Listener

A, B, _ = JOBS


class HeldBack:
    """A flusher that writes only when it must."""

    def want(self, channel: Any) -> None: ...

    def flush(self, channel: Any) -> None:
        channel.flush()


class Blocking(Listener):
    """Blocks at its first batch, as a browser does that takes less than it is sent."""

    crowd: Crowd
    cursor: Cursor

    def take(self, chunk: bytes) -> None:
        super().take(chunk)
        self.cursor.move_to(self.crowd.seq, self.crowd.last_event, self.crowd.ended)
        self.cursor.channel.leave(self, self.crowd)


def join_blocking(channel: Channel, job_id: str | None) -> Blocking:
    browser = Blocking()
    browser.cursor = Cursor(channel, channel.head, job_id)
    browser.crowd = channel.join(browser, job_id)
    return browser


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> ListedLog:
    monkeypatch.setattr(gateway.streaming.batch, "MOST_BATCH_BYTES", 1)  # an event a batch
    return ListedLog()


def held_back(log: ListedLog) -> Channel:
    channel = log.channel()
    channel._flusher = HeldBack()  # type: ignore[assignment]
    return channel


async def test_a_job_that_began_another_run_in_the_same_flush_has_not_ended(log: ListedLog) -> None:
    channel = held_back(log)
    of_job, of_session = Listener(), Listener()
    channel.join(of_job, A)
    channel.join(of_session, None)
    channel.receive(log.commit(A, name="job.failed"))
    channel.receive(log.commit(A, B, name="stage.retrying"))
    channel.flush()
    assert of_job.numbers == [1, 2]
    assert of_job.finished is None
    channel.receive(log.commit(A, name="job.completed"))
    channel.receive(log.commit(B, B))
    channel.flush()
    assert (of_job.numbers, of_job.finished) == ([1, 2, 4], "completed")
    assert (of_session.numbers, of_session.finished) == ([1, 2, 3, 4, 5, 6], None)


async def test_whoever_blocks_at_the_last_event_knows_that_it_was_the_last(log: ListedLog) -> None:
    channel = held_back(log)
    slow, quick = join_blocking(channel, A), Listener()
    channel.join(quick, A)
    channel.receive(log.commit(A, name="job.completed"))
    channel.receive(log.commit(B))
    channel.flush()
    assert (quick.numbers, quick.finished) == ([1], "completed")
    assert (slow.numbers, slow.finished) == ([1], None), "it is told once it has taken what it was sent"
    assert await slow.cursor.advance() is None
    assert slow.cursor.ended == "completed"
    assert slow.cursor.head.seq == 1


async def test_one_that_blocks_in_the_middle_of_a_flush_lacks_the_rest_and_the_others_do_not(log: ListedLog) -> None:
    channel = held_back(log)
    first, slow, last = Listener(), join_blocking(channel, None), Listener()
    channel.join(first, None)
    channel.join(last, None)
    channel.receive(log.commit(A, B, A))
    assert channel.flush() == 3 + 2 + 2
    assert first.numbers == last.numbers == [1, 2, 3]
    assert slow.numbers == [1]
    assert slow.cursor.seq == 1


async def test_retention_that_overtakes_the_channel_sends_the_live_ones_away_with_what_there_was(
    log: ListedLog,
) -> None:
    channel = held_back(log)
    listener = Listener()
    channel.join(listener, None)
    channel.receive(log.commit(A, A))  # held back
    log.commit(A, A)  # lost
    log.trimmed = 3
    channel.note(log.stands_at)
    for _ in range(10):
        await asyncio.sleep(0)
    assert listener.lost
    assert listener.numbers[:2] == [1, 2]
