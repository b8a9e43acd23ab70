"""From the bytes of a submission to a new job, or to an error that names the field."""

import asyncio
import re
from typing import Any

import msgspec

from gateway.api.requests import AnyRequest
from gateway.api.schemas import Submission, SubmitMenu, SubmitPrompt, check_language, check_values
from infra.errors import InvalidInput, RequestTimeout
from pipeline.menu.text import parse_menu_text
from pipeline.submission import NewJob

MAX_DEPTH = 32
# Blank lines, headings and notes included.
LINES_PER_DISH = 10
# Longer bodies are decoded and checked in a thread: past this the event loop would notice.
LONG_BODY_BYTES = 20_000

_DECODER = msgspec.json.Decoder(Submission)
# A string that never ends is one token, too: tried again from each of its quotes, 16 KB took 0.7 s and 1 MiB hours.
_STRINGS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|([\[{])|[\]}]', re.DOTALL)
_AT_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`")


async def read_body(request: AnyRequest, timeout_seconds: float) -> bytes:
    """The whole body. Raises RequestTimeout; the framework refuses what has more than 1 MiB."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await request.body()
    except TimeoutError:
        raise RequestTimeout(f"The body was not complete within {timeout_seconds:g} s.") from None


async def read_submission(body: bytes, max_items: int) -> tuple[Submission, NewJob]:
    """The submission and the job that it asks for. Raises InvalidInput naming the field."""

    def read() -> tuple[Submission, NewJob]:
        submission = decode_submission(body)
        return submission, new_job(submission, max_items)

    return await asyncio.to_thread(read) if len(body) > LONG_BODY_BYTES else read()


def decode_submission(body: bytes) -> Submission:
    """A well-formed submission. Raises InvalidInput naming the field; values that need settings are checked later."""
    _check_depth(body)
    try:
        submission: Submission = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _with_field(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.", field="body") from error
    check_values(msgspec.to_builtins(submission))
    return submission


def new_job(submission: Submission, max_items: int) -> NewJob:
    """What the submission asks for. Raises InvalidInput naming the field."""
    check_language(submission.target_language, "target_language")
    if submission.source_language is not None:
        check_language(submission.source_language, "source_language")
    source, target = submission.source_language, submission.target_language
    if isinstance(submission, SubmitPrompt):
        return NewJob("prompt", submission.title, source, target, (_prompt_row(submission),))
    return NewJob("menu", None, source, target, _menu_rows(submission, max_items))


def _menu_rows(menu: SubmitMenu, max_items: int) -> tuple[dict[str, Any], ...]:
    if (menu.items is None) == (menu.text is None):
        raise InvalidInput("A menu has either items or text.", field="items" if menu.items is None else "text")
    field = "items" if menu.text is None else "text"
    if menu.items is not None:
        lines = [(item.name, item.price, item.category) for item in menu.items]
        for index, (name, _, _) in enumerate(lines):
            if not name.strip():
                raise InvalidInput("A dish needs a name.", field=f"items[{index}].name")
    else:
        _check_line_count(menu.text or "", max_items)
        lines = [(line.name, line.price, line.category) for line in parse_menu_text(menu.text or "")]
    if not 1 <= len(lines) <= max_items:
        raise InvalidInput(f"A menu has 1 to {max_items} dishes; this one has {len(lines)}.", field=field)
    if menu.text is not None:
        _check_lines(lines)
    return tuple({"name": name, "input_price": price, "input_category": category} for name, price, category in lines)


def _check_line_count(text: str, max_items: int) -> None:
    # Parsing costs about 40 microseconds a line, whatever the line says: refuse what can't be a menu before that.
    if len(text.splitlines()) > LINES_PER_DISH * max_items:
        raise InvalidInput(f"A menu has at most {max_items} dishes; this text has too many lines.", field="text")


def _check_lines(lines: list[tuple[str, str | None, str | None]]) -> None:
    for name, price, category in lines:
        if len(name) > 500 or len(price or "") > 100 or len(category or "") > 200:
            raise InvalidInput(f"The dish {name[:40]!r} is longer than a menu line may be.", field="text")


def _prompt_row(prompt: SubmitPrompt) -> dict[str, Any]:
    for field, text in (("title", prompt.title), ("content", prompt.content)):
        if not text.strip():
            raise InvalidInput(f"A prompt needs a {field}.", field=field)
    return {
        "parent_id": None,
        "version": 1,
        "title": prompt.title,
        "content": prompt.content,
        "test_cases": msgspec.to_builtins(prompt.test_cases),
    }


def _check_depth(body: bytes) -> None:
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(body):
        if token[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidInput(f"The JSON is nested deeper than {MAX_DEPTH} levels.", field="body")
        elif token[0] in (b"]", b"}"):
            depth -= 1


def _with_field(error: msgspec.ValidationError) -> InvalidInput:
    found = _AT_PATH.match(str(error))
    assert found is not None
    path = (found["path"] or "$").removeprefix("$").removeprefix(".")
    if named := _NAMED_FIELD.search(found["what"]):
        path = f"{path}.{named['name']}" if path else named["name"]
    elif "Invalid value" in found["what"] and not path:
        path = "kind"
    return InvalidInput(f"{found['what'].rstrip('.')}.", field=path or "body")
