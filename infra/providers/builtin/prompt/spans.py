"""A suspicious span of a prompt, and how to show it without repeating what it hides."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FindingKind = Literal["secret", "personal_data", "injection"]
# What to show of a hidden text: enough to find it again, too little to use it.
SHOWN_CHARACTERS = 2
# Below this length even two characters would give away a good part of it.
SHORTEST_SHOWN = 10
LONGEST_MASK = 12


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`[start, end)` in code points of the text, with the rule that found it."""

    start: int
    end: int
    kind: FindingKind
    rule: str


def mask(text: str) -> str:
    """Dots in place of the text; the first two characters stay when the text is long enough to stay secret."""
    shown = text[:SHOWN_CHARACTERS] if len(text) >= SHORTEST_SHOWN and text[:SHOWN_CHARACTERS].isalnum() else ""
    return shown + "•" * min(len(text) - len(shown), LONGEST_MASK)


def drop_overlaps(spans: Iterable[Span]) -> list[Span]:
    """The spans by position, without those that begin inside an earlier (at the same place: longer) one."""
    kept: list[Span] = []
    reached = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.rule)):
        if span.start >= reached:
            kept.append(span)
            reached = span.end
    return kept


def blank_spans(text: str, spans: Iterable[Span]) -> str:
    """The text with a space for every character of the spans, so that all other positions stay."""
    parts: list[str] = []
    reached = 0
    for span in sorted(spans):
        start = max(span.start, reached)
        if span.end > start:
            parts.append(text[reached:start])
            parts.append(" " * (span.end - start))
            reached = span.end
    return "".join(parts) + text[reached:]
