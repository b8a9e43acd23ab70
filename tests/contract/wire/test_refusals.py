"""Whatever is wrong with a request is said as a problem that names the field, and the log does not move."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from .api import JSON_HEADERS, MENU, MENU_TEXT, PROMPT, Job, Server
from .problems import check_problem


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


@pytest.mark.parametrize(("what", "body", "field"), WRONG_BODIES, ids=[what for what, _, _ in WRONG_BODIES])
def test_a_wrong_body_is_refused_with_the_name_of_the_field(
    server: Server,
    unmoved_session: Job,
    what: str,
    body: Any,
    field: str,
) -> None:
    if isinstance(body, dict) and "session_id" not in body:
        body = {**body, "session_id": unmoved_session.session_id}
    encoded = json.dumps(body).encode()
    check_problem(
        server.post("/v1/jobs", unmoved_session.session_token, content=encoded, headers=JSON_HEADERS), 400, field
    )


@pytest.mark.parametrize(("what", "body"), WRONG_BYTES, ids=[what for what, _ in WRONG_BYTES])
def test_a_body_that_is_not_json_is_refused(server: Server, what: str, body: bytes) -> None:
    check_problem(server.post("/v1/jobs", content=body, headers=JSON_HEADERS), 400, "body")


def test_every_limit_itself_is_allowed(server: Server) -> None:
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
        events = server.submit(body).read_to_end()
        assert events[-1].event == "job.completed"


MEBIBYTE = 1_048_576


def padded(size: int) -> bytes:
    """A good submission of exactly so many bytes."""
    return json.dumps(MENU_TEXT).encode().ljust(size)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_too_large(
    server: Server, unmoved_session: Job, chunked: bool
) -> None:
    def post(body: bytes) -> httpx.Response:
        content = iter([body[:1_000_000], body[1_000_000:]]) if chunked else body
        return server.post("/v1/jobs", content=content, headers=JSON_HEADERS)

    assert post(padded(MEBIBYTE)).status_code == 202
    check_problem(post(padded(MEBIBYTE + 1)), 413)
    check_problem(post(padded(2 * MEBIBYTE)), 413)


def test_no_refusal_shows_what_is_inside(server: Server) -> None:
    for _, body in WRONG_BYTES:
        answer = server.post("/v1/jobs", content=body, headers=JSON_HEADERS)
        for word in ("Traceback", "File ", "Exception", "msgspec", "litestar", "sqlalchemy"):
            assert word not in answer.text


CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]


@pytest.mark.parametrize("field", ["name", "price", "category"])
def test_every_control_character_but_tab_and_newline_is_refused(
    server: Server, unmoved_session: Job, field: str
) -> None:
    for control in CONTROLS:
        body = {**item(**{field: f"a{control}b"}), "session_id": unmoved_session.session_id}
        check_problem(server.post_job(body, unmoved_session.session_token), 400, f"items[1].{field}")


@pytest.mark.parametrize(
    "text", [r"\ud800", r"\udfff", r"a\ud83cb", r"\udf63\ud83c", r"\ud83c\ud83c\udf63", r"\ud83c\\udf63"]
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(server: Server, text: str) -> None:
    """It is no character: neither UTF-8 nor the databases can hold it. As a pair it is one, and is taken."""
    pair = rb'{"kind":"menu","items":[{"name":"\ud83c\udf63"}]}'
    for good, place in (
        (pair, rb"\ud83c\udf63"),
        (pair.replace(b"}]", rb',"category":"\uD83C\uDF63"}]'), rb"\uD83C\uDF63"),
        (rb'{"kind":"prompt","content":"c","title":"\ud83c\udf63"}', rb"\ud83c\udf63"),
        (rb'{"kind":"prompt","title":"t","content":"\ud83c\udf63"}', rb"\ud83c\udf63"),
    ):
        assert server.post("/v1/jobs", content=good, headers=JSON_HEADERS).status_code == 202
        bad = good.replace(place, text.encode())
        check_problem(server.post("/v1/jobs", content=bad, headers=JSON_HEADERS), 400, "body")
