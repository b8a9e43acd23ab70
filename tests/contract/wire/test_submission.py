"""What is submitted is accepted with exactly the contract's answer, and runs to its end."""

import re

import pytest

from .api import KINDS, MENU, MENU_TEXT, PROMPT, Job, Server
from .fold import STAGES, blank, fold
from .log_rules import check_ids, check_job
from .sse import Frame

ID = r"[0-9a-z]{26}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_submission_is_answered_with_exactly_the_contract(server: Server, kind: str) -> None:
    answer = server.post_job(KINDS[kind])
    body = answer.json()
    job, session, token = body["job_id"], body["session_id"], body["session_token"]

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(ID, job)
    assert re.fullmatch(ID, session)
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", token), "it stands in a URL as it is"
    assert re.fullmatch(r"[a-z0-9]{8}\.1", body["head"])
    assert body == {
        "job_id": job,
        "session_id": session,
        "status": "queued",
        "session_token": token,
        "events_url": f"/v1/jobs/{job}/events?token={token}",
        "status_url": f"/v1/jobs/{job}",
        "cancel_url": f"/v1/jobs/{job}/cancel",
        "head": body["head"],
    }
    assert answer.headers["location"] == f"/v1/jobs/{job}"


def test_the_answer_sets_a_cookie_that_scripts_and_other_sites_cannot_use(server: Server) -> None:
    answer = server.post_job(MENU)
    body = answer.json()
    (cookie,) = answer.headers.get_list("set-cookie")

    assert cookie.startswith(f"stagecast_{body['session_id']}={body['session_token']};")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/v1"} <= attributes
    over_https = server.http.base_url.scheme == "https"
    assert ("secure" in attributes) == over_https, "a browser would not send it back over http"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_fills_its_eight_stages_and_its_stream_tells_all_of_it(server: Server, kind: str) -> None:
    job = server.submit(KINDS[kind])
    with server.stream(job.events_url) as stream:
        frames = stream.read_all()
    events, snapshot = stream.durable, job.snapshot()

    check_ids(events)
    check_job(events, snapshot["kind"])
    assert snapshot["status"] == "completed"
    assert tuple(snapshot["stages"]) == STAGES[snapshot["kind"]]
    rows = len(snapshot["rows"])
    for stage in snapshot["stages"].values():
        assert stage == {"status": "completed", "attempt": 1, "done": rows, "total": rows, "error": None}
    assert sum(event.event == "item.updated" for event in events) == 8 * rows
    assert fold(blank(snapshot), events) == snapshot
    assert [frame.event for frame in frames[-2:]] == ["job.completed", "stream.end"]
    assert frames[-1].data == {"job_id": job.job_id, "status": "completed", "head": events[-1].id}


def test_every_answer_has_the_form_of_a_value(finished: tuple[Job, list[Frame]]) -> None:
    _, events = finished
    values = [event.data["value"] for event in events if event.event == "item.updated"]

    assert values
    for value in values:
        assert set(value) in ({"result", "provider", "confidence"}, {"reference", "provider", "confidence"})
        assert 0 <= value["confidence"] <= 1
        assert value["provider"]
        if value.get("result", value.get("reference")) is None:
            assert value["confidence"] == 0, "what is not known is said to be unknown"


def test_no_allergen_is_ever_said_to_be_absent(finished: tuple[Job, list[Frame]]) -> None:
    _, events = finished
    answers = [
        event.data["value"]["result"]
        for event in events
        if event.data.get("stage") == "allergens" and "value" in event.data
    ]

    assert len(answers) == len(MENU["items"])
    said = {allergen["status"] for answer in answers if answer for allergen in answer["allergens"]}
    assert said <= {"contains", "may_contain", "unknown"}


def test_a_menu_as_text_becomes_its_dishes_in_order(server: Server) -> None:
    rows = server.submit(MENU_TEXT).snapshot()["rows"]

    assert [(row["position"], row["name"], row["input_category"]) for row in rows] == [
        (0, "親子丼", "丼物"),
        (1, "カツ丼", "丼物"),
        (2, "天ぷらうどん", "麺類"),
        (3, "ざるそば", "麺類"),
    ]


def test_a_prompt_is_one_row_at_position_0(server: Server) -> None:
    snapshot = server.submit(PROMPT).snapshot()
    (row,) = snapshot["rows"]

    assert (snapshot["title"], row["title"], row["content"]) == (PROMPT["title"], PROMPT["title"], PROMPT["content"])
    assert (row["position"], row["version"], row["parent_id"]) == (0, 1, None)
    assert [case["name"] for case in row["test_cases"]] == ["names the customer"]


def test_the_target_language_is_english_when_it_is_left_out_and_the_source_may_be_named(server: Server) -> None:
    named = server.submit({"kind": "menu", "source_language": "it", "items": [{"name": "Tiramisù"}]}).snapshot()

    assert (named["source_language"], named["target_language"]) == ("it", "en")


UNICODE = {
    "composed": "Crème brûlée",
    "decomposed": "Creme bru\u0302le\u0301e",
    "astral": "🍣👩‍🍳 𠮷野家 \U0010ffff",
    "right to left": "عشاء \u200fليلة \u202eabc\u202c",
    "tab and newline": "a\tb\nc",
    "the other line ends of Unicode": "a\u2028b\u2029c",
    "a byte order mark at the start and inside": "\ufeffa\ufeffb",
    "noncharacters": "a\ufffe\uffff\ufdd0\U0001fffeb",
    "private use and unassigned": "\ue000\U000e0001\u0378",
    "markup": "'\"<b>&\\ data: x\n\nevent: y",
}


def test_all_unicode_comes_back_as_it_came_in_rows_and_events(server: Server) -> None:
    for what, text in UNICODE.items():
        job = server.submit({**PROMPT, "title": text, "content": text})
        accepted = job.read_to_end()[0]
        snapshot = job.snapshot()

        assert (accepted.event, accepted.data["title"]) == ("job.accepted", text), what
        assert (snapshot["title"], snapshot["rows"][0]["title"], snapshot["rows"][0]["content"]) == (text,) * 3, what


def test_a_session_takes_more_jobs_from_whoever_holds_its_token(server: Server) -> None:
    first = server.submit(MENU)
    second = first.add(PROMPT)
    cookie = {"Cookie": f"stagecast_{first.session_id}={first.session_token}"}
    third = server.post("/v1/jobs", json={**MENU, "session_id": first.session_id}, headers=cookie).json()

    assert {second.session_id, third["session_id"]} == {first.session_id}
    assert {second.session_token, third["session_token"]} == {first.session_token}
    assert second.epoch == first.epoch
    listing = first.session()
    assert [job["job_id"] for job in listing["jobs"]] == [first.job_id, second.job_id, third["job_id"]]


def test_a_session_lists_its_jobs_and_where_its_log_stands(finished: tuple[Job, list[Frame]]) -> None:
    job, events = finished
    listing, snapshot = job.session(), job.snapshot()

    assert (listing["session_id"], listing["epoch"], listing["head"]) == (job.session_id, job.epoch, events[-1].id)
    (line,) = listing["jobs"]
    assert line["stages"] == {name: "completed" for name in snapshot["stages"]}
    assert {**line, "stages": None} == {**{name: snapshot[name] for name in line}, "stages": None}
