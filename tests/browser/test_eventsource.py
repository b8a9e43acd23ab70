"""What a browser's EventSource does with bytes and statuses: the facts on which the rules of the wire rest.

The cases are those that the HTML standard settles. Each is shown to a real Chromium, and to the wire suite's own
reading of the standard (tests/contract/wire/eventsource.py), which so can be trusted to speak for a browser.
"""

import random
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.event_source import CLOSED, CONNECTING, watch
from tests.browser.stream_bodies import BODIES, random_body
from tests.browser.stub_server import Answer, StubServer
from tests.contract.wire.eventsource import Interpreter

TYPES = ("message", "a", "b")
LAST = "the-last"
# A browser that is told nothing waits for three seconds before it comes back.
SOON = b"retry: 1\n\n"
END = b"event: the-last\ndata: x\n\n"
NOT_200 = (
    "204 No Content",
    "205 Reset Content",
    "400 Bad Request",
    "401 Unauthorized",
    "404 Not Found",
    "409 Conflict",
    "429 Too Many Requests",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
)


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture(scope="module")
def page(browser: Browser, stub: StubServer) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(stub.url)
    yield page
    context.close()


@pytest.fixture
def path() -> str:
    """An address of this test's own."""
    return f"/{secrets.token_hex(8)}"


@pytest.mark.parametrize("what", BODIES)
def test_the_bytes_of_a_stream_are_read_as_the_standard_says(
    page: Page, stub: StubServer, path: str, what: str
) -> None:
    parts, expected = BODIES[what]
    # The body stands in the middle of three connections, so that both its first and its last byte count, and the
    # next request says which id is left.
    stub.script(path, Answer([SOON]), Answer(parts), Answer([END]))
    seen = watch(page, path, TYPES, LAST)
    reading = Interpreter()
    for connection in ([SOON], parts):
        reading.connect(connection)

    assert seen.ended == "last"
    assert seen.events == expected
    assert [(event.type, event.data, event.last_event_id) for event in reading.events] == expected
    *_, after = stub.requests(path)
    assert after.headers.get("last-event-id", "") == reading.last_event_id
    assert seen.errors == [CONNECTING] * 2


@pytest.mark.parametrize("seed", [1, 2])
def test_random_bytes_are_read_alike(page: Page, stub: StubServer, path: str, seed: int) -> None:
    chance = random.Random(seed)
    bodies = [[SOON], *(random_body(chance) for _ in range(50))]
    stub.script(path, *(Answer(body) for body in bodies), Answer([END]))
    seen = watch(page, path, TYPES, LAST)
    reading, ids = Interpreter(), [""]
    for body in bodies:
        reading.connect(body)
        ids.append(reading.last_event_id)

    assert seen.ended == "last"
    events = [(event.type, event.data, event.last_event_id) for event in reading.events if event.type in TYPES]
    assert len(events) > 10
    assert seen.events == events
    # Spaces around a header's value are no part of it.
    assert [asked.headers.get("last-event-id", "") for asked in stub.requests(path)] == [
        one.strip(" \t") for one in ids
    ]


# A delay that is empty is left out: there Chromium goes back to its own three seconds, which the standard does not say.
@pytest.mark.parametrize("line", [b"retry: 1", b"retry:1", b"retry: 001"])
def test_digits_are_a_delay(page: Page, stub: StubServer, path: str, line: bytes) -> None:
    # Were they not, the page would wait for a minute.
    stub.script(path, Answer([b"retry: 60000\n\n" + line + b"\n\n"]), Answer([END]))

    assert watch(page, path, TYPES, LAST).ended == "last"


@pytest.mark.parametrize("value", [b"1s", b"1.5", b"-1", b"+1", b"0x1", b"\xd9\xa1"])
def test_anything_else_is_no_delay(page: Page, stub: StubServer, path: str, value: bytes) -> None:
    """The browser keeps the 60 ms that it was told before: it never comes back sooner."""
    body = b"retry: 60\n\nretry: " + value + b"\ndata: x\n\n"
    stub.script(path, Answer([body]), Answer([END]))
    took = page.evaluate(
        """(url) => new Promise((resolve) => {
            const source = new EventSource(url);
            let lost;
            source.onerror = () => { lost = performance.now(); };
            source.addEventListener("the-last", () => { source.close(); resolve(performance.now() - lost); });
        })""",
        path,
    )
    reading = Interpreter()
    reading.connect([body])

    assert reading.retry_ms == 60
    assert took >= 30, "a page that is starved notices late that the connection is gone"


def test_a_reconnect_says_the_last_id_and_the_first_request_says_none(page: Page, stub: StubServer, path: str) -> None:
    stub.script(
        path,
        Answer([SOON, b"id: k3v9x0ab.1\ndata: x\n\n"]),
        Answer([b"event: a\ndata: y\n\n"]),
        Answer([b"id: k3v9x0ab.2\ndata: z\n\n"]),
        Answer([END]),
    )
    seen = watch(page, path, TYPES, LAST)

    ids = [asked.headers.get("last-event-id") for asked in stub.requests(path)]
    assert ids == [None, "k3v9x0ab.1", "k3v9x0ab.1", "k3v9x0ab.2"]
    assert seen.events == [("message", "x", "k3v9x0ab.1"), ("a", "y", "k3v9x0ab.1"), ("message", "z", "k3v9x0ab.2")]
    assert seen.opened == 4
    for asked in stub.requests(path):
        assert asked.headers["accept"] == "text/event-stream"
        assert asked.headers["cache-control"] == "no-cache"


def test_a_connection_cut_off_inside_a_frame_drops_it_and_asks_for_it_again(
    page: Page, stub: StubServer, path: str
) -> None:
    whole = b"id: 1\ndata: x\n\nid: 2\ndata: y\n\n"
    stub.script(
        path,
        Answer([SOON]),
        Answer([whole[:-1]], promised_bytes=10_000),
        Answer([b"id: 2\ndata: y\n\n", END]),
    )
    seen = watch(page, path, TYPES, LAST)

    assert seen.events == [("message", "x", "1"), ("message", "y", "2")]
    assert stub.requests(path)[2].headers["last-event-id"] == "1"


@pytest.mark.parametrize("status", NOT_200)
def test_every_status_but_200_is_final(page: Page, stub: StubServer, path: str, status: str) -> None:
    # Also on a reconnect, and whatever the answer says about trying again.
    bad = Answer([SOON, END], status=status, headers={"Retry-After": "0"})
    empty = status.startswith(("204", "205"))
    stub.script(path, Answer([SOON]), Answer(status=status) if empty else bad, Answer([END]))
    seen = watch(page, path, TYPES, LAST)

    assert (seen.ended, seen.state) == ("closed", CLOSED)
    assert seen.errors == [CONNECTING, CLOSED]
    assert seen.events == []
    assert len(stub.requests(path)) == 2


def test_200_with_a_delay_and_an_end_is_no_refusal(page: Page, stub: StubServer, path: str) -> None:
    busy = b'retry: 1\nevent: a\ndata: {"retry_ms":1}\n\n'
    stub.script(path, Answer([busy]), Answer([busy]), Answer([END]))
    seen = watch(page, path, TYPES, LAST)

    assert seen.ended == "last"
    assert len(seen.events) == 2


def test_a_connection_that_breaks_before_any_answer_is_tried_again(page: Page, stub: StubServer, path: str) -> None:
    stub.script(path, Answer([SOON]), Answer(status=""), Answer([END]))
    seen = watch(page, path, TYPES, LAST)

    assert seen.ended == "last"
    assert seen.errors == [CONNECTING] * 2
    assert len(stub.requests(path)) == 3


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
def test_a_redirect_is_followed(page: Page, stub: StubServer, path: str, status: str) -> None:
    target = f"{path}-target"
    stub.script(path, Answer(status=status, headers={"Location": target}, content_type=None))
    stub.script(target, Answer([b"data: x\n\n", END]))
    seen = watch(page, path, TYPES, LAST)

    assert seen.ended == "last"
    assert seen.events == [("message", "x", "")]


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        ("text/event-stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;charset=UTF-8", True),
        ("text/event-stream; foo=bar", True),
        ("TEXT/Event-Stream", True),
        ("text/event-stream; charset=iso-8859-1", False),
        ("text/plain", False),
        ("application/problem+json", False),
        ("text/x-event-stream", False),
        ("text/event-stream2", False),
        (None, False),
    ],
)
def test_another_content_type_is_final(
    page: Page, stub: StubServer, path: str, content_type: str | None, is_taken: bool
) -> None:
    stub.script(path, Answer([b"data: x\n\n", END], content_type=content_type))
    seen = watch(page, path, TYPES, LAST)

    assert seen.ended == ("last" if is_taken else "closed")
    assert seen.events == ([("message", "x", "")] if is_taken else [])
    assert len(stub.requests(path)) == 1
