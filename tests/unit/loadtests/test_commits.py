"""When events were committed, as heard on the bus, and how long each took from there to its browser."""

import pytest

from infra.bus.base import Entry, Message, encode_message
from loadtests.bench.commits import CommitListener, delays_ms
from loadtests.probe import Watched

CONFIRMED = b"*3\r\n$10\r\npsubscribe\r\n$5\r\nsse:*\r\n:1\r\n"


def published(session_id: str, first_seq: int, count: int, committed_at_us: int) -> bytes:
    """What Redis sends to a listener for a message of so many events."""
    entries = tuple(Entry("0" * 26, "item.updated", b"{}") for _ in range(count))
    message = encode_message(Message(session_id, "abcd1234", first_seq, entries, committed_at_us))
    parts = (b"pmessage", b"sse:*", b"sse:" + session_id.encode(), message)
    return b"*4\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def watched(session_id: str, *arrivals: tuple[int, int]) -> Watched:
    return Watched(0, 0, 0, 0, 0, arrivals[-1][1], "completed", session_id, arrivals)


@pytest.mark.parametrize("piece", [100_000, 7, 1])
def test_every_event_has_the_time_of_its_message_however_the_bytes_are_cut(piece: int) -> None:
    sent = CONFIRMED + published("s1", 1, 2, 5000) + published("s2", 1, 1, 6000) + published("s1", 3, 1, 7000)
    listener = CommitListener()
    for start in range(0, len(sent), piece):
        listener.data_received(sent[start : start + piece])
    assert listener.times() == {"s1": {1: 5000, 2: 5000, 3: 7000}, "s2": {1: 6000}}


def test_a_delay_is_from_an_events_own_commit_to_the_read_that_made_it_whole() -> None:
    committed = {"s1": {1: 10_000, 2: 12_000, 3: 20_000}, "s2": {1: 50_000}}
    seen = [watched("s1", (15_000, 2), (21_500, 3)), watched("s2", (50_250, 1))]
    assert delays_ms(seen, committed) == [5.0, 3.0, 1.5, 0.25]


def test_an_event_whose_commit_was_not_heard_is_an_error() -> None:
    with pytest.raises(KeyError):
        delays_ms([watched("s1", (15_000, 2))], {"s1": {1: 10_000}})
