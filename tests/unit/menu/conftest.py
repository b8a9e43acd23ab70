"""The real provider with the shipped lexicon, and a way to ask it one question."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from infra.providers.base import Answer, Dish, StageCall
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.provider import BuiltinProvider

Ask = Callable[..., tuple[Any, float]]


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    return Lexicon.load()


@pytest.fixture(scope="session")
def provider(lexicon: Lexicon) -> BuiltinProvider:
    return BuiltinProvider(lexicon)


@pytest.fixture(scope="session")
def ask(provider: BuiltinProvider) -> Ask:
    """`ask(stage, name, price=, category=, source=, target=)` gives the result and the confidence."""

    async def collect(call: StageCall) -> list[Answer]:
        return [answer async for answer in provider.answer(call) if isinstance(answer, Answer)]

    def ask_one(
        stage: str,
        name: str = "親子丼",
        price: str | None = None,
        category: str | None = None,
        source: str | None = "ja",
        target: str = "en",
    ) -> tuple[Any, float]:
        dish = Dish("item", 0, name, price, category)
        (answer,) = asyncio.run(collect(StageCall("menu", stage, (dish,), target, source)))
        assert answer.item_id == "item"
        return answer.result, answer.confidence

    return ask_one
