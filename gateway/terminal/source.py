"""From a file to the body of a submission: a whole submission as JSON, a menu as text, or a prompt."""

import re
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from gateway.terminal.exits import Exit, Stop

MAX_TITLE = 255
DEFAULT_LANGUAGE = "en"

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<title>.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)

Kind = Literal["menu", "prompt"]


def read_body(file: str, kind: Kind | None, language: str | None, session_id: str | None) -> bytes:
    """What `POST /v1/jobs` gets for this file (`-`: standard input). Raises Stop when the file can't be one.

    JSON goes as it is; an option may add what it leaves out, and must not contradict what it says.
    """
    text = _read(file)
    options = {"kind": kind, "target_language": language, "session_id": session_id}
    given = {name: value for name, value in options.items() if value is not None}
    submission = _submission(file, text)
    if submission is not None:
        return _completed(file, text, submission, given)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Stop(Exit.USAGE, f"{_named(file)} is empty.")
    body: dict[str, Any] = {"kind": "menu", "target_language": DEFAULT_LANGUAGE, **given}
    if body["kind"] == "prompt":
        body |= {"title": find_title(text, file), "content": text}
    else:
        body["text"] = text
    return msgspec.json.encode(body)


def find_title(prompt: str, file: str) -> str:
    """The prompt's first heading (one in a code block is none), else the name of its file."""
    found = _HEADING.search(_FENCED.sub("", prompt))
    title = found["title"] if found else ("Prompt from standard input" if file == "-" else Path(file).stem)
    return title[:MAX_TITLE]


def _read(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Stop(Exit.USAGE, f"{_named(file)} can't be read: {error.strerror}.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {content[error.start]:#04x}"
        raise Stop(Exit.USAGE, f"{_named(file)} is not UTF-8 text ({where}). Convert it first, with iconv.") from None


def _submission(file: str, text: str) -> dict[str, Any] | None:
    is_json = file.lower().endswith(".json")
    if not is_json and not (file == "-" and text.lstrip().startswith("{")):
        return None
    try:
        decoded = msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        if is_json:
            raise Stop(Exit.USAGE, f"{_named(file)} is not valid JSON: {error}.") from None
        return None  # a menu or a prompt on standard input that happens to start with a brace
    if not isinstance(decoded, dict):
        raise Stop(Exit.USAGE, f"{_named(file)} holds no submission: a JSON object with a `kind` is expected.")
    return decoded


def _completed(file: str, text: str, submission: dict[str, Any], given: dict[str, str]) -> bytes:
    for name, value in given.items():
        if name in submission and submission[name] != value:
            option = {"kind": "--kind", "target_language": "--target-language", "session_id": "--session"}[name]
            said = f"{name} {submission[name]!r}"
            raise Stop(Exit.USAGE, f"{option} {value} does not agree with {_named(file)}, which says {said}.")
    missing = {name: value for name, value in given.items() if name not in submission}
    return msgspec.json.encode(submission | missing) if missing else text.encode()


def _named(file: str) -> str:
    return "Standard input" if file == "-" else file
