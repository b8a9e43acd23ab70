"""Analysis: how clearly a prompt has each of the parts that a good one has."""

from typing import Any

from infra.providers.builtin.prompt.language import detect_language
from infra.providers.builtin.prompt.parts import CUES, PARTS, Part
from infra.providers.builtin.prompt.slots import strip_slots

# What a prompt can least do without weighs most: a task alone is a usable prompt, examples alone are not.
WEIGHTS: dict[Part, float] = {
    "role": 0.1,
    "task": 0.35,
    "context": 0.15,
    "constraints": 0.15,
    "output_format": 0.15,
    "examples": 0.1,
}
# The cues are English and Japanese: in another language a missing cue says little.
CUE_LANGUAGES = frozenset({"en", "ja"})
KNOWN_LANGUAGE_CONFIDENCE = 0.8
OTHER_LANGUAGE_CONFIDENCE = 0.3


def score_parts(text: str) -> dict[Part, float]:
    """Each part's score, 0..1: the weights of its cues that occur, summed, at most 1. Empty slots do not count."""
    written = strip_slots(text)
    return {
        part: round(min(1.0, sum(weight for pattern, weight in CUES[part] if pattern.search(written))), 2)
        for part in PARTS
    }


def analyse_prompt(text: str) -> tuple[dict[str, Any], float]:
    """The scores of the six parts with their weighted mean, and the confidence in them."""
    parts = score_parts(text)
    overall = round(sum(WEIGHTS[part] * score for part, score in parts.items()), 2)
    known = detect_language(text).tag in CUE_LANGUAGES
    return {"parts": parts, "overall": overall}, KNOWN_LANGUAGE_CONFIDENCE if known else OTHER_LANGUAGE_CONFIDENCE
