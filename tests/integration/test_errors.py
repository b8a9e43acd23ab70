"""Whatever is wrong with a request is said as a problem that names the field, and the log does not move."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.client import MENU, PROMPT, Client, SubmittedJob
from tests.gateway_process import GatewayProcess

JSON_HEADERS = {"Content-Type": "application/json"}


def deep(levels: int) -> dict[str, Any]:
    """A prompt whose JSON is nested exactly so deep; its test case's variables are the fourth level."""
    inner: Any = 1
    for _ in range(levels - 4):
        inner = [inner]
    return {**PROMPT, "test_cases": [{"name": "deep", "variables": {"a": inner}}]}


def case(**members: Any) -> dict[str, Any]:
    return {**PROMPT, "test_cases": [{"name": "case", **members}]}


def item(**members: Any) -> dict[str, Any]:
    return {"kind": "menu", "items": [{"name": "ok"}, {"name": "ok", **members}]}


def without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


# What is wrong, the body, and the field that the answer has to name.
WRONG_BODIES: tuple[tuple[str, Any, str], ...] = (
    ("no kind", without(MENU, "kind"), "kind"),
    ("an unknown kind", {**MENU, "kind": "wine"}, "kind"),
    ("a kind that is no text", {**MENU, "kind": 7}, "kind"),
    ("a list", [MENU], "body"),
    ("a text", "menu", "body"),
    ("null", None, "body"),
    ("no dishes", {"kind": "menu", "items": []}, "items"),
    ("501 dishes", {"kind": "menu", "items": [{"name": "x"}] * 501}, "items"),
    ("items that are no list", {"kind": "menu", "items": "親子丼"}, "items"),
    ("an item that is no object", {"kind": "menu", "items": [{"name": "x"}, "y"]}, "items[1]"),
    ("neither items nor text", {"kind": "menu"}, "items"),
    ("both items and text", {**MENU, "text": "親子丼"}, "text"),
    ("a text without dishes", {"kind": "menu", "text": " \n---\n"}, "text"),
    ("a text of 501 dishes", {"kind": "menu", "text": "\n".join(f"Dish {n} ¥{n}00" for n in range(1, 502))}, "text"),
    ("a text with a dish of 501 characters", {"kind": "menu", "text": "x" * 501}, "text"),
    ("an unknown field", {**MENU, "colour": "red"}, "colour"),
    ("an unknown field of an item", item(colour="red"), "items[1].colour"),
    ("an unknown field of a test case", case(colour="red"), "test_cases[0].colour"),
    ("a field of the other kind", {**MENU, "content": "x"}, "content"),
    ("an item without a name", {"kind": "menu", "items": [{"price": "1"}]}, "items[0].name"),
    ("an empty name", item(name=""), "items[1].name"),
    ("a blank name", item(name=" \t\u3000"), "items[1].name"),
    ("a name that is a number", item(name=5), "items[1].name"),
    ("a name that is null", item(name=None), "items[1].name"),
    ("a name of 501 characters", item(name="丼" * 501), "items[1].name"),
    ("a price of 101 characters", item(price="1" * 101), "items[1].price"),
    ("a price that is a number", item(price=980), "items[1].price"),
    ("a category of 201 characters", item(category="x" * 201), "items[1].category"),
    ("a NUL in a name", item(name="a\x00b"), "items[1].name"),
    ("a carriage return in a name", item(name="a\rb"), "items[1].name"),
    ("an escape in a price", item(price="\x1b[31m"), "items[1].price"),
    ("a C1 control character in a category", item(category="a\x85b"), "items[1].category"),
    ("a DEL in a menu's text", {"kind": "menu", "text": "親子丼\x7f"}, "text"),
    ("a control character in a title", {**PROMPT, "title": "a\x07"}, "title"),
    ("a control character in a content", {**PROMPT, "content": "a\x0cb"}, "content"),
    (
        "a control character in a variable",
        case(variables={"a": {"b": ["x", "y\x01"]}}),
        "test_cases[0].variables.a.b[1]",
    ),
    ("a control character in a variable's name", case(variables={"a\x02": 1}), "test_cases[0].variables"),
    (
        "a control character in an assertion",
        case(assertions=[{"type": "contains", "value": "\x03"}]),
        "test_cases[0].assertions[0].value",
    ),
    ("no title", without(PROMPT, "title"), "title"),
    ("an empty title", {**PROMPT, "title": ""}, "title"),
    ("a blank title", {**PROMPT, "title": " \n"}, "title"),
    ("a blank content", {**PROMPT, "content": "\t\n "}, "content"),
    ("a title of 256 characters", {**PROMPT, "title": "x" * 256}, "title"),
    ("no content", without(PROMPT, "content"), "content"),
    ("an empty content", {**PROMPT, "content": ""}, "content"),
    ("a content of 100,001 characters", {**PROMPT, "content": "x" * 100_001}, "content"),
    ("51 test cases", {**PROMPT, "test_cases": [{"name": "x"}] * 51}, "test_cases"),
    ("a test case without a name", {**PROMPT, "test_cases": [{}]}, "test_cases[0].name"),
    ("an unknown assertion", case(assertions=[{"type": "smells", "value": "x"}]), "test_cases[0].assertions[0].type"),
    ("an assertion without a value", case(assertions=[{"type": "contains"}]), "test_cases[0].assertions[0].value"),
    ("variables that are a list", case(variables=[1]), "test_cases[0].variables"),
    ("an integer of 65 bits", case(variables={"a": [2**64]}), "test_cases[0].variables.a[0]"),
    ("an integer below 64 bits", case(variables={"a": -(2**63) - 1}), "test_cases[0].variables.a"),
    (
        "an assertion of 65 bits",
        case(assertions=[{"type": "max_length", "value": 2**64}]),
        "test_cases[0].assertions[0].value",
    ),
    ("JSON of 33 levels", deep(33), "body"),
    *(
        (f"the {field} {tag!r}", {**MENU, field: tag}, field)
        for field in ("target_language", "source_language")
        for tag in ("", "english", "xx", "en_US", "en-", "e", "12", "en-XX-XX", "zz-ZZ", "日本", "a" * 65)
    ),
    ("a target language that is null", {**MENU, "target_language": None}, "target_language"),
    ("a session id that is a number", {**MENU, "session_id": 7}, "session_id"),
    ("a session id of 65 characters", {**MENU, "session_id": "x" * 65}, "session_id"),
)

WRONG_BYTES: tuple[tuple[str, bytes], ...] = (
    ("nothing", b""),
    ("no JSON", b"kind=menu"),
    ("JSON that breaks off", b'{"kind":"menu","items":[{"name":"x"}'),
    ("something behind the JSON", b'{"kind":"menu","items":[{"name":"x"}]} x'),
    ("a byte that is not UTF-8", b'{"kind":"menu","items":[{"name":"\xff"}]}'),
    ("a surrogate encoded as UTF-8", b'{"kind":"menu","items":[{"name":"\xed\xa0\x80"}]}'),
    ("a lone high surrogate", rb'{"kind":"menu","items":[{"name":"a\ud800b"}]}'),
    ("a lone low surrogate", rb'{"kind":"menu","items":[{"name":"\udc00"}]}'),
    (
        "a lone surrogate in a variable",
        rb'{"kind":"prompt","title":"t","content":"c","test_cases":[{"name":"n","variables":{"a":"\ud800"}}]}',
    ),
    ("a raw control character", b'{"kind":"menu","items":[{"name":"a\x01b"}]}'),
    ("NaN", b'{"kind":"menu","items":[{"name":NaN}]}'),
    ("a million brackets", b"[" * 1_000_000),
    ("a string of a million escaped quotes that never ends", b'{"kind":"' + b'\\"' * 500_000),
    ("UTF-16", '{"kind":"menu","items":[{"name":"x"}]}'.encode("utf-16")),
    ("a byte order mark", b'\xef\xbb\xbf{"kind":"menu","items":[{"name":"x"}]}'),
)


@pytest.fixture(scope="module")
def sessions() -> dict[str, tuple[SubmittedJob, str]]:
    """For each gateway a finished job and the id of its last event."""
    return {}


@pytest.fixture
def session(client: Client, sessions: dict[str, tuple[SubmittedJob, str]]) -> Iterator[SubmittedJob]:
    """A finished job, whose session the wrong requests name; its log must not have moved."""
    url = str(client.http.base_url)
    if url not in sessions:
        job = client.submit({"kind": "menu", "items": [{"name": "x"}]})
        sessions[url] = job, job.read_to_end()[-1].id or ""
    job, head = sessions[url]
    yield job
    listing = client.get(job.session_url, job.session_token).json()
    assert listing["head"] == head, "the log moved"
    assert len(listing["jobs"]) == 1


def check_problem(answer: Any, status: int, field: str | None) -> None:
    """An RFC 9457 problem that names the field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"].startswith("/problems/")
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    if field is None:
        assert "errors" not in body
    else:
        (error,) = body["errors"]
        assert error["field"] == field
        assert error["pointer"] == "#/" + field.replace("[", "/").replace("]", "").replace(".", "/")
        assert error["detail"]


@pytest.mark.parametrize(("what", "body", "field"), WRONG_BODIES, ids=[what for what, _, _ in WRONG_BODIES])
def test_a_wrong_body_is_refused_with_the_name_of_the_field(
    gateway_on_each_database: GatewayProcess,
    client: Client,
    session: SubmittedJob,
    what: str,
    body: Any,
    field: str,
) -> None:
    if isinstance(body, dict) and "session_id" not in body:
        body = {**body, "session_id": session.session_id}
    encoded = json.dumps(body).encode()
    jobs = _jobs(client)
    check_problem(client.post("/v1/jobs", session.session_token, content=encoded, headers=JSON_HEADERS), 400, field)
    assert _jobs(client) == jobs


@pytest.mark.parametrize(("what", "body"), WRONG_BYTES, ids=[what for what, _ in WRONG_BYTES])
def test_a_body_that_is_not_json_is_refused(
    gateway_on_each_database: GatewayProcess, client: Client, what: str, body: bytes
) -> None:
    jobs = _jobs(client)
    check_problem(client.post("/v1/jobs", content=body, headers=JSON_HEADERS), 400, "body")
    assert _jobs(client) == jobs


def test_every_limit_itself_is_allowed(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    menus = (
        item(name="丼" * 500, price="1" * 100, category="x" * 200),
        item(name="\ta\nb"),
        {**MENU, "target_language": "zh-Hant-TW", "source_language": "pt-BR"},
        {"kind": "menu", "text": "x" * 500},
    )
    prompts = (
        {**PROMPT, "title": "x" * 255, "content": "y" * 100_000},
        {**PROMPT, "test_cases": [{"name": "x"}] * 50},
        deep(32),
        case(variables={"a": [2**63 - 1, -(2**63), 1e300, -0.5, None, True, {"": ""}]}),
    )
    for body in (*menus, *prompts):
        events = client.submit(body).read_to_end()
        assert events[-1].event == "job.completed"


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_of_two_megabytes_is_too_large(
    gateway_on_each_database: GatewayProcess, client: Client, session: SubmittedJob, chunked: bool
) -> None:
    body = json.dumps({**PROMPT, "content": "x" * 2_000_000}).encode()
    content = iter([body[:1_000_000], body[1_000_000:]]) if chunked else body
    answer = client.post("/v1/jobs", content=content, headers=JSON_HEADERS)

    check_problem(answer, 413, None)


WRONG_EVENT_IDS = (
    "7",
    "x",
    "{epoch}",
    "{epoch}.",
    "{epoch}.-1",
    "{epoch}.1.2",
    "{epoch}.01",
    "{epoch}.1e3",
    "{epoch}.1x",
    "{upper}.1",
    "{epoch}x.1",
    "{epoch}.1000000000000000000",
    "a" * 5000,
)


def test_a_last_event_id_that_is_none_is_refused_where_it_came_from(
    gateway_on_each_database: GatewayProcess, client: Client, session: SubmittedJob
) -> None:
    wrong = [form.format(epoch=session.epoch, upper=session.epoch.upper()) for form in WRONG_EVENT_IDS]
    for url in (f"{session.status_url}/events", f"{session.session_url}/events"):
        for value in wrong:
            by_header = client.get(url, session.session_token, headers={"Last-Event-ID": value})
            check_problem(by_header, 400, "Last-Event-ID")
            for name in ("last_event_id", "lastEventId"):
                check_problem(client.get(url, session.session_token, params={name: value}), 400, name)


def test_a_start_that_is_not_known_is_refused(
    gateway_on_each_database: GatewayProcess, client: Client, session: SubmittedJob
) -> None:
    for url in (f"{session.status_url}/events", f"{session.session_url}/events"):
        check_problem(client.get(url, session.session_token, params={"from": "yesterday"}), 400, "from")


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"limit": "0"}, 400, "limit"),
        ({"limit": "1001"}, 400, "limit"),
        ({"limit": "-1"}, 400, "limit"),
        ({"limit": "ten"}, 400, "limit"),
        ({"limit": "1.5"}, 400, "limit"),
        ({"after": "-1"}, 400, "after"),
        ({"after": "x"}, 400, "after"),
        ({"after": "x.1"}, 400, "after"),
        ({"after": ""}, 400, "after"),
        ({"after": "1" * 40}, 400, "after"),
        ({"after": "\u0663"}, 400, "after"),
        ({"after": "zzzzzzz9.1"}, 409, "after"),
        ({"after": "999999"}, 409, "after"),
    ],
    ids=str,
)
def test_polling_refuses_what_it_cannot_follow(
    gateway_on_each_database: GatewayProcess,
    client: Client,
    session: SubmittedJob,
    query: dict[str, str],
    status: int,
    field: str,
) -> None:
    check_problem(session.poll(**query), status, field)


def test_polling_ahead_of_the_head_is_a_conflict(
    gateway_on_each_database: GatewayProcess, client: Client, session: SubmittedJob
) -> None:
    check_problem(session.poll(after=session.id_of(10_000)), 409, "after")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007", 404),
        ("GET", "/v1/jobs/x", 404),
        ("GET", "/v1/jobs/%00", 404),
        ("GET", "/v1/jobs/0000000000000000000000000%00", 404),
        ("GET", "/v1/jobs/%ff%ed%a0%80/events", 404),
        ("GET", "/v1/sessions/%00/events.json", 404),
        ("GET", "/v1/sessions/%ff%ed%a0%80", 404),
        ("GET", f"/v1/jobs/{'x' * 3000}", 404),
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("HEAD", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("POST", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/cancel", 404),
        ("POST", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/stages/price/retry", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events.json", 404),
        ("GET", "/v1", 404),
        ("GET", "/v2/jobs", 404),
        ("GET", "/static/no-such-file.js", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/v1/jobs", 405),
        ("PUT", "/v1/jobs", 405),
        ("DELETE", "/v1/jobs/01m7xy6231d2f2p8wptynmm007", 405),
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/cancel", 405),
        ("POST", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events", 405),
        ("POST", "/metrics", 405),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    gateway_on_each_database: GatewayProcess, client: Client, method: str, path: str, status: int
) -> None:
    answer = client.http.request(method, path)
    if method == "HEAD":
        assert answer.status_code == status
    else:
        check_problem(answer, status, None)
    if status == 405:
        assert answer.headers["allow"]


def test_no_answer_shows_what_is_inside(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    answers = [client.post("/v1/jobs", content=body, headers=JSON_HEADERS) for _, body in WRONG_BYTES]
    for answer in answers:
        for word in ("Traceback", "msgspec", "litestar", "sqlalchemy", "/infra/"):
            assert word not in answer.text


def _jobs(client: Client) -> float:
    """How many jobs the gateway has accepted, in all sessions."""
    return sum(value for name, value in client.metrics().items() if name.startswith("stagecast_jobs_submitted_total"))
