"""The benchmark's client: whatever way the bytes are cut, every event is counted once, and every fault is seen."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.crowd import Auditor, Crowd, CrowdError, Stream, Tally, Target
from loadtests.bench.delivering import rest_through_heartbeats
from loadtests.bench.payload import EVENT_BYTES, MARK, payloads

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
HEARTBEAT = b"6\r\n: hi\n\n\r\n"
TARGET = Target(0, b"GET / HTTP/1.1\r\n\r\n")
KINDS = pytest.mark.parametrize("kind", [Stream, Auditor])


@pytest.fixture(autouse=True)
async def in_a_loop() -> None:
    """A stream makes a future of the running loop."""
    return


def frames(numbers: Sequence[int]) -> list[bytes]:
    """Events as Stagecast writes them."""
    events = [payloads(number, 1)[0] for number in numbers]
    return [
        b"id: abcdefgh.%d\nevent: item.updated\ndata: %b\n\n" % (n, data)
        for n, data in zip(numbers, events, strict=True)
    ]


def chunked(parts: Sequence[bytes]) -> bytes:
    """Each part as a chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def feed(kind: type[Stream], reads: Sequence[bytes], first: int = 1) -> tuple[Stream, Tally]:
    """A stream that got these reads."""
    buffer, tally = bytearray(1 << 20), Tally()
    stream = kind(TARGET, buffer, tally, first)
    for read in reads:
        buffer[: len(read)] = read
        stream.buffer_updated(len(read))
    return stream, tally


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The data in pieces."""
    ends = [0, *sorted({place % len(data) for place in places} - {0}), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def in_loop(check: Callable[[], None]) -> None:
    async def run() -> None:
        check()

    asyncio.run(run())


def test_an_event_has_the_size_that_is_promised_and_one_mark() -> None:
    for event in payloads(1, 3) + payloads(9_999_999_999, 1):
        assert (len(event), event.count(MARK)) == (EVENT_BYTES, 1)


@pytest.mark.parametrize("kind", [Stream, Auditor])
@given(
    places=st.lists(st.integers(0, 10**6), max_size=40),
    sizes=st.lists(st.integers(16, 700), min_size=1, max_size=12),
    count=st.integers(1, 12),
)
def test_reads_and_chunks_may_be_cut_anywhere(
    kind: type[Stream], places: list[int], sizes: list[int], count: int
) -> None:
    def check() -> None:
        body = b"".join(frames(range(1, count + 1)))
        pieces, start = [], 0
        for place in range(10**6):
            if start >= len(body):
                break
            pieces.append(body[start : start + sizes[place % len(sizes)]])
            start += sizes[place % len(sizes)]
        stream, tally = feed(kind, cut(HEAD + chunked(pieces), places))
        assert (tally.failure, stream.last, tally.events, tally.opened) == (None, count, count, 1)

    in_loop(check)


@KINDS
@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ([1, 2, 4, 5], "lost"),
        ([2, 3, 4], "the first one lost"),
        ([1, 2, 2, 3], "doubled"),
        ([1, 3, 2], "reordered at the end"),
    ],
)
async def test_what_is_lost_doubled_or_reordered_is_seen(kind: type[Stream], numbers: list[int], what: str) -> None:
    _, alone = feed(kind, [HEAD, *(chunked([one]) for one in frames(numbers))])
    assert alone.failure is not None, what
    _, together = feed(kind, [HEAD + chunked(frames(numbers))])
    assert together.failure is not None, what


async def test_an_auditor_sees_what_makes_up_for_itself_within_a_read() -> None:
    """One lost and one doubled, or two reordered in the middle: the count and the last number are right."""
    for numbers in ([1, 2, 2, 4], [1, 3, 2, 4]):
        _, tally = feed(Auditor, [HEAD + chunked(frames(numbers))])
        assert tally.failure is not None


@KINDS
async def test_a_number_across_two_reads_with_a_chunk_header_in_it(kind: type[Stream]) -> None:
    whole, last = frames([1, 2])
    place = last.index(b"~") - 4
    data = HEAD + chunked([whole, last[:place], last[place:]])
    for split in range(len(data) - 60, len(data)):
        stream, tally = feed(kind, [HEAD, data[len(HEAD) : split], data[split:]])
        assert (tally.failure, stream.last) == (None, 2)


@KINDS
async def test_a_browser_that_resumes_begins_at_its_place(kind: type[Stream]) -> None:
    stream, tally = feed(kind, [HEAD + chunked(frames([51, 52]))], first=51)
    assert (tally.failure, stream.last, tally.events) == (None, 52, 2)
    assert feed(kind, [HEAD + chunked(frames([50, 51]))], first=51)[1].failure is not None


@KINDS
@pytest.mark.parametrize("head", [b"HTTP/1.1 503 Busy\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n"])
async def test_what_is_no_event_stream_is_an_error(kind: type[Stream], head: bytes) -> None:
    stream, tally = feed(kind, [head])
    with pytest.raises(CrowdError, match="no event stream"):
        await stream.opened()
    assert tally.failure is not None


async def test_a_stream_that_the_server_closes_is_a_failure() -> None:
    stream, tally = feed(Stream, [HEAD + chunked(frames([1]))])
    stream.connection_lost(None)
    assert "closed by the server after event 1" in str(tally.failure)


async def test_a_crowd_is_complete_only_when_each_stream_is() -> None:
    crowd = Crowd([TARGET, Target(0, b"", 1)], 2)
    for stream in crowd.streams:
        stream.last = 7 + stream.channel
    crowd.tally.events = 30
    await crowd.complete([7, 8], 0.01)
    crowd.streams[-1].last = 7
    with pytest.raises(CrowdError, match="1 of 4 streams"):
        crowd.check([7, 8])


async def test_one_stream_without_a_heartbeat_is_seen_however_many_others_have() -> None:
    """Twice as many heartbeats as streams, but none for one of them."""
    crowd = Crowd([TARGET], 32)
    resting = asyncio.create_task(rest_through_heartbeats(crowd, 1))
    await asyncio.sleep(0.5)  # after they were told to listen anew, a tenth of a heartbeat after the start
    for stream in crowd.streams[:-1]:
        for read in (HEAD, HEARTBEAT, HEARTBEAT):
            stream.get_buffer(0)[: len(read)] = read
            stream.buffer_updated(len(read))
    with pytest.raises(CrowdError, match="1 of 32 idle streams got no heartbeat"):
        await resting


@KINDS
async def test_an_event_is_no_heartbeat(kind: type[Stream]) -> None:
    assert not feed(kind, [HEAD, chunked(frames([1]))])[0].beaten
    assert feed(kind, [HEAD, HEARTBEAT])[0].beaten


async def test_every_sixteenth_browser_is_an_auditor() -> None:
    one_channel = Crowd([TARGET], 64)
    many_channels = Crowd([Target(0, b"", channel) for channel in range(64)], 1)
    for crowd in (one_channel, many_channels):
        assert sum(isinstance(stream, Auditor) for stream in crowd.streams) == 4
