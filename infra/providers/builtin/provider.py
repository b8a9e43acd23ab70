"""The builtin provider: offline answers from the culinary lexicon and from rules that can be read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from langcodes import Language

from infra.providers.base import Answer, Dish, Failure, PromptText, ProviderRejected, StageCall
from infra.providers.builtin import language
from infra.providers.builtin.menu import (
    allergens,
    category,
    description,
    image,
    image_search,
    ingredients,
    price,
    translation,
)
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.question import Known, Question, Tongue
from infra.providers.builtin.menu.recognition import Recognition, recognise
from infra.providers.builtin.prompt.rules import answer_prompt

MENU_RULES: Mapping[str, Callable[[Question], Known]] = MappingProxyType(
    {
        "translation": translation.answer,
        "category": category.answer,
        "description": description.answer,
        "allergens": allergens.answer,
        "ingredients": ingredients.answer,
        "image_search": image_search.answer,
        "image": image.answer,
        "price": price.answer,
    }
)
# Eight stages ask for the same name at nearly the same time; a name and its recognition take about 1 KB.
REMEMBERED_NAMES = 4096
# An answer takes some ten microseconds; after so many others on the event loop get their turn.
ANSWERS_BETWEEN_YIELDS = 25
# The first recognition of a name of 500 characters takes some 10 ms, of one of 30 less than 0.5 ms.
LONG_NAME_CHARACTERS = 100
# Rules over a longer prompt take milliseconds, which would hold up every stream of this process.
LONG_PROMPT_CHARACTERS = 20_000


class BuiltinProvider:
    """Answers both kinds of job without a network. Holds no state but the lexicon and a bounded memory of names."""

    name = "builtin"

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._recognise = lru_cache(maxsize=REMEMBERED_NAMES)(self._recognise_anew)

    @classmethod
    def load(cls) -> "BuiltinProvider":
        """A provider with the shipped lexicon. Raises LexiconError naming the file, line and column of a mistake."""
        return cls(Lexicon.load())

    def detect_language(self, texts: Sequence[str]) -> str | None:
        """The language subtag that most of the texts are written in, or None when that cannot be told."""
        return language.detect_language(texts, self._lexicon)

    async def answer(self, call: StageCall) -> AsyncIterator[Answer | Failure]:
        """Yield one Answer for each item. Raises ProviderRejected for a stage that this provider does not have."""
        dishes = [item for item in call.items if isinstance(item, Dish)]
        prompts = [item for item in call.items if isinstance(item, PromptText)]
        if call.kind == "menu":
            rule = MENU_RULES.get(call.stage)
            if rule is None:
                raise ProviderRejected(f"builtin has no menu stage {call.stage!r}")
            tag = call.source_language or self.detect_language([dish.name for dish in dishes])
            source, target = tongue(tag) if tag else None, tongue(call.target_language)
            for count, dish in enumerate(dishes, 1):
                yield self._answer_dish(rule, dish, source, target)
                if count % ANSWERS_BETWEEN_YIELDS == 0 or len(dish.name) > LONG_NAME_CHARACTERS:
                    await asyncio.sleep(0)
        for prompt in prompts if call.kind == "prompt" else ():
            if len(prompt.content) > LONG_PROMPT_CHARACTERS:
                yield await asyncio.to_thread(answer_prompt, call.stage, prompt, call)
            else:
                yield answer_prompt(call.stage, prompt, call)

    def _answer_dish(
        self, rule: Callable[[Question], Known], dish: Dish, source: Tongue | None, target: Tongue
    ) -> Answer:
        recognition = self._recognise(dish.name, source.language if source else None)
        result, confidence = rule(Question(dish, recognition, self._lexicon, source, target))
        return Answer(dish.item_id, result, confidence)

    def _recognise_anew(self, name: str, source: str | None) -> Recognition:
        return recognise(name, self._lexicon, source)


def tongue(tag: str) -> Tongue:
    """The parts of a BCP 47 tag; a tag that is not well-formed is taken by its first part."""
    try:
        parsed = Language.get(tag)
    except ValueError:
        return Tongue(tag, tag.split("-")[0].lower())
    return Tongue(tag, parsed.language or tag.split("-")[0].lower(), parsed.script)
