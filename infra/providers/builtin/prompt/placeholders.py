"""The placeholders of a prompt: `{{name}}`, `{{ name | default }}`, and, where unambiguous, `{name}` and `${name}`."""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

DOUBLE = re.compile(r"\{\{([^{}\n]{1,600})\}\}")
# Not after a word character, bracket, caret or backslash: those are LaTeX (`\frac{a}{b}`, `x_{n}`) and code.
SINGLE = re.compile(r"(?<![\w{}$\\^\]])\$?\{([^\W\d]\w{0,63})\}(?!\})")
CODE = re.compile(r"```[^`]{0,20000}(?:```|$)|`[^`\n]{1,300}`")
NAME = re.compile(r"[^\W\d][\w.\-]{0,63}(?: [\w.\-]{1,63}){0,4}")
DEFAULT_CALL = re.compile(r"default(?:\((?P<call>.*)\)|\s*[:=]\s*(?P<plain>.*))", re.DOTALL)
# Words of template languages (Handlebars, Jinja) in the place of a name, and filters in the place of a default.
KEYWORDS = frozenset({"else", "endif", "endfor", "endeach", "if", "for", "each", "this", "end"})
FILTERS = frozenset(
    {"upper", "lower", "trim", "title", "capitalize", "capitalise", "length", "tojson", "json", "safe", "escape", "e"}
)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One occurrence, `[start, end)` in code points; `default` is None when the caller has to give a value."""

    name: str
    default: str | None
    start: int
    end: int


def find_placeholders(text: str) -> list[Placeholder]:
    """All placeholders by position.

    An author who writes `{{name}}` anywhere does not mean `{name}`, and braces in code are code: single braces count
    only in a text without double ones, outside code.
    """
    found = [placeholder for match in DOUBLE.finditer(text) if (placeholder := _parse_double(match))]
    if found:
        return found
    code = [match.span() for match in CODE.finditer(text)]
    return [
        Placeholder(match.group(1), None, *match.span())
        for match in SINGLE.finditer(text)
        if match.group(1) not in KEYWORDS and not _is_inside(match.start(), code)
    ]


def render_text(text: str, placeholders: list[Placeholder], values: Mapping[str, Any], limit: int) -> str:
    """The text with a value in the place of each placeholder; those without value or default stay as they are.

    A value that is no string is written as JSON. Raises OverflowError when the result is longer than `limit`, before
    building it: twenty thousand `{{x}}` and a long x would need gigabytes.
    """
    written = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in values.items()
    }
    parts: list[str] = []
    reached = 0
    length = len(text)
    for placeholder in placeholders:
        value = written.get(placeholder.name, placeholder.default)
        if value is None:
            continue
        parts += (text[reached : placeholder.start], value)
        reached = placeholder.end
        length += len(value) - (placeholder.end - placeholder.start)
        if length > limit + len(text):
            raise OverflowError
    if length > limit:
        raise OverflowError
    return "".join(parts) + text[reached:]


def _parse_double(match: re.Match[str]) -> Placeholder | None:
    name, bar, default = (part.strip() for part in match.group(1).partition("|"))
    if not NAME.fullmatch(name) or name in KEYWORDS:
        return None
    return Placeholder(name, _parse_default(default) if bar else None, *match.span())


def _parse_default(written: str) -> str | None:
    """`x`, `"x"`, `default: x` and `default("x")` all say x; a filter such as `upper` is no default."""
    if written.lower() in FILTERS:
        return None
    if call := DEFAULT_CALL.fullmatch(written):
        written = (call.group("call") if call.group("call") is not None else call.group("plain")).strip()
    if len(written) >= 2 and written[0] == written[-1] and written[0] in "\"'":
        written = written[1:-1]
    return written


def _is_inside(position: int, spans: list[tuple[int, int]]) -> bool:
    index = bisect_right(spans, (position, float("inf"))) - 1
    return index >= 0 and position < spans[index][1]
