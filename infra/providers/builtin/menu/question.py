"""A question: one dish of one stage, with everything that a rule may use to answer it."""

from typing import Any

import msgspec

from infra.providers.base import Dish
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.recognition import Recognition

Known = tuple[Any, float]
"""A JSON value of the stage's shape and a confidence of 0..1."""

UNKNOWN: Known = (None, 0.0)


class Tongue(msgspec.Struct, frozen=True):
    """A language of a job: the whole BCP 47 tag, and its language subtag ("en" of "en-GB")."""

    tag: str
    language: str
    script: str | None = None

    def same(self, other: "Tongue") -> bool:
        """Whether a text in one needs no translation into the other (zh-Hans and zh-Hant do)."""
        scripts = {self.script, other.script} - {None}
        return self.language == other.language and len(scripts) < 2


class Question(msgspec.Struct, frozen=True):
    """What a rule is asked. `source` is None when the menu's language could not be told."""

    dish: Dish
    recognition: Recognition
    lexicon: Lexicon
    source: Tongue | None
    target: Tongue
