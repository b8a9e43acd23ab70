"""A job in, eight stages out: over every combination of database and bus."""

import re

import pytest

from tests.client import KINDS, MENU, MENU_TEXT, PROMPT, Client, menu_of, wait_for_end
from tests.contract.wire.fold import STAGES, blank, fold
from tests.contract.wire.log_rules import check_ids, check_job
from tests.gateway_process import GatewayProcess

ID = r"[0-9a-z]{26}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_fills_its_eight_stages_and_its_stream_tells_all_of_it(
    gateway: GatewayProcess, client: Client, kind: str
) -> None:
    job = client.submit(KINDS[kind])
    with client.stream(job.events_url) as stream:
        frames = stream.read_all()
    events = stream.durable
    snapshot = job.snapshot()

    check_ids(events)
    check_job(events, snapshot["kind"])
    assert snapshot["status"] == "completed"
    assert snapshot["head"] == events[-1].id == frames[-1].data["head"]
    assert tuple(snapshot["stages"]) == STAGES[snapshot["kind"]]
    rows = len(snapshot["rows"])
    for stage in snapshot["stages"].values():
        assert stage == {"status": "completed", "attempt": 1, "done": rows, "total": rows, "error": None}
    assert sum(event.event == "item.updated" for event in events) == 8 * rows
    assert fold(blank(snapshot), events) == snapshot
    assert [frame.event for frame in frames[-2:]] == ["job.completed", "stream.end"]
    assert frames[-1].data == {"job_id": job.job_id, "status": "completed", "head": events[-1].id}
    assert frames[-1].id is None


def test_a_menu_says_what_it_knows_and_nothing_more(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    known, composed, unknown = wait_for_end(client.submit(MENU))["rows"]

    assert (known["name"], known["input_price"], known["input_category"]) == ("親子丼", "¥980", "丼物")
    assert known["translation"]["provider"] == "builtin"
    assert "chicken" in {one["name"] for one in known["ingredient"]["result"]}
    assert {"salmon", "avocado"} <= {one["name"] for one in composed["ingredient"]["result"]}
    assert known["price"]["result"]["amount_minor"] == 980
    assert known["price"]["result"]["currency"] == "JPY"
    allergens = {one["code"]: one["status"] for one in known["allergy"]["result"]["allergens"]}
    assert allergens["egg"] == "contains"
    assert set(allergens.values()) <= {"contains", "may_contain", "unknown"}
    assert (unknown["translation"]["result"], unknown["translation"]["confidence"]) == (None, 0)
    assert (unknown["price"]["result"], unknown["price"]["confidence"]) == (None, 0)


def test_a_menu_as_text_becomes_its_dishes_in_order(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    rows = wait_for_end(client.submit(MENU_TEXT))["rows"]

    assert [(row["position"], row["name"], row["input_category"]) for row in rows] == [
        (0, "親子丼", "丼物"),
        (1, "カツ丼", "丼物"),
        (2, "天ぷらうどん", "麺類"),
        (3, "ざるそば", "麺類"),
    ]
    assert [row["price"]["result"]["amount_minor"] for row in rows] == [980, 1080, 1100, 850]


def test_a_prompt_is_analysed_tested_and_improved(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    snapshot = wait_for_end(client.submit(PROMPT))
    (row,) = snapshot["rows"]

    assert (snapshot["title"], row["title"], row["content"]) == (PROMPT["title"], PROMPT["title"], PROMPT["content"])
    assert (row["position"], row["version"], row["parent_id"]) == (0, 1, None)
    assert set(row["variables"]["result"]["properties"]) == {"customer_name", "topic"}
    assert row["evaluation"]["result"]["overall"] == 1
    assert [case["passed"] for case in row["evaluation"]["result"]["cases"]] == [True]
    assert len(row["embedding"]["result"]["vector"]) == 256
    assert re.fullmatch(ID, row["improvement"]["result"]["child_id"])
    assert PROMPT["content"] in row["improvement"]["result"]["content"]
    assert row["safety"]["confidence"] < 1


def test_a_second_prompt_finds_the_first_of_its_session(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    first = client.submit(PROMPT)
    wait_for_end(first)
    second = client.submit({**PROMPT, "session_id": first.session_id, "title": "Another"}, first.session_token)
    (row,) = wait_for_end(second)["rows"]

    similar = row["embedding"]["result"]["similar"]
    assert similar[0]["title"] == PROMPT["title"]
    assert similar[0]["score"] == pytest.approx(1)


def test_the_largest_menu_is_done_within_seconds(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(menu_of(500))
    events = job.read_to_end()
    snapshot = job.snapshot()

    check_ids(events)
    check_job(events, "menu")
    assert fold(blank(snapshot), events) == snapshot
    assert len(events) == 1 + 1 + 8 * (1 + 500 + 1) + 1


def test_a_job_can_name_its_source_language_or_have_it_detected(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    named = client.submit({"kind": "menu", "source_language": "it", "items": [{"name": "Tiramisù"}]})
    detected = client.submit({"kind": "menu", "items": [{"name": "親子丼"}, {"name": "ざるそば"}]})

    assert named.snapshot()["source_language"] == "it"
    assert detected.snapshot()["source_language"] == "ja"
    assert detected.snapshot()["target_language"] == "en"
