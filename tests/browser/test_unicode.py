"""Text with every Unicode oddity comes out of a browser's EventSource exactly as it was submitted."""

import json
import random
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.event_source import watch
from tests.client import Client, SubmittedJob
from tests.contract.wire.sse import CONTROL, DURABLE
from tests.gateway_process import GatewayProcess

ALL = sorted(DURABLE | CONTROL)
NAME_CHARACTERS = 500
ODDITIES = {
    "newlines": "a\nb\n\nc\n",
    "what looks like a stream": "x\n\nid: 9\nevent: job.failed\ndata: {}\n\nretry: 1\n: c\ndata: [DONE]",
    "tabs and spaces around": " \t a \t ",
    "line ends that only Unicode knows": "a\u2028b\u2029c",
    "a byte order mark first": "\ufeffa",
    "byte order marks inside and last": "a\ufeffb\ufeff",
    "composed and decomposed": "é e\u0301 ﬁ Å \u212b A\u030a",
    "combining marks alone and in heaps": "\u0301a" + "\u0301" * 60,
    "astral": "𠮷🍣\U0001f1ef\U0001f1f5\U0010ffff",
    "joined": "👩‍👩‍👧‍👦 👨🏽‍🍳 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "right to left": "\u202eabc\u202c \u2067שלום\u2069 \u200fعشاء\u200e",
    "invisible": "a\u200bb\u200cc\u200dd\u2060e\u00adf\u180eg",
    "noncharacters": "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0001ffff\U0010fffe",
    "private use": "\ue000\uf8ff\U000f0000\U00100000",
    "unassigned": "\u0378\u1fff\U000e0fff",
    "the replacement character itself": "\ufffd",
    "case that changes length": "ß İ ŉ ΐ",
    "other spaces": "a\u00a0b\u3000c\u2003d\u1680e",
    "markup and escapes": "<script>&amp;\\u0041\\n\\\\\"'{{x}}%00%0A",
}


def bmp() -> list[str]:
    """Every character of the basic plane that the contract allows, in names of 500."""
    allowed = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) not in ("Cc", "Cs")]
    return in_names(["\t", "\n", *allowed])


def astral() -> list[str]:
    """Characters of every other plane: its first, its last, its noncharacters, and some of those between."""
    chance = random.Random(16)
    codes = [plane + low for plane in range(0x10000, 0x110000, 0x10000) for low in (0, 1, 0xFFFD, 0xFFFE, 0xFFFF)]
    return in_names([chr(code) for code in codes + chance.sample(range(0x10000, 0x110000), 20_000)])


def in_names(characters: list[str]) -> list[str]:
    text = "".join(characters)
    return [text[at : at + NAME_CHARACTERS] for at in range(0, len(text), NAME_CHARACTERS)]


@pytest.fixture(scope="module")
def echoing_gateway() -> Iterator[GatewayProcess]:
    """The synthetic translation of a dish is its name behind one word."""
    with GatewayProcess(settings={"PROVIDER": "synthetic"}) as process:
        yield process


@pytest.fixture(scope="module")
def client(echoing_gateway: GatewayProcess) -> Iterator[Client]:
    with Client(echoing_gateway.url) as client:
        yield client


@pytest.fixture(scope="module")
def page(browser: Browser, echoing_gateway: GatewayProcess) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{echoing_gateway.url}/static/favicon.svg")
    yield page
    context.close()


def events_in_browser(page: Page, url: str) -> list[tuple[str, Any]]:
    """(type, decoded data) of every event of an ended job's stream, as a page got them."""
    seen = watch(page, url, ALL, "stream.end")
    assert seen.ended == "last"
    return [(kind, json.loads(data)) for kind, data, _ in seen.events]


def check_whole(page: Page, job: SubmittedJob) -> dict[str, Any]:
    """The browser's events are the log, and its snapshot is the job's; gives the snapshot."""
    events = job.read_to_end()
    snapshot = job.snapshot()
    live = [event for event in events_in_browser(page, job.events_url) if event[0] in DURABLE]
    assert live == [(event.event, event.data) for event in events]
    from_snapshot = dict(events_in_browser(page, f"{job.events_url}&from=snapshot"))
    assert from_snapshot["stream.snapshot"] == snapshot
    return snapshot


@pytest.mark.parametrize("what", ODDITIES)
def test_a_prompt_comes_out_as_it_went_in(page: Page, client: Client, what: str) -> None:
    text = ODDITIES[what]
    variables = {text: [text]}
    case = {"name": text, "variables": variables, "assertions": [{"type": "contains", "value": text}]}
    job = client.submit({"kind": "prompt", "title": text, "content": text, "test_cases": [case]})
    snapshot = check_whole(page, job)

    (row,) = snapshot["rows"]
    assert (snapshot["title"], row["title"], row["content"]) == (text, text, text)
    (kept,) = row["test_cases"]
    assert (kept["name"], kept["variables"], kept["assertions"][0]["value"]) == (text, variables, text)
    events = dict(events_in_browser(page, job.events_url))
    assert events["job.accepted"]["title"] == text


@pytest.mark.parametrize("names", [list(ODDITIES.values()), bmp(), astral()], ids=["oddities", "basic plane", "astral"])
def test_every_character_of_a_menu_comes_out_as_it_went_in(page: Page, client: Client, names: list[str]) -> None:
    job = client.submit({"kind": "menu", "items": [{"name": name, "category": name[:200]} for name in names]})
    snapshot = check_whole(page, job)

    assert [(row["name"], row["input_category"]) for row in snapshot["rows"]] == [(name, name[:200]) for name in names]
    translated = {
        data["position"]: data["value"]["result"]
        for kind, data in events_in_browser(page, job.events_url)
        if kind == "item.updated" and data["stage"] == "translation"
    }
    assert [translated[position] for position in range(len(names))] == [f"synthetic {name}" for name in names]


@pytest.mark.parametrize("escaped", [False, True], ids=["as UTF-8", "as JSON escapes"])
def test_how_the_text_was_encoded_makes_no_difference(page: Page, client: Client, escaped: bool) -> None:
    text = "".join(ODDITIES.values())
    body = json.dumps({"kind": "prompt", "title": "t", "content": text}, ensure_ascii=escaped).encode()
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    snapshot = check_whole(page, SubmittedJob(client, **answer.json()))

    assert snapshot["rows"][0]["content"] == text
