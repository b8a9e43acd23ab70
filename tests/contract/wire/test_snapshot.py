"""A snapshot and the events after its head are the state at any later time, by either way of reading."""

from .api import Job, Server, menu_of
from .fold import blank, fold
from .log_rules import check_ids
from .sse import Frame

Finished = tuple[Job, list[Frame]]


def test_a_snapshot_in_the_middle_and_what_follows_it_make_the_snapshot_at_the_end(server: Server) -> None:
    job = server.submit(menu_of(80))
    seen = []
    with job.stream() as stream:
        for number in (20, 120, 300):
            stream.read_until(lambda frame, number=number: frame.id is not None and frame.seq > number)
            seen.append(job.snapshot())
        stream.read_all()
    end = job.snapshot()

    check_ids(stream.durable)
    for snapshot in (*seen, end):
        seq = int(snapshot["head"].rpartition(".")[2])
        assert fold(blank(snapshot), stream.durable[:seq]) == snapshot
        assert fold(snapshot, stream.durable[seq:]) == end


def test_every_single_event_of_a_finished_job_can_be_folded_one_at_a_time(finished: Finished) -> None:
    job, events = finished
    state = blank(job.snapshot())
    for event in events:
        state = fold(state, [event])
        assert state["head"] == event.id
    assert state == job.snapshot()


def test_from_snapshot_gives_the_picture_and_then_only_what_follows(server: Server) -> None:
    job = server.submit(menu_of(80))
    with job.stream() as running:
        running.read_until("item.updated")
    with job.stream(params={"from": "snapshot"}) as stream:
        retry, opening, snapshot = (next(iter(stream)) for _ in range(3))
        stream.read_all()

    assert retry.retry
    assert (opening.event, opening.data["outcome"]) == ("stream.open", "new")
    assert (snapshot.event, snapshot.id) == ("stream.snapshot", None)
    check_ids(stream.durable, first=int(snapshot.data["head"].rpartition(".")[2]) + 1)
    assert fold(snapshot.data, stream.durable) == job.snapshot()


def test_a_finished_job_from_its_snapshot_is_the_picture_and_the_end(finished: Finished) -> None:
    job, _ = finished
    with job.stream(params={"from": "snapshot"}) as stream:
        frames = stream.read_all()

    assert [frame.event for frame in frames] == [None, "stream.open", "stream.snapshot", "stream.end"]
    assert frames[2].data == job.snapshot()


def test_a_session_from_its_snapshot_has_its_jobs_whole(two_finished: tuple[Job, Job]) -> None:
    first, second = two_finished
    with first.session_stream(params={"from": "snapshot"}) as stream:
        snapshot = stream.read_until("stream.snapshot")[-1].data

    assert snapshot == {
        "session_id": first.session_id,
        "epoch": first.epoch,
        "head": first.session()["head"],
        "jobs": [first.snapshot(), second.snapshot()],
        "truncated": False,
    }


def test_heads_agree_wherever_they_are_said(finished: Finished) -> None:
    job, events = finished
    with job.stream() as stream:
        frames = stream.read_all()
    heads = {frame.data["head"] for frame in frames if frame.event in ("stream.open", "stream.end")}
    page = job.poll(limit=1000).json()

    assert heads == {events[-1].id}
    assert job.snapshot()["head"] == job.session()["head"] == page["head"] == page["next_after"] == events[-1].id
    assert job.snapshot()["epoch"] == job.session()["epoch"] == page["epoch"] == job.epoch
