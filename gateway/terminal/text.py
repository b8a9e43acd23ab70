"""Text of jobs on a terminal: it may hold anything, so nothing in it may act on the terminal."""

import unicodedata
from typing import Any

from rich.text import Text

NOTHING = "–"


def plain(value: Any, longest: int = 400) -> Text:
    """The text without control and bidirectional override characters, and without rich's markup; cut when too long."""
    kept = "".join(_shown(character) for character in str(value))
    return Text(kept if len(kept) <= longest else kept[: longest - 1] + "…")


def seconds(value: float | None) -> str:
    """A duration for people: 0.42 s, 12.3 s, 3 min 05 s."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def _shown(character: str) -> str:
    if character in "\n\t":
        return " "
    # Cc: escape sequences. Cf: overrides of the direction; but joiners are part of ordinary words.
    category = unicodedata.category(character)
    return "\ufffd" if category == "Cc" or (category == "Cf" and character not in "\u200c\u200d") else character
