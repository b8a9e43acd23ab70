"""The rules of the wire as a browser's own EventSource lives by them: no script of ours between it and the gateway."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.cutting_relay import Cut, CuttingRelay
from tests.browser.event_source import CLOSED, CONNECTING, Seen, watch
from tests.client import MENU, Client, menu_of
from tests.contract.wire.sse import CONTROL, DURABLE, Frame
from tests.gateway_process import GatewayProcess
from tests.servers import wait_until

ALL = sorted(DURABLE | CONTROL)
# Quick to come back, one stream at a time, and slow enough to be looked at.
SETTINGS = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "5",
    "SSE__RETRY_MS": "50",
    "SSE__MAX_CONNECTIONS": "1",
}


@pytest.fixture(scope="module")
def narrow_gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess(settings=SETTINGS) as process:
        yield process


@pytest.fixture(scope="module")
def client(narrow_gateway: GatewayProcess) -> Iterator[Client]:
    with Client(narrow_gateway.url) as client:
        yield client


@contextmanager
def page_on(browser: Browser, url: str) -> Iterator[Page]:
    """A page of this origin that does nothing by itself."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/static/favicon.svg")
    try:
        yield page
    finally:
        context.close()


def durable(seen: Seen) -> list[tuple[str, object, str]]:
    return [(kind, json.loads(data), event_id) for kind, data, event_id in seen.events if kind in DURABLE]


def as_seen(events: list[Frame]) -> list[tuple[str | None, object, str | None]]:
    return [(event.event, event.data, event.id) for event in events]


def names(seen: Seen) -> list[str]:
    return [kind for kind, _, _ in seen.events]


def wait_for_no_stream(client: Client) -> None:
    wait_until(lambda: client.metrics()["stagecast_connections"] == 0, 10, "no stream is open")


def test_a_browser_gets_the_whole_log_and_the_end(
    browser: Browser, narrow_gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    with page_on(browser, narrow_gateway.url) as page:
        seen = watch(page, job.events_url, ALL, "stream.end")

    assert seen.ended == "last"
    assert names(seen)[0] == "stream.open"
    assert seen.errors == []
    wait_for_no_stream(client)
    assert durable(seen) == as_seen(job.read_to_end())


def test_a_browser_that_is_turned_away_comes_back_by_itself_and_gets_everything(
    browser: Browser, narrow_gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(menu_of(2))
    job.read_to_end()
    wait_for_no_stream(client)
    with page_on(browser, narrow_gateway.url) as page, job.session_stream() as place:
        place.read_until("stream.open")
        turned_away = watch(page, job.events_url, ALL, "stream.busy")
        # Nobody closes this one: it asks again and again until the place is free.
        page.evaluate(
            """(url) => {
                window.source = new EventSource(url);
                window.seen = { busy: 0, ids: [], ended: false };
                source.addEventListener("stream.busy", () => { seen.busy += 1; });
                source.addEventListener("stream.end", () => { source.close(); seen.ended = true; });
                for (const type of ["job.accepted", "item.updated", "job.completed"]) {
                    source.addEventListener(type, (event) => seen.ids.push(event.lastEventId));
                }
            }""",
            job.events_url,
        )
        wait_until(lambda: page.evaluate("seen.busy") >= 3, 15, "the browser is turned away three times")
        place.response.close()
        wait_until(lambda: page.evaluate("seen.ended"), 15, "the browser gets the end")
        ids = page.evaluate("seen.ids")

    assert turned_away.ended == "last"
    assert names(turned_away) == [], "nothing but stream.busy"
    wait_for_no_stream(client)
    wanted = ("job.accepted", "item.updated", "job.completed")
    assert ids == [event.id for event in job.read_to_end() if event.event in wanted]


def test_204_stops_a_browser_for_good(browser: Browser, narrow_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    end = job.read_to_end()[-1].id
    wait_for_no_stream(client)
    with CuttingRelay(narrow_gateway.port) as relay, page_on(browser, relay.url) as page:
        seen = watch(page, f"{job.events_url}&last_event_id={end}", ALL, "stream.end")

        assert (seen.ended, seen.state, seen.errors) == ("closed", CLOSED, [CLOSED])
        assert seen.events == []
        assert relay.streams == 1


def test_a_page_that_does_not_close_at_the_end_is_stopped_by_204(
    browser: Browser, narrow_gateway: GatewayProcess, client: Client
) -> None:
    job = client.submit(MENU)
    with CuttingRelay(narrow_gateway.port) as relay, page_on(browser, relay.url) as page:
        seen = watch(page, job.events_url, ALL, "no such event")

        assert (seen.ended, seen.state) == ("closed", CLOSED)
        assert seen.errors == [CONNECTING, CLOSED], "it came back once, with the last id"
        assert names(seen)[-1] == "stream.end"
        assert seen.events[-1][2] == job.snapshot()["head"], "a control frame leaves the position alone"
        assert relay.streams == 2


def test_404_is_final(browser: Browser, narrow_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    with CuttingRelay(narrow_gateway.port) as relay, page_on(browser, relay.url) as page:
        seen = watch(page, job.events_url[:-4] + "AAAA", ALL, "stream.end")

        assert (seen.ended, seen.errors, relay.streams) == ("closed", [CLOSED], 1)


@pytest.mark.parametrize("part", ["id", "event", "data", "the empty line"])
def test_a_browser_cut_off_inside_a_frame_gets_that_event_again_and_no_other(
    browser: Browser, narrow_gateway: GatewayProcess, client: Client, part: str
) -> None:
    job = client.submit(menu_of(4))
    events = job.read_to_end()
    wait_for_no_stream(client)
    cuts = [inside(job.id_of(seq), part) for seq in (3, 3, 20)]
    with CuttingRelay(narrow_gateway.port, cuts) as relay, page_on(browser, relay.url) as page:
        seen = watch(page, job.events_url, ALL, "stream.end")

        assert relay.cut == 3, "nothing was cut"
        assert relay.streams >= 4

    assert seen.ended == "last"
    assert durable(seen) == as_seen(events)
    outcomes = [json.loads(data)["outcome"] for kind, data, _ in seen.events if kind == "stream.open"]
    assert outcomes[0] == "new"
    assert set(outcomes[1:]) == {"resumed"}


def test_a_connection_that_has_reached_its_age_is_closed_and_the_browser_goes_on(browser: Browser) -> None:
    slow = {"SYNTHETIC__LATENCY_MS": "10", "SSE__MAX_CONNECTIONS": "10", "SSE__MAX_AGE_SECONDS": "0.5"}
    with GatewayProcess(settings={**SETTINGS, **slow}) as gateway, Client(gateway.url) as client:
        # The page first: to open one takes a second and more, which the job would not wait for.
        with page_on(browser, gateway.url) as page:
            job = client.submit(menu_of(400))  # four seconds
            seen = watch(page, job.events_url, ALL, "stream.end")
        events = job.read_to_end()

    assert seen.ended == "last"
    assert seen.opened >= 3
    assert seen.errors == [CONNECTING] * (seen.opened - 1)
    assert durable(seen) == as_seen(events)
    # Only who has everything is told so before the connection is closed; on a busy stream that may be nobody.
    for kind, data, position in seen.events:
        assert kind != "stream.head" or json.loads(data)["head"] == position


def inside(event_id: str, part: str) -> Cut:
    """In the middle of this part of the frame with this id."""

    def find(answer: bytes) -> int | None:
        frame = answer.find(f"id: {event_id}\n".encode())
        end = answer.find(b"\n\n", frame)
        if frame < 0 or end < 0:
            return None
        places = {
            "id": frame + 6,
            "event": answer.index(b"event: ", frame) + 8,
            "data": answer.index(b"data: ", frame) + 30,
            "the empty line": end + 1,
        }
        return places[part]

    return find
