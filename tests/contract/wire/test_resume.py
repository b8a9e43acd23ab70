"""Come back with the last id, from wherever the stream was cut, and nothing is missing, doubled or out of order."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from .api import Job, Server, menu_of
from .fold import fold
from .log_rules import check_ids, check_job
from .sse import Frame

OpenStream = Callable[..., Any]
Finished = tuple[Job, list[Frame]]


def by_header(event_id: str) -> dict[str, Any]:
    return {"headers": {"Last-Event-ID": event_id}}


def by_snake_case(event_id: str) -> dict[str, Any]:
    return {"params": {"last_event_id": event_id}}


def by_camel_case(event_id: str) -> dict[str, Any]:
    return {"params": {"lastEventId": event_id}}


WAYS = (by_header, by_snake_case, by_camel_case)


def test_from_every_single_event_of_a_finished_job_the_rest_comes_exactly(finished: Finished) -> None:
    job, events = finished
    for seq in range(len(events)):
        with job.stream(job.id_of(seq)) as stream:
            opening = stream.read_until("stream.open")[-1]
            end = stream.read_all()[-1]
        assert opening.data == {"outcome": "resumed", "epoch": job.epoch, "head": events[-1].id}
        assert stream.durable == events[seq:]
        assert end.event == "stream.end"


@pytest.mark.parametrize("way", WAYS)
def test_the_last_id_is_taken_from_each_of_its_places(finished: Finished, way: Callable[[str], dict[str, Any]]) -> None:
    job, events = finished
    for open_stream in (job.stream, job.session_stream):
        with open_stream(**way(job.id_of(10))) as stream:
            stream.read_until(lambda frame: frame.id == events[-1].id)
        assert stream.durable == events[10:]


def test_the_header_wins_over_the_query_and_snake_case_over_camel_case(finished: Finished) -> None:
    job, events = finished
    query = {"last_event_id": job.id_of(5), "lastEventId": job.id_of(3)}
    for header, expected in ((job.id_of(8), 8), (None, 5), ("", 5)):
        with job.stream(header, params=query) as stream:
            stream.read_all()
        assert stream.durable == events[expected:]
    with job.stream(params={"last_event_id": "", "lastEventId": job.id_of(3)}) as stream:
        stream.read_all()
    assert stream.durable == events[3:]


def test_an_empty_last_id_is_none(finished: Finished) -> None:
    job, events = finished
    with job.stream("", params={"last_event_id": "", "lastEventId": ""}) as stream:
        opening = stream.read_until("stream.open")[-1]
        stream.read_all()

    assert opening.data["outcome"] == "new"
    assert stream.durable == events


def test_a_position_wins_over_from_snapshot(finished: Finished) -> None:
    job, events = finished
    for way in WAYS:
        options = way(job.id_of(10))
        options["params"] = {**options.get("params", {}), "from": "snapshot"}
        with job.stream(**options) as stream:
            frames = stream.read_all()
        assert "stream.snapshot" not in {frame.event for frame in frames}
        assert stream.durable == events[10:]


@pytest.mark.parametrize("way", WAYS)
def test_a_reconnect_at_the_end_is_over_with_204(finished: Finished, way: Callable[[str], dict[str, Any]]) -> None:
    job, events = finished
    answer = job.server.get(job.stream_url, job.session_token, **way(events[-1].id or ""))

    assert (answer.status_code, answer.content) == (204, b"")


def test_past_the_end_of_the_job_but_within_the_session_is_the_end_too(server: Server) -> None:
    job = server.submit(menu_of(1))
    last = job.read_to_end()[-1].seq
    head = job.add(menu_of(1)).read_to_end()[-1].seq
    for seq in range(last, head + 1):
        answer = server.get(job.stream_url, job.session_token, params={"last_event_id": job.id_of(seq)})
        assert answer.status_code == 204


def test_an_id_of_another_job_of_the_session_is_a_good_position(two_finished: tuple[Job, Job]) -> None:
    first, second = two_finished
    events = second.read_to_end()
    with second.stream(first.id_of(1)) as stream:
        opening = stream.read_until("stream.open")[-1]
        stream.read_all()

    assert opening.data["outcome"] == "resumed"
    assert stream.durable == events


@pytest.mark.parametrize("seed", [1, 2])
def test_any_number_of_drops_in_a_running_job_gives_everything_once_and_in_order(server: Server, seed: int) -> None:
    chance = random.Random(seed)
    job = server.submit(menu_of(60))
    received: list[Frame] = []
    connections = 0
    while not received or not (received[-1].event or "").startswith("job.completed"):
        connections += 1
        options = chance.choice(WAYS)(received[-1].id or "") if received else {}
        with job.stream(**options) as stream:
            opening = stream.read_until("stream.open")[-1]
            assert opening.data["outcome"] == ("resumed" if received else "new")
            wanted = chance.randint(0, 40)
            for frame in stream if wanted else ():
                if frame.event == "stream.end" or len(stream.durable) >= wanted:
                    break
            # What had arrived behind the last frame is lost with the connection, as in a browser.
            received += stream.durable

    assert connections > 5
    check_ids(received)
    check_job(received, "menu")
    assert received == job.read_to_end()


@pytest.mark.parametrize("seq", [0, 3, 10_000])
def test_a_position_of_another_life_of_the_log_starts_again_from_a_snapshot(finished: Finished, seq: int) -> None:
    job, _ = finished
    other = "zzzzzzzz" if job.epoch != "zzzzzzzz" else "yyyyyyyy"
    check_reset(job, job.stream, f"{other}.{seq}", "epoch_changed", ended=True)
    check_reset(job, job.session_stream, f"{other}.{seq}", "epoch_changed", ended=False)


def test_a_position_ahead_of_the_log_starts_again_from_a_snapshot(finished: Finished) -> None:
    job, events = finished
    for seq in (len(events) + 1, 10**17):
        check_reset(job, job.stream, job.id_of(seq), "ahead_of_head", ended=True)
        check_reset(job, job.session_stream, job.id_of(seq), "ahead_of_head", ended=False)


def test_a_reset_in_a_running_job_goes_on_live_after_the_snapshot(server: Server) -> None:
    job = server.submit(menu_of(60))
    with job.stream() as running:
        running.read_until("item.updated")
    with job.stream(f"{job.epoch}.99999") as stream:
        frames = stream.read_until("stream.snapshot")
        stream.read_all()

    assert [frame.event for frame in frames] == [None, "stream.open", "stream.reset", "stream.snapshot"]
    check_ids(stream.durable, first=int(frames[-1].data["head"].rpartition(".")[2]) + 1)
    assert fold(frames[-1].data, stream.durable) == job.snapshot()


def check_reset(job: Job, open_stream: OpenStream, last_event_id: str, reason: str, *, ended: bool) -> None:
    """stream.open, stream.reset, stream.snapshot, and never an event of before."""
    with open_stream(last_event_id) as stream:
        if ended:
            frames = stream.read_all()
            assert frames.pop().event == "stream.end"
        else:
            frames = stream.read_until("stream.snapshot")
    assert [frame.event for frame in frames] == [None, "stream.open", "stream.reset", "stream.snapshot"]
    _, opening, reset, snapshot = (frame.data for frame in frames)
    assert not stream.durable
    head = job.snapshot()["head"] if ended else job.session()["head"]
    assert opening == {"outcome": "reset", "epoch": job.epoch, "head": head}
    assert reset == {"reason": reason, "epoch": job.epoch, "head": head}
    assert snapshot["head"] == head
    if ended:
        assert snapshot == job.snapshot()
