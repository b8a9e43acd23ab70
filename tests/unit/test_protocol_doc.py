"""docs/protocol.md says what the code does: its examples decode, and its lists are the code's lists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from gateway.api.body import LINES_PER_DISH, MAX_DEPTH, decode_submission, new_job
from gateway.api.jobs import IdempotencyHeader
from gateway.api.schemas import (
    MAX_CATEGORY,
    MAX_CONTENT,
    MAX_NAME,
    MAX_PRICE,
    MAX_TEST_CASES,
    MAX_TITLE,
    Accepted,
    LogPageBody,
)
from gateway.api.sessions import MAX_LIMIT, AheadOfHead, BehindRetention, EpochChanged
from gateway.app import MAX_BODY_BYTES
from gateway.problems import problem
from gateway.streaming.frames import TERMINAL_TYPES
from gateway.streaming.position import parse_position
from gateway.terminal.protocol import MOST_HEAD_BYTES, MOST_PIPELINED
from infra.database.committer import MOST_WAITING
from infra.database.repositories.snapshots import MOST_JOBS
from infra.database.status import JobStatus, RowStatus, StageStatus
from infra.errors import (
    DatabaseUnavailable,
    IdempotencyMismatch,
    InvalidInput,
    JobFinished,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    RequestTimeout,
    StagecastError,
    StageNotFailed,
)
from infra.providers.base import Answer
from infra.settings import Settings
from pipeline import events
from pipeline.recorder import reference_to
from pipeline.registry import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SECTION = re.compile(r"^### (?P<name>[a-z._]+)\n(?P<body>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```json (?P<kind>[^\n]+)\n(?P<json>.*?)^```$", re.MULTILINE | re.DOTALL)
ON_THE_WIRE = (
    InvalidInput,
    RequestTimeout,
    NotFound,
    JobFinished,
    StageNotFailed,
    IdempotencyMismatch,
    EpochChanged,
    AheadOfHead,
    BehindRetention,
    OutcomeUnknown,
    DatabaseUnavailable,
    Overloaded,
)


def blocks(kind: str, page: str = PAGE) -> list[bytes]:
    """The JSON of all examples of a kind."""
    return [found["json"].encode() for found in BLOCK.finditer(page) if found["kind"] == kind]


def only(kind: str) -> bytes:
    (block,) = blocks(kind)
    return block


def event_types(base: type[events.JobEvent] = events.JobEvent) -> Iterator[type[events.JobEvent]]:
    """Every event that can stand in a log."""
    for kind in base.__subclasses__():
        if "type" in vars(kind) and isinstance(vars(kind)["type"], str):
            yield kind
        yield from event_types(kind)


EVENTS = {kind.type: kind for kind in event_types()}
EXAMPLES = {found["name"]: found["body"] for found in SECTION.finditer(PAGE)}


def test_every_json_example_is_json_and_of_a_kind_that_is_checked() -> None:
    kinds = {found["kind"] for found in BLOCK.finditer(PAGE)}
    assert kinds == {
        "submit",
        "accepted",
        "job-snapshot",
        "session-snapshot",
        "event",
        "control",
        "log-page",
        "results menu",
        "results prompt",
        "reference",
        "problem",
    }
    assert PAGE.count("```json") == len(BLOCK.findall(PAGE))
    for found in BLOCK.finditer(PAGE):
        orjson.loads(found["json"])


def test_every_event_has_a_section_and_every_section_is_an_event() -> None:
    assert len(EVENTS) == 13
    assert {name for name in EXAMPLES if not name.startswith("stream.")} == set(EVENTS)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_example_has_exactly_the_fields_of_the_event(name: str) -> None:
    (example,) = blocks("event", EXAMPLES[name])
    data = orjson.loads(example)
    assert list(data) == [field.name for field in msgspec.structs.fields(EVENTS[name])]
    assert orjson.loads(EVENTS[name](**data).encode()) == data


@pytest.mark.parametrize("name", sorted(TERMINAL_TYPES))
def test_a_terminal_example_lists_all_stages_with_states_that_end_a_stage(name: str) -> None:
    (example,) = blocks("event", EXAMPLES[name])
    stages = orjson.loads(example)["stages"]
    assert list(stages) == list(KINDS["menu"].stages)
    assert set(stages.values()) <= {"completed", "failed", "cancelled"}


def test_examples_of_submissions_are_accepted() -> None:
    jobs = [new_job(decode_submission(block), max_items=500) for block in blocks("submit")]
    assert [job.kind for job in jobs] == ["menu", "menu", "prompt"]
    assert [(row["name"], row["input_price"], row["input_category"]) for row in jobs[1].rows] == [
        ("Bruschetta al pomodoro", "€ 6,50", "ANTIPASTI"),
        ("Spaghetti alla carbonara", "€ 12,50", "PRIMI"),
    ]


def test_the_answer_to_a_submission_has_exactly_these_fields() -> None:
    accepted = msgspec.json.decode(only("accepted"), type=Accepted, strict=True)
    assert list(orjson.loads(only("accepted"))) == list(Accepted.__struct_fields__)
    parse_position(accepted.head, "head")
    assert accepted.events_url == f"{accepted.status_url}/events?token={accepted.session_token}"


def test_the_page_of_the_log_has_exactly_these_fields() -> None:
    page = msgspec.json.decode(only("log-page"), type=LogPageBody, strict=True)
    assert list(orjson.loads(only("log-page"))) == list(LogPageBody.__struct_fields__)
    data = orjson.loads(bytes(page.events[0].data))
    assert list(data) == [field.name for field in msgspec.structs.fields(EVENTS[page.events[0].type])]


@pytest.mark.parametrize("kind", ["menu", "prompt"])
def test_an_example_of_each_result_has_the_shape_that_its_stage_demands(kind: str) -> None:
    results: dict[str, Any] = orjson.loads(only(f"results {kind}"))
    assert list(results) == list(KINDS[kind].stages)
    for name, stage in KINDS[kind].stages.items():
        value = stage.value(Answer("item", results[name], 0.9), "builtin")
        assert value["result"] == results[name]


@pytest.mark.parametrize("kind", ["menu", "prompt"])
def test_the_table_of_columns_is_that_of_the_stages(kind: str) -> None:
    row = re.compile(r"^\| `(\w+)` \| ([`\w, ]+) \| `(\w+)` \| ([`\w, ]+) \|$", re.MULTILINE)
    first = 0 if kind == "menu" else 2
    table = {found[first]: tuple(re.findall(r"\w+", found[first + 1])) for found in row.findall(PAGE)}
    assert table == {name: stage.fills for name, stage in KINDS[kind].stages.items()}


def test_the_reference_has_the_fields_of_a_real_one() -> None:
    example = orjson.loads(only("reference"))
    real = reference_to({"result": "x", "provider": "builtin", "confidence": 0.9}, example["reference"]["url"][9:])
    assert list(example) == list(real)
    assert list(example["reference"]) == list(real["reference"])
    assert example["reference"]["url"] == real["reference"]["url"]
    assert len(example["reference"]["sha256"]) == 64


def test_the_problem_is_the_one_that_the_code_makes() -> None:
    error = InvalidInput("Control character U+0007 at character 1.", field="items[3].name")
    assert orjson.loads(only("problem")) == orjson.loads(problem(error))


@pytest.mark.parametrize("error", ON_THE_WIRE)
def test_every_error_has_its_line(error: type[StagecastError]) -> None:
    assert f"| `/problems/{error.slug}` | {error.status} |" in PAGE


def test_the_table_of_errors_has_no_other_lines() -> None:
    assert len(re.findall(r"^\| `/problems/", PAGE, re.MULTILINE)) == len(ON_THE_WIRE)


def test_all_states_are_named() -> None:
    for states in (JobStatus, StageStatus, RowStatus):
        for state in states:
            assert f"`{state}`" in PAGE


def test_the_limits_are_those_of_the_code() -> None:
    assert (MAX_BODY_BYTES, MAX_DEPTH, LINES_PER_DISH, MAX_LIMIT) == (1_048_576, 32, 10, 1000)
    assert (MAX_NAME, MAX_PRICE, MAX_CATEGORY, MAX_TITLE, MAX_CONTENT) == (500, 100, 200, 255, 100_000)
    assert (MAX_TEST_CASES, MOST_WAITING, MOST_JOBS) == (50, 10_000, 100)
    assert (MOST_HEAD_BYTES, MOST_PIPELINED) == (65_536, 32)
    assert Settings(_env_file=None).processing.max_items == 500
    for line in (
        "| body | 1 MiB; JSON nested at most 32 deep |",
        "name 1 to 500 characters, price 100, category 200 |",
        "| prompt | title 1 to 255 characters, content 1 to 100,000; 50 test cases |",
        "| polling | 1000 events a page |",
        "| head | 64 KiB; 32 requests may wait behind the one that is answered |",
    ):
        assert line in PAGE
    assert IdempotencyHeader.__metadata__[0].name == "Idempotency-Key"


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"STAGECAST_([A-Z_]+)", PAGE))))
def test_every_setting_that_is_named_exists(setting: str) -> None:
    value: Any = Settings(_env_file=None)
    for part in setting.lower().split("__"):
        value = getattr(value, part)
