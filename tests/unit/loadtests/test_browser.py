"""The storm's browser, over real sockets, against servers that keep the rules and servers that break them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from loadtests.browser import Browser
from loadtests.ledger import Irregularities

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
SECONDS = 20


def event(number: int, epoch: str = "abcd1234") -> bytes:
    return f'id: {epoch}.{number}\nevent: item.updated\ndata: {{"text":"\\nid: abcd1234.9"}}\n\n'.encode()


def control(name: str, data: str) -> bytes:
    return f"event: stream.{name}\ndata: {data}\n\n".encode()


def end(number: int) -> bytes:
    return control("end", f'{{"status":"completed","head":"abcd1234.{number}"}}')


def chunked(*parts: bytes, clean: bool = True) -> bytes:
    whole = (*parts, b"") if clean else parts
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in whole)


@dataclass
class Site:
    """A server that gives its answers one after the other, a connection each, and keeps the requests."""

    answers: list[bytes]
    piece: int = 65536
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = self.answers.pop(0)
        for start in range(0, len(answer), self.piece):
            writer.write(answer[start : start + self.piece])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()


@asynccontextmanager
async def serving(*answers: bytes, piece: int = 65536) -> AsyncIterator[tuple[int, Site]]:
    site = Site(list(answers), piece)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], site
    finally:
        server.close()
        await server.wait_closed()


async def followed(*answers: bytes, position: str = "", piece: int = 65536) -> tuple[Browser, Site]:
    async with serving(*answers, piece=piece) as (port, site):
        browser = Browser(port, "/v1/jobs/j/events", position)
        await asyncio.wait_for(browser.follow(), SECONDS)
    return browser, site


@pytest.mark.parametrize("piece", [65536, 7, 1])
async def test_a_whole_stream_is_taken_however_the_network_cuts_it(piece: int) -> None:
    browser, _ = await followed(chunked(b"retry: 5\n\n" + event(1), event(2) + event(3) + end(3)), piece=piece)
    assert (browser.last, browser.ended, browser.failure, browser.unproven) == (3, "completed", None, 0)
    assert browser.check(range(1, 4)) == Irregularities()


async def test_a_browser_comes_back_with_the_last_whole_event_after_a_cut_in_the_middle_of_one() -> None:
    cut = chunked(b"retry: 5\n\n", event(1), event(2)[:-1], clean=False)
    browser, site = await followed(cut, chunked(event(2), end(2)))
    assert "Last-Event-ID" not in site.requests[0]
    assert "\r\nLast-Event-ID: abcd1234.1\r\n" in site.requests[1]
    assert [parting.kind for parting in browser.partings] == ["cut"]
    assert not browser.check(range(1, 3))


async def test_a_browser_waits_as_busy_and_drain_say() -> None:
    busy = chunked(b"retry: 40\n\n" + control("busy", '{"retry_ms":40}'))
    drain = chunked(event(1), b"retry: 60\n\n" + control("drain", '{"retry_ms":60}'))
    browser, _ = await followed(busy, drain, chunked(event(2), end(2)))
    assert [(one.kind, one.wait_ms) for one in browser.partings] == [("busy", 40), ("drain", 60)]
    assert all((one.back_at - one.at) * 1000 >= one.wait_ms for one in browser.partings)
    assert len(browser.refusals) == 1


async def test_a_clean_end_without_a_word_is_followed_by_a_reconnect() -> None:
    head = control("head", '{"epoch":"abcd1234","head":"abcd1234.1"}')
    browser, _ = await followed(chunked(b"retry: 5\n\n" + event(1) + head), b"HTTP/1.1 204 No Content\r\n\r\n")
    assert [parting.kind for parting in browser.partings] == ["closed"]
    assert (browser.ended, browser.unproven) == ("204", 0)


async def test_nobody_listening_is_no_end() -> None:
    async with serving(chunked(event(1), end(1))) as (port, _):
        pass
    browser = Browser(port, "/")
    following = asyncio.create_task(browser.follow())
    await asyncio.sleep(0.05)
    assert not following.done()
    browser.leave()
    await asyncio.wait_for(following, SECONDS)
    assert (browser.connections, browser.failure) == (0, None)


@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"404 Not Found", b"429 Too Many"])
async def test_every_status_but_200_is_final(status: bytes) -> None:
    browser, _ = await followed(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
    assert browser.failure is not None
    assert browser.failure.startswith(f"status {status[:3].decode()}")


async def test_another_content_type_is_final() -> None:
    browser, _ = await followed(chunked(event(1)).replace(b"text/event-stream", b"text/plain"))
    assert browser.failure is not None


@pytest.mark.parametrize(
    ("numbers", "broken"),
    [
        pytest.param([1, 2, 4], Irregularities(lost=1), id="lost"),
        pytest.param([1, 2, 2, 3, 4], Irregularities(doubled=1), id="doubled"),
        pytest.param([1, 3, 2, 4], Irregularities(reordered=1), id="reordered"),
        pytest.param([1, 2, 3, 4, 5], Irregularities(foreign=1), id="foreign"),
    ],
)
async def test_what_breaks_the_promise_is_counted(numbers: list[int], broken: Irregularities) -> None:
    browser, _ = await followed(chunked(*map(event, numbers), end(numbers[-1])))
    assert browser.check(range(1, 5)) == broken


async def test_a_lost_last_event_shows_at_the_end_and_in_the_ledger() -> None:
    browser, _ = await followed(chunked(event(1), end(2)))
    assert browser.unproven == 1
    assert browser.check(range(1, 3)) == Irregularities(lost=1)


async def test_a_snapshot_stands_for_what_came_before_it_and_what_came_is_still_checked() -> None:
    reset = control("reset", '{"reason":"behind_retention","head":"abcd1234.9"}')
    snapshot = control("snapshot", '{"head":"abcd1234.9"}')
    first = chunked(b"retry: 5\n\n" + event(1) + event(3), clean=False)
    browser, _ = await followed(first, chunked(reset + snapshot + event(10), end(10)))
    assert browser.resets == 1
    assert browser.check(range(1, 11)) == Irregularities(lost=1)  # 2, before the reset; 4 to 9 are in the snapshot


async def test_another_epoch_without_a_reset_is_a_failure() -> None:
    browser, _ = await followed(chunked(event(2), event(3, "zzzz9999")), position="abcd1234.1")
    assert browser.failure is not None
    assert "epoch zzzz9999" in browser.failure


async def test_a_browser_with_a_goal_may_leave_there() -> None:
    async with serving(chunked(event(4), event(5), clean=False)) as (port, _):
        browser = Browser(port, "/", "abcd1234.3", goal=5, leaves=True)
        await asyncio.wait_for(browser.follow(), SECONDS)
    assert browser.reached_at is not None
    assert not browser.check(range(1, 6))
