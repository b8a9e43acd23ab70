"""A stream's headers and frames, byte for byte, besides what its events mean."""

import json
from collections import Counter

import pytest

from .api import MENU, PROMPT, Job, Server, menu_of
from .eventsource import Interpreter
from .fold import TERMINAL
from .log_rules import check_ids
from .sse import Frame

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
ENDED = {f"job.{status}" for status in TERMINAL}


@pytest.mark.parametrize("accepted", ["identity", "gzip", "gzip, deflate, br, zstd"])
def test_a_stream_has_the_headers_that_keep_it_whole_and_is_never_compressed(
    finished: tuple[Job, list[Frame]], accepted: str
) -> None:
    job, _ = finished
    for url in (job.stream_url, f"{job.session_url}/events"):
        with job.server.stream(url, job.session_token, headers={"Accept-Encoding": accepted}) as stream:
            headers = stream.response.headers
            stream.read_until("stream.open")
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert "content-encoding" not in headers
        assert "content-length" not in headers


@pytest.mark.parametrize("accepted", ["text/event-stream", "*/*", "application/json", "text/html"])
def test_a_stream_answers_the_same_whatever_the_client_says_it_accepts(
    finished: tuple[Job, list[Frame]], accepted: str
) -> None:
    job, events = finished
    with job.stream(headers={"Accept": accepted}) as stream:
        stream.read_all()
    assert stream.response.headers["content-type"] == HEADERS["content-type"]
    assert stream.durable == events


def test_head_answers_the_headers_at_once_and_no_body(finished: tuple[Job, list[Frame]]) -> None:
    job, _ = finished
    for url in (job.stream_url, f"{job.session_url}/events"):
        answer = job.server.request("HEAD", url, headers={"Authorization": f"Bearer {job.session_token}"})
        assert answer.status_code == 200
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.content == b""


def test_a_quiet_stream_begins_at_once(finished: tuple[Job, list[Frame]]) -> None:
    job, events = finished
    # Nothing will ever happen here: what comes, comes because the connection was opened.
    with job.session_stream(events[-1].id) as stream:
        retry, opening = (next(iter(stream)) for _ in range(2))

    assert retry.retry is not None
    assert retry.event is None
    assert (opening.event, opening.data["outcome"]) == ("stream.open", "resumed")


def test_a_stream_begins_with_a_retry_and_its_opening_and_then_the_first_event(
    finished: tuple[Job, list[Frame]],
) -> None:
    job, events = finished
    for open_stream in (job.stream, job.session_stream):
        with open_stream() as stream:
            retry, opening, first = (next(iter(stream)) for _ in range(3))
        assert retry.retry is not None
        assert (opening.event, opening.id) == ("stream.open", None)
        assert opening.data == {"outcome": "new", "epoch": job.epoch, "head": events[-1].id}
        assert first == events[0]
        assert first.event == "job.accepted"


def test_every_connection_is_given_a_delay_of_its_own(finished: tuple[Job, list[Frame]]) -> None:
    job, _ = finished
    delays = []
    for _ in range(8):
        with job.session_stream() as stream:
            delays.append(next(iter(stream)).retry)

    assert all(delay is not None and delay > 0 for delay in delays)
    assert Counter(delays).most_common(1)[0][1] < 8, "browsers that were cut off together would come back together"


def test_a_stream_ends_with_its_proof_and_then_the_connection_is_closed(finished: tuple[Job, list[Frame]]) -> None:
    job, events = finished
    with job.stream() as stream:
        end = stream.read_all()[-1]

    assert (end.event, end.id) == ("stream.end", None)
    assert end.data == {"job_id": job.job_id, "status": "completed", "head": events[-1].id}


def test_a_browser_makes_the_same_of_the_bytes_wherever_they_are_cut(finished: tuple[Job, list[Frame]]) -> None:
    job, events = finished
    with job.stream() as stream:
        stream.read_all()
    body = bytes(stream.raw)
    whole, in_bytes = Interpreter(), Interpreter()
    whole.connect([body])
    in_bytes.connect(body[n : n + 1] for n in range(len(body)))

    assert in_bytes == whole
    durable = [event for event in whole.events if not event.type.startswith("stream.")]
    assert [(event.type, json.loads(event.data), event.last_event_id) for event in durable] == [
        (event.event, event.data, event.id) for event in events
    ]
    assert whole.events[-1].type == "stream.end"
    assert whole.events[-1].last_event_id == events[-1].id, "a control frame leaves the browser's position alone"


def test_a_browser_that_is_cut_off_inside_a_frame_asks_for_that_event_again(
    finished: tuple[Job, list[Frame]],
) -> None:
    job, events = finished
    with job.stream() as stream:
        stream.read_all()
    body = bytes(stream.raw)
    fourth, fifth = (body.index(f"id: {event.id}\n".encode()) for event in events[3:5])
    for cut in (fourth, fourth + 5, fifth - 3, fifth - 1, fifth, fifth + 1):
        browser = Interpreter()
        browser.connect([body[:cut]])
        complete = 4 if cut >= fifth else 3
        assert browser.last_event_id == events[complete - 1].id
        with job.stream(browser.last_event_id) as rest:
            rest.read_all()
        assert rest.durable == events[complete:]


def test_two_sessions_never_mix(server: Server) -> None:
    one, two = server.submit(menu_of(40)), server.submit(menu_of(40))
    with one.session_stream() as first, two.session_stream() as second:
        for stream, job in ((first, one), (second, two)):
            stream.read_until(lambda frame: frame.event in ENDED)
            check_ids(stream.durable)
            assert {event.data["job_id"] for event in stream.durable} == {job.job_id}
            assert {event.id.partition(".")[0] for event in stream.durable} == {job.epoch}
    assert one.epoch != two.epoch


def test_a_sessions_stream_has_all_its_jobs_and_a_jobs_stream_its_own_under_the_same_ids(
    two_finished: tuple[Job, Job],
) -> None:
    first, second = two_finished
    head = first.session()["head"]
    with first.session_stream() as stream:
        stream.read_until(lambda frame: frame.id == head)

    check_ids(stream.durable)
    for job in (first, second):
        own = [event for event in stream.durable if event.data["job_id"] == job.job_id]
        assert own == job.read_to_end()
    assert {event.data["job_id"] for event in stream.durable} == {first.job_id, second.job_id}


def test_a_sessions_stream_goes_on_with_jobs_that_are_added_later(server: Server) -> None:
    first = server.submit(MENU)
    with first.session_stream() as stream:
        stream.read_until(lambda frame: frame.event in ENDED)
        later = first.add(PROMPT)
        stream.read_until(lambda frame: frame.event in ENDED and frame.data["job_id"] == later.job_id)

    check_ids(stream.durable)
    assert stream.durable[-1].id == first.session()["head"]


def test_a_live_stream_and_a_replayed_one_are_the_same(server: Server) -> None:
    job = server.submit(menu_of(40))
    with job.stream() as live:
        live.read_all()
    with job.stream() as replayed:
        replayed.read_all()

    assert live.durable == replayed.durable


def test_a_heartbeat_proves_that_nothing_is_missing_and_has_no_id(beating_server: Server) -> None:
    job = beating_server.submit(MENU)
    head = job.read_to_end()[-1].id
    with job.session_stream(head) as stream:
        beats = [stream.read_until("stream.head")[-1] for _ in range(2)]

    assert not stream.durable
    for beat in beats:
        assert beat.id is None
        assert beat.data == {"epoch": job.epoch, "head": head}


def test_a_jobs_heartbeat_names_the_last_event_of_the_job_and_not_of_the_session(
    beating_server: Server, two_finished: tuple[Job, Job], running_job: Job
) -> None:
    with running_job.stream() as stream:
        stream.read_until("job.started")
        running_job.add(MENU).read_to_end()
        beat = stream.read_until("stream.head")[-1]

    assert beat.data["head"] == stream.durable[-1].id
    assert stream.durable[-1].data["job_id"] == running_job.job_id
