"""Improvement: the author's text, kept word for word, with a marked slot for every part that is missing."""

from typing import Any

from infra.providers.builtin.prompt.analysis import score_parts
from infra.providers.builtin.prompt.language import detect_language
from infra.providers.builtin.prompt.parts import Part
from infra.providers.builtin.prompt.slots import SLOTS, has_slot

# One fair cue is enough: asking an author for what is already there is worse than missing a weak hint.
PRESENT_SCORE = 0.5
# Who and what come before the author's text, the rest after it, in the order in which a model reads best.
BEFORE: tuple[Part, ...] = ("role", "task")
AFTER: tuple[Part, ...] = ("context", "constraints", "output_format", "examples")
# The contract's limit for a prompt's content, in code points.
LONGEST_CONTENT = 100_000
CONFIDENCE = 0.7


def improve_prompt(text: str) -> tuple[dict[str, Any], float]:
    """The next version and the parts added; a complete prompt comes back unchanged, and so does an improved one."""
    scores = score_parts(text)
    slots = SLOTS["ja" if detect_language(text).tag == "ja" else "en"]
    room = LONGEST_CONTENT - len(text)
    added: list[Part] = []
    for part in (*BEFORE, *AFTER):
        cost = len(slots[part]) + len("\n\n")
        if scores[part] < PRESENT_SCORE and not has_slot(text, part) and cost <= room:
            added.append(part)
            room -= cost
    before = [slots[part] for part in BEFORE if part in added]
    after = [slots[part] for part in AFTER if part in added]
    return {"content": "\n\n".join([*before, text, *after]), "added": list(added)}, CONFIDENCE
