"""The log by polling is the log of the stream."""

import pytest

from .api import Job, Server, menu_of
from .log_rules import check_job
from .sse import Frame

Finished = tuple[Job, list[Frame]]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_of_any_size_are_together_the_stream(finished: Finished, limit: int) -> None:
    job, events = finished
    polled, after, head = [], "0", ""
    while after != head:
        page = job.poll(after=after, limit=limit).json()
        assert set(page) == {"epoch", "head", "events", "next_after"}
        assert 1 <= len(page["events"]) <= limit
        assert page["next_after"] == page["events"][-1]["id"]
        polled += page["events"]
        after, head = page["next_after"], page["head"]

    assert [(one["id"], one["type"], one["data"]) for one in polled] == [
        (event.id, event.event, event.data) for event in events
    ]


def test_a_page_begins_after_a_number_as_after_an_id(finished: Finished) -> None:
    job, events = finished
    for seq in (0, 1, len(events) - 1, len(events)):
        by_number, by_id = job.poll(after=seq).json(), job.poll(after=job.id_of(seq)).json()
        assert by_number == by_id
        assert [one["id"] for one in by_id["events"]] == [event.id for event in events[seq:]]


def test_a_page_holds_a_hundred_events_when_no_limit_is_given(server: Server) -> None:
    job = server.submit(menu_of(20))
    events = job.read_to_end()
    page = job.poll().json()

    assert len(events) > 100
    assert [one["id"] for one in page["events"]] == [event.id for event in events[:100]]
    assert page["next_after"] == events[99].id
    assert page["head"] == events[-1].id


def test_at_the_head_there_is_an_empty_page(finished: Finished) -> None:
    job, events = finished
    page = job.poll(after=events[-1].id)

    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert page.json() == {
        "epoch": job.epoch,
        "head": events[-1].id,
        "events": [],
        "next_after": events[-1].id,
    }


def test_a_running_job_can_be_followed_by_polling_alone(server: Server) -> None:
    job = server.submit(menu_of(40))
    polled: list[Frame] = []
    pages, ended = 0, False
    while not ended:
        page = job.poll(after=polled[-1].id if polled else 0).json()
        polled += [Frame(one["type"], one["data"], one["id"], None) for one in page["events"]]
        ended = bool(polled) and polled[-1].event == "job.completed"
        pages += 1
        assert pages < 10_000, "the job does not end"

    check_job(polled, "menu")
    assert polled == job.read_to_end()
