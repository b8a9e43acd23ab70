"""The bodies of requests and answers, and what is valid in them (design 2.3)."""

import re
from typing import Annotated, Any, Literal

import langcodes
import msgspec

from infra.errors import InvalidInput
from infra.providers.base import TestCase

MAX_NAME = 500
MAX_PRICE = 100
MAX_CATEGORY = 200
MAX_TITLE = 255
MAX_CONTENT = 100_000
MAX_TEST_CASES = 50

# Anything longer is no id of ours; anything else that is none either is simply not found.
SessionId = Annotated[str, msgspec.Meta(max_length=64)]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dish: its name as it stands on the menu, with price and category if it has them."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    price: Annotated[str, msgspec.Meta(max_length=MAX_PRICE)] | None = None
    category: Annotated[str, msgspec.Meta(max_length=MAX_CATEGORY)] | None = None


class SubmitMenu(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="menu"):
    """A menu, either as `items` or as `text` (a dish a line)."""

    target_language: str = "en"
    source_language: str | None = None
    session_id: SessionId | None = None
    items: list[Item] | None = None
    text: str | None = None


class SubmitPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="prompt"):
    """A prompt with its test cases."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TITLE)]
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONTENT)]
    test_cases: Annotated[list[TestCase], msgspec.Meta(max_length=MAX_TEST_CASES)] = []
    target_language: str = "en"
    source_language: str | None = None
    session_id: SessionId | None = None


Submission = SubmitMenu | SubmitPrompt


class Accepted(msgspec.Struct, frozen=True):
    """The answer to a submission: where the job is, and the token that opens its session."""

    job_id: str
    session_id: str
    status: str
    session_token: str
    events_url: str
    status_url: str
    cancel_url: str
    head: str


class LogEvent(msgspec.Struct, frozen=True):
    """An event of the log, as polling shows it."""

    id: str
    type: str
    data: msgspec.Raw


class LogPageBody(msgspec.Struct, frozen=True):
    """A page of the log; ask again with `after=next_after`."""

    epoch: str
    head: str
    events: list[LogEvent]
    next_after: str


class Component(msgspec.Struct, frozen=True):
    """The health of one part."""

    status: Literal["ok", "failing", "draining"]
    latency_ms: float | None = None
    detail: str | None = None


class Health(msgspec.Struct, frozen=True):
    """Whether the process works, and each part that it needs."""

    status: Literal["ok", "failing", "draining"]
    checks: dict[str, Component] = {}


# Cc without tab (U+0009) and newline (U+000A).
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# BCP 47 is written with hyphens; the library also forgives underscores.
_TAG = re.compile(r"[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*")
MAX_TAG = 64


def check_language(tag: str, field: str) -> str:
    """The tag, if it is well-formed BCP 47 of registered subtags. Raises InvalidInput."""
    if len(tag) > MAX_TAG or not _TAG.fullmatch(tag) or not langcodes.tag_is_valid(tag):
        raise InvalidInput(
            f"{tag[:MAX_TAG]!r} is not a registered BCP 47 language tag, such as en or pt-BR.", field=field
        )
    return tag


def check_values(value: Any, path: str = "") -> None:
    """Refuse control characters in any string of a decoded body, keys included, and integers beyond 64 bits.

    Raises InvalidInput naming the place.
    """
    if isinstance(value, str):
        if found := _CONTROL.search(value):
            code = f"U+{ord(found[0]):04X}"
            raise InvalidInput(f"Control character {code} at character {found.start()}.", field=path or "body")
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_values(key, path)
            check_values(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, int):
        # Neither the encoder of the rows nor most readers of JSON take larger ones.
        if not -(2**63) <= value < 2**63:
            raise InvalidInput("An integer must fit into 64 bits.", field=path or "body")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_values(inner, f"{path}[{index}]")
