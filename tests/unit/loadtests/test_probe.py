"""The probe behind the figures: over a real socket, with streams that are right and streams that are not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from loadtests.probe import PLAIN_WAY, STAGECAST, Probe, ProbeError, Wire

ACCEPTED = b'{"session_id":"s","events_url":"/v1/jobs/j/events?token=t"}'
BODY = b'{"kind":"menu"}'


def frame(number: int, name: str, data: str = "{}") -> bytes:
    return f"id: abcd1234.{number}\nevent: {name}\ndata: {data}\n\n".encode()


def end(number: int) -> bytes:
    return b'event: stream.end\ndata: {"status":"completed","head":"abcd1234.%d"}\n\n' % number


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


GOOD = [
    b'event: stream.open\ndata: {"outcome":"new"}\n\n' + frame(1, "job.accepted"),
    frame(2, "item.updated", r'{"value":"\n\nid: abcd1234.9\nevent: item.updated\n"}') + frame(3, "item.updated"),
    frame(4, "job.completed") + end(4),
]


@asynccontextmanager
async def gateway(
    stream: bytes, piece: int = 65536, wire: Wire = STAGECAST
) -> AsyncIterator[Callable[[], Awaitable[Probe]]]:
    """A server that accepts any job and answers with `stream`, `piece` bytes at a time."""

    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if request.startswith(b"POST"):
                    await reader.readexactly(len(BODY))
                    answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(ACCEPTED), ACCEPTED)
                else:
                    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + stream
                for start in range(0, len(answer), piece):
                    writer.write(answer[start : start + piece])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the probe has closed
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    probes: list[Probe] = []

    async def connect() -> Probe:
        probes.append(Probe(server.sockets[0].getsockname()[1], wire))
        await probes[-1].connect()
        return probes[-1]

    try:
        yield connect
    finally:
        for probe in probes:
            probe.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*[task for task in serving if task is not None])


@pytest.mark.parametrize("piece", [65536, 7, 1])
async def test_a_whole_stream_is_counted_however_the_network_cuts_it(piece: int) -> None:
    async with gateway(chunked(*GOOD), piece) as connect:
        seen = await (await connect()).watch(BODY)
    assert (seen.results, seen.events, seen.status) == (2, 4, "completed")
    assert seen.sent_at < seen.first_result_at <= seen.job_end_at <= seen.stream_end_at


async def test_a_frame_that_is_cut_between_two_chunks_counts_once() -> None:
    whole = b"".join(GOOD)
    async with gateway(chunked(whole[:70], whole[70:71], whole[71:200], whole[200:])) as connect:
        assert (await (await connect()).watch(BODY)).events == 4


async def test_one_connection_watches_job_after_job() -> None:
    async with gateway(chunked(*GOOD)) as connect:
        probe = await connect()
        assert [(await probe.watch(BODY)).events for _ in range(3)] == [4, 4, 4]


@pytest.mark.parametrize(
    "numbers",
    [pytest.param([1, 3], id="lost"), pytest.param([1, 2, 2, 3], id="doubled"), pytest.param([2, 1], id="reordered")],
)
async def test_a_number_out_of_place_is_an_error(numbers: list[int]) -> None:
    frames = [frame(number, "item.updated") for number in numbers]
    async with gateway(chunked(*frames, end(numbers[-1]))) as connect:
        with pytest.raises(ProbeError, match="expected"):
            await (await connect()).watch(BODY)


async def test_a_lost_last_event_is_an_error() -> None:
    async with gateway(chunked(frame(1, "job.accepted"), end(2))) as connect:
        with pytest.raises(ProbeError, match=r"ended at abcd1234\.2 after event 1"):
            await (await connect()).watch(BODY)


async def test_a_stream_that_closes_without_its_end_is_an_error() -> None:
    async with gateway(chunked(frame(1, "job.accepted"))) as connect:
        with pytest.raises(ProbeError, match="without its end"):
            await (await connect()).watch(BODY)


async def test_arrivals_tell_when_the_events_were_there() -> None:
    async with gateway(chunked(*GOOD)) as connect:
        seen = await (await connect()).watch(BODY)
    times, counts = zip(*seen.arrivals, strict=True)
    assert counts[-1] == 4
    assert list(times) == sorted(times)
    assert seen.session_id == "s"


def plain_frame(number: int, name: str) -> bytes:
    return f"id: {number}\r\nevent: {name}\r\ndata: {{}}\r\n\r\n".encode()


async def test_the_plain_ways_numbers_may_have_holes_and_any_order() -> None:
    frames = [plain_frame(number, "item.updated") for number in (17, 12, 40)]
    async with gateway(chunked(*frames, plain_frame(41, "job.completed")), 7, PLAIN_WAY) as connect:
        seen = await (await connect()).watch(BODY)
    assert (seen.results, seen.status) == (3, "completed")
    assert seen.stream_end_at == seen.job_end_at > 0


async def test_the_plain_ways_numbers_may_not_come_twice() -> None:
    frames = [plain_frame(number, "item.updated") for number in (17, 12, 17)]
    async with gateway(chunked(*frames), wire=PLAIN_WAY) as connect:
        with pytest.raises(ProbeError, match="event 17 received twice"):
            await (await connect()).watch(BODY)


async def test_a_stream_of_the_plain_way_without_the_jobs_end_is_an_error() -> None:
    async with gateway(chunked(plain_frame(1, "item.updated")), wire=PLAIN_WAY) as connect:
        with pytest.raises(ProbeError, match="without its end"):
            await (await connect()).watch(BODY)
