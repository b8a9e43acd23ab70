"""The browser module on a page of its own, in Chromium, against every bad ending that an EventSource can see."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from tests.browser.scripted_origin import Followed, found, scripted_origin
from tests.servers import wait_until
from tests.unit.cli.scripted_server import (
    JOB_ID,
    NO_CONTENT,
    ScriptedServer,
    busy,
    chunked,
    ended,
    event,
    events,
    heartbeat,
    opened,
    refusal,
    reset,
    retry,
    snapshot,
    stream,
)

HOLD = ScriptedServer.HOLD
SOON = retry(10)


def log_page(last: int, jobs: dict[int, str]) -> bytes:
    """A page of the session's log up to its last event: whose job the events in between are of."""
    events = [{"id": f"k3v9x0ab.{seq}", "type": "item.updated", "data": {"job_id": job}} for seq, job in jobs.items()]
    return found("application/json", json.dumps({"events": events, "next_after": f"k3v9x0ab.{last}"}).encode())


SKIPPING = chunked(SOON, opened(0), event(1), event(3), ended(3))
HEALED = chunked(SOON, opened(3), snapshot(3), ended(3))
OTHERS = log_page(3, {2: "another"})
RUNNING = found("application/json", b'{"status":"running","head":"k3v9x0ab.2"}')

Scripted = Callable[..., Followed]


@pytest.fixture
def scripted(browser: Browser) -> Iterator[Scripted]:
    """Makes a page whose streams are answered by the scripts."""
    with ExitStack() as stack:

        def script(*scripts: bytes, status: bytes = b"", log: Sequence[bytes] = (b"",)) -> Followed:
            origin = stack.enter_context(scripted_origin(*scripts, status=status, log=log))
            context = browser.new_context()
            stack.callback(context.close)
            return Followed(context.new_page(), origin)

        yield script


def ids(*numbers: int) -> list[str]:
    return [f"k3v9x0ab.{number}" for number in numbers]


def first(*frames: bytes) -> bytes:
    """A connection that the server ends."""
    return chunked(SOON, opened(0), event(1), *frames)


def rest(*frames: bytes) -> bytes:
    """The last connection of a job with two events."""
    return chunked(SOON, opened(2, outcome="resumed"), *frames, event(2), ended(2))


@pytest.mark.parametrize("kind", ["job", "session"])
def test_a_stream_without_trouble_is_complete(scripted: Scripted, kind: str) -> None:
    last = [ended(3)] if kind == "job" else [heartbeat(3), HOLD]
    page = scripted(stream(SOON, opened(0), events(1, 3), *last)).follow(kind)
    report = page.wait_for_state("complete") if kind == "job" else page.wait_for_last("k3v9x0ab.3")

    assert report["seen"] == ids(1, 2, 3)
    assert (report["complete"], report["counters"]["gaps"], report["counters"]["doubled"]) == (True, 0, 0)
    assert report["notices"] == []


@pytest.mark.parametrize("cut", [1, -1, -2, -20])
def test_an_event_that_was_cut_does_not_count(scripted: Scripted, cut: int) -> None:
    page = scripted(first(event(2, note="￥９８０")[:cut]), rest()).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert page.origin.resumed_from == [None, "k3v9x0ab.1"]
    assert report["counters"] == {"received": 2, "doubled": 0, "gaps": 0, "connections": 2, "snapshots": 0}


def test_a_body_that_ends_within_a_character_does_not_count(scripted: Scripted) -> None:
    whole = event(2, note="￥")
    page = scripted(first(whole[: whole.index("￥".encode()) + 1]), rest()).follow()

    assert page.wait_for_state("complete")["seen"] == ids(1, 2)


def test_events_that_come_again_are_dropped(scripted: Scripted) -> None:
    page = scripted(first(event(2)), chunked(SOON, opened(3), events(1, 3), ended(3))).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2, 3)
    assert report["counters"]["doubled"] == 2


@pytest.mark.parametrize("claim", [heartbeat(2), ended(2)], ids=["heartbeat", "end"])
def test_a_head_that_is_not_here_is_asked_for(scripted: Scripted, claim: bytes) -> None:
    page = scripted(first(claim) + HOLD, rest()).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert page.origin.resumed_from == [None, "k3v9x0ab.1"]
    assert (report["counters"]["gaps"], report["complete"]) == (1, True)


def test_a_hole_in_a_session_is_noticed_at_the_first_event_behind_it(scripted: Scripted) -> None:
    holed = stream(SOON, opened(4), event(1), event(3), event(4)) + HOLD
    page = scripted(holed, stream(SOON, opened(4), events(2, 4)) + HOLD).follow("session")
    report = page.wait_for_last("k3v9x0ab.4")

    assert report["seen"] == ids(1, 2, 3, 4)
    assert page.origin.resumed_from == [None, "k3v9x0ab.1"]
    assert (report["counters"]["gaps"], report["counters"]["doubled"], report["complete"]) == (1, 0, True)


@pytest.mark.timeout(90)
def test_a_hole_that_stays_is_bridged_by_a_snapshot(scripted: Scripted) -> None:
    holed = stream(SOON, opened(4), event(3)) + HOLD
    healed = stream(SOON, opened(4), snapshot(4), event(5)) + HOLD
    page = scripted(first(), holed, holed, holed, holed, healed).follow("session")
    report = page.wait_for_last("k3v9x0ab.5")

    assert report["seen"] == [*ids(1), "snapshot k3v9x0ab.4", *ids(5)]
    assert page.origin.resumed_from == [None, *ids(1, 1, 1, 1), "snapshot"]


@pytest.mark.parametrize("kind", ["job", "session"])
def test_a_log_without_its_beginning_is_replaced_by_a_snapshot(scripted: Scripted, kind: str) -> None:
    healed = stream(SOON, opened(9), snapshot(9), event(10)) + HOLD
    page = scripted(stream(SOON, opened(9), event(8)) + HOLD, healed).follow(kind)

    assert page.wait_for_last("k3v9x0ab.10")["seen"] == ["snapshot k3v9x0ab.9", *ids(10)]
    assert page.origin.resumed_from == [None, "snapshot"]


@pytest.mark.parametrize(
    "foreign",
    [
        first(event(2, "otherlog")),
        first(heartbeat(1, "otherlog")),
        first(ended(1, "otherlog")),
    ],
    ids=["event", "head", "end"],
)
def test_another_log_without_a_reset_is_not_believed(scripted: Scripted, foreign: bytes) -> None:
    healed = stream(SOON, opened(5, "newepoch"), snapshot(5, "newepoch"), event(6, "newepoch"), ended(6, "newepoch"))
    page = scripted(foreign + HOLD, *[healed] * 5).follow()
    report = page.wait_for_state("complete")

    assert report["seen"][-2:] == ["snapshot newepoch.5", "newepoch.6"]
    assert "otherlog" not in str(report["seen"])
    assert page.origin.resumed_from[-1] == "snapshot"


def test_events_that_were_not_announced_are_not_believed(scripted: Scripted) -> None:
    page = scripted(stream(SOON, event(1)) + HOLD, stream(SOON, opened(1), snapshot(1), ended(1))).follow()

    assert page.wait_for_state("complete")["seen"] == ["snapshot k3v9x0ab.1"]
    assert page.origin.resumed_from == [None, "snapshot"]


def test_a_reset_that_was_cut_before_its_snapshot_is_asked_for_again(scripted: Scripted) -> None:
    start = SOON + opened(4, "newepoch", "reset") + reset(4, "newepoch")
    healed = stream(start, snapshot(4, "newepoch")) + HOLD
    page = scripted(first(), chunked(start), healed).follow("session")

    assert page.wait_for_last("newepoch.4")["seen"] == [*ids(1), "snapshot newepoch.4"]
    assert page.origin.resumed_from == [None, "k3v9x0ab.1", "snapshot"]


def test_after_a_snapshot_the_next_connection_goes_on_behind_it(scripted: Scripted) -> None:
    start = opened(4, "newepoch", "reset") + reset(4, "newepoch") + snapshot(4, "newepoch")
    after = stream(SOON, opened(5, "newepoch", "resumed"), event(5, "newepoch")) + HOLD
    page = scripted(first(), chunked(SOON, start), after).follow("session")
    report = page.wait_for_last("newepoch.5")

    # By itself the browser would name the last id that it saw, and be reset once more.
    assert page.origin.resumed_from == [None, "k3v9x0ab.1", "newepoch.4"]
    assert report["counters"]["snapshots"] == 1


def test_a_connection_that_the_server_renews_is_no_trouble(scripted: Scripted) -> None:
    page = scripted(first(heartbeat(1)), rest()).follow()
    report = page.wait_for_state("complete")

    assert report["states"] == ["connecting", "live", "renewing", "live", "complete"]
    assert (report["notices"], report["counters"]["connections"]) == ([], 2)


def test_a_renewed_connection_that_does_not_come_back_is_trouble(scripted: Scripted) -> None:
    page = scripted(first(heartbeat(1)), b"", rest()).follow()

    assert page.wait_for_state("complete")["states"] == [
        "connecting", "live", "renewing", "reconnecting", "live", "complete",
    ]  # fmt: skip


def test_a_connection_that_ends_without_a_proof_is_lost(scripted: Scripted) -> None:
    page = scripted(first(heartbeat(1), event(2)), rest()).follow()

    assert page.wait_for_state("complete")["states"] == ["connecting", "live", "reconnecting", "live", "complete"]


@pytest.mark.parametrize("name", ["stream.busy", "stream.drain"])
def test_a_server_that_asks_for_time_gets_it(scripted: Scripted, name: str) -> None:
    page = scripted(first(retry(700), busy(700, name)), rest()).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert "reconnecting" in report["states"]
    asked, again = page.origin.asked_at
    assert again - asked >= 0.65
    (notice,) = report["notices"]
    assert notice.endswith("tries again in about 1 s.")


def test_a_server_that_stops_is_not_called_full(scripted: Scripted) -> None:
    stopping = chunked(SOON, busy(10))
    page = scripted(first(SOON, busy(10, "stream.drain")), stopping, rest()).follow()
    notices = page.wait_for_state("complete")["notices"]

    assert [notice.partition(";")[0] for notice in notices] == ["The server is restarting"] * 2


def test_a_link_that_falls_silent_is_left(scripted: Scripted) -> None:
    page = scripted(stream(SOON, opened(1), event(1)) + HOLD, rest()).follow(silence_ms=3000)
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert page.origin.resumed_from == [None, "k3v9x0ab.1"]


def test_no_content_after_the_last_event_is_the_end(scripted: Scripted) -> None:
    status = found("application/json", b'{"status":"completed","head":"k3v9x0ab.2"}')
    page = scripted(first(event(2)), NO_CONTENT, status=status).follow()
    report = page.wait_for_state("complete")

    assert (report["detail"], report["complete"], page.origin.asked_status) == ("completed", True, 1)


def test_no_content_before_the_last_event_is_not_believed(scripted: Scripted) -> None:
    status = found("application/json", b'{"status":"completed","head":"k3v9x0ab.2"}')
    page = scripted(first(), NO_CONTENT, rest(), status=status).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert report["counters"]["gaps"] == 1


@pytest.mark.parametrize("kind", ["job", "session"])
def test_what_is_not_there_is_final(scripted: Scripted, kind: str) -> None:
    page = scripted(first(), refusal(404), status=refusal(404)).follow(kind)
    report = page.wait_for_state("ended")

    assert len(page.origin.requests) == 2
    assert (report["last"], page.origin.asked_status) == ("k3v9x0ab.1", 1)


@pytest.mark.parametrize(
    "answer",
    [refusal(503), found("text/html", b"<p>Back soon"), refusal(429)],
    ids=["503", "a page", "429"],
)
def test_a_proxy_that_answers_for_the_server_is_waited_for(scripted: Scripted, answer: bytes) -> None:
    page = scripted(first(), answer, answer, rest(), status=RUNNING).follow()
    report = page.wait_for_state("complete")

    assert report["seen"] == ids(1, 2)
    assert (page.origin.asked_status, report["counters"]["gaps"]) == (2, 0)
    assert page.origin.resumed_from == [None, *ids(1, 1, 1)]


@pytest.mark.parametrize("status", [503, 429])
def test_a_server_that_cannot_say_how_things_stand_is_asked_again(scripted: Scripted, status: int) -> None:
    back = stream(SOON, opened(2), event(2)) + HOLD
    page = scripted(first(), refusal(503), back, status=refusal(status)).follow("session")

    assert page.wait_for_last("k3v9x0ab.2")["seen"] == ids(1, 2)
    assert page.origin.asked_status == 1


def test_pauses_are_random_from_zero_on_and_grow(scripted: Scripted) -> None:
    page = scripted(first(), *[refusal(503)] * 3, rest(), status=RUNNING)
    page.tab.add_init_script(
        """globalThis.pauses = [];
        const real = setTimeout, high = [0.999, 0.001, 0.999];
        let calls = 0;
        Math.random = () => high[Math.min(calls++, 2)];
        globalThis.setTimeout = (run, pause) => { pauses.push(pause); return real(run, Math.min(pause, 50)); };"""
    )
    page.follow()
    page.wait_for_state("complete")

    first_pause, second, third = (round(pause) for pause in page.tab.evaluate("() => pauses"))
    assert (first_pause, second, third) == (500, 1, 1998)


def test_a_wish_to_be_left_alone_outlives_the_connection(scripted: Scripted) -> None:
    page = scripted(first(retry(10), busy(60_000, "stream.drain")), refusal(503), rest(), status=RUNNING)
    page.tab.add_init_script(
        """globalThis.pauses = [];
        const real = setTimeout;
        globalThis.setTimeout = (run, pause) => { pauses.push(pause); return real(run, Math.min(pause, 50)); };"""
    )
    page.follow()
    page.wait_for_state("complete")

    (pause,) = page.tab.evaluate("() => pauses.filter((pause) => pause > 0)")
    assert 30_000 < pause <= 60_000


def test_frames_that_make_no_sense_are_asked_for_again(scripted: Scripted) -> None:
    broken = b"id: k3v9x0ab.2\nevent: item.updated\ndata: {\n\n"
    page = scripted(first(broken) + HOLD, rest()).follow()
    report = page.wait_for_state("complete")

    # The broken one's id must not become the position.
    assert page.origin.resumed_from == [None, "k3v9x0ab.1"]
    assert (report["seen"], report["counters"]["gaps"]) == (ids(1, 2), 1)


def test_frames_of_no_known_kind_are_left_to_newer_pages(scripted: Scripted) -> None:
    unknown = b"event: stream.weather\ndata: {}\n\ndata: x\n\n: comment\n\nfoo: bar\n\n"
    page = scripted(stream(SOON, opened(1), unknown, event(1), unknown, ended(1))).follow()

    assert page.wait_for_state("complete")["counters"]["gaps"] == 0


def test_events_of_a_newer_server_are_heard_once_they_are_named(scripted: Scripted) -> None:
    script = stream(SOON, opened(0), event(1), event(2, kind="item.praised"), heartbeat(2)) + HOLD
    page = scripted(script).follow("session", types="item.praised")

    assert page.wait_for_last("k3v9x0ab.2")["seen"] == ids(1, 2)


def test_text_arrives_as_it_was_written(scripted: Scripted) -> None:
    odd = "a\u2028b\u2029c\u0085d\ufeffe￥\U0001f363"
    page = scripted(stream(b"\xef\xbb\xbf", SOON, opened(1), event(1, note=odd), ended(1))).follow()

    assert page.wait_for_state("complete")["notes"] == [odd]


def test_a_skip_in_a_job_is_looked_up_before_it_is_complete(scripted: Scripted) -> None:
    page = scripted(SKIPPING, HEALED, log=[log_page(3, {2: JOB_ID})]).follow(log=True)
    report = page.wait_for_state("complete")
    assert report["seen"] == [*ids(1, 3), "snapshot k3v9x0ab.3"]
    assert report["counters"]["gaps"] == 1

    page = scripted(SKIPPING, log=[OTHERS]).follow(log=True)
    report = page.wait_for_state("complete")
    assert (report["seen"], report["counters"]["gaps"]) == (ids(1, 3), 0)


def test_a_skip_that_arises_while_others_are_looked_up_is_looked_up_too(scripted: Scripted) -> None:
    # The server lost event 4 on the way. Two heartbeats came before the log said whose 2 is.
    beating = stream(SOON, opened(0), event(1), event(3), heartbeat(3), heartbeat(3), event(5)) + HOLD
    over = chunked(SOON, opened(5, outcome="resumed"), ended(5))
    healed = chunked(SOON, opened(5), snapshot(5), ended(5))
    page = scripted(beating, over, healed, log=[log_page(5, {2: "another", 4: JOB_ID})])
    page.tab.add_init_script(
        """globalThis.pending = 0;
        const real = fetch;
        globalThis.fetch = async (...asked) => {
          pending += 1;
          try { return await real(...asked); } finally { pending -= 1; }
        };"""
    )
    page.follow(log=True)
    page.wait_for_last("k3v9x0ab.5")
    wait_until(lambda: bool(page.origin.asked_log) and page.tab.evaluate("pending === 0"), 20, "the log has answered")
    assert page.origin.asked_log == ids(1), "one look-up at a time"
    page.tab.evaluate("() => { stream.drop(); stream.resume(); }")
    report = page.wait_for_state("complete")

    assert page.origin.asked_log == ids(1, 3)
    assert report["seen"] == [*ids(1, 3, 5), "snapshot k3v9x0ab.5"]


def test_a_log_that_answers_after_the_connection_was_closed_does_not_make_it_live(scripted: Scripted) -> None:
    page = scripted(chunked(retry(60_000), opened(0), event(1), event(3), heartbeat(3)), log=[OTHERS])
    page.tab.add_init_script(
        """const real = fetch;
        globalThis.fetch = async (...asked) => {
          const answer = await real(...asked);
          await new Promise((release) => { globalThis.release = release; });
          return answer;
        };"""
    )
    page.follow(log=True)
    page.wait_for_state("renewing")
    wait_until(lambda: page.tab.evaluate("'release' in globalThis"), 20, "the log has answered")
    page.tab.evaluate("release()")
    wait_until(lambda: page.tab.evaluate("stream.proven"), 20, "the skip is explained")

    assert page.report()["state"] != "live"


def test_a_look_up_that_a_new_connection_overtakes_is_made_again(scripted: Scripted) -> None:
    beating = stream(SOON, opened(0), event(1), event(3), heartbeat(3)) + HOLD
    again = stream(SOON, opened(3, outcome="resumed"), heartbeat(3)) + HOLD
    page = scripted(beating, again, log=[OTHERS])
    page.tab.add_init_script(
        """const real = fetch;
        globalThis.asked = 0;
        globalThis.fetch = (...address) => (asked++ ? real(...address) : new Promise(() => {}));"""
    )
    page.follow(log=True)
    wait_until(lambda: page.tab.evaluate("asked === 1"), 20, "the log was asked")
    page.tab.evaluate("() => { stream.drop(); stream.resume(); }")
    wait_until(lambda: page.tab.evaluate("stream.proven"), 20, "the skip is explained")

    assert (page.tab.evaluate("asked"), page.report()["state"]) == (2, "live")


@pytest.mark.parametrize("answer", [refusal(503), b"", found("text/html", b"<p>Back soon")], ids=["503", "", "a page"])
def test_a_log_that_does_not_answer_at_the_end_is_asked_again(scripted: Scripted, answer: bytes) -> None:
    status = found("application/json", b'{"status":"completed","head":"k3v9x0ab.3"}')
    page = scripted(SKIPPING, NO_CONTENT, NO_CONTENT, status=status, log=[answer, answer, OTHERS]).follow(log=True)
    report = page.wait_for_state("complete")

    assert (report["seen"], report["detail"], report["counters"]["gaps"]) == (ids(1, 3), "completed", 0)
    assert (page.origin.asked_log, page.origin.asked_status) == (ids(1, 1, 1), 2)


def test_a_log_that_no_longer_has_what_was_skipped_makes_it_start_over(scripted: Scripted) -> None:
    page = scripted(SKIPPING, HEALED, log=[refusal(409)]).follow(log=True)
    report = page.wait_for_state("complete")

    assert report["seen"] == [*ids(1, 3), "snapshot k3v9x0ab.3"]
    assert (page.origin.resumed_from, report["counters"]["gaps"]) == ([None, "snapshot"], 0)


def test_a_log_that_is_refused_for_good_leaves_the_job_unproven(scripted: Scripted) -> None:
    page = scripted(SKIPPING, log=[refusal(403)]).follow(log=True)
    report = page.wait_for_state("ended")

    assert (report["seen"], report["complete"], len(page.origin.requests)) == (ids(1, 3), False, 1)


def test_a_caller_can_begin_where_another_page_stopped(scripted: Scripted) -> None:
    page = scripted(rest()).follow(last="k3v9x0ab.1")

    assert page.wait_for_state("complete")["seen"] == ids(2)
    assert page.origin.resumed_from == ids(1)


def test_a_dropped_stream_stays_away_until_it_is_resumed(scripted: Scripted) -> None:
    page = scripted(stream(SOON, opened(1), event(1)) + HOLD, rest()).follow()
    page.wait_for_last("k3v9x0ab.1")
    page.tab.evaluate("() => stream.drop()")
    page.wait_for_state("dropped")
    wait_until(lambda: page.tab.evaluate("() => new Promise((done) => setTimeout(() => done(true), 300))"), 5, "0.3 s")
    assert len(page.origin.requests) == 1
    page.tab.evaluate("() => stream.resume()")

    assert page.wait_for_state("complete")["seen"] == ids(1, 2)
