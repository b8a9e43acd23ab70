"""The synthetic provider: answers of the right shape without any knowledge, for load and fault tests.

Every value that it gives says `"provider": "synthetic"`, and every text starts with that word.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from infra.providers.base import Answer, Failure, ProviderError, StageCall
from infra.settings import SyntheticSettings


class SyntheticFailure(ProviderError):
    """The synthetic provider failed on purpose."""


class SyntheticProvider:
    """Waits `latency_ms` per item and fails a share of the items, both by setting."""

    name = "synthetic"

    def __init__(self, settings: SyntheticSettings) -> None:
        self._latency_seconds = settings.latency_ms / 1000
        self._failure_rate = settings.failure_rate

    def detect_language(self, texts: Sequence[str]) -> str | None:
        """It never knows."""
        return None

    async def answer(self, call: StageCall) -> AsyncIterator[Answer | Failure]:
        """Yield an answer, or a failure that may be retried, for each item in turn."""
        make = _RESULTS[call.kind, call.stage]
        for item in call.items:
            if self._latency_seconds:
                await asyncio.sleep(self._latency_seconds)
            if self._failure_rate and random.random() < self._failure_rate:
                yield Failure(item.item_id, SyntheticFailure("The synthetic provider failed on purpose."))
            else:
                yield Answer(item.item_id, make(item), 0.5)


_PARTS = ("role", "task", "context", "constraints", "output_format", "examples")
_NOTE = "synthetic result of a load test"

_RESULTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("menu", "translation"): lambda dish: f"synthetic {dish.name}",
    ("menu", "category"): lambda dish: {"category": "synthetic", "category_translation": "synthetic"},
    ("menu", "description"): lambda dish: _NOTE,
    ("menu", "allergens"): lambda dish: {"allergens": [], "note": _NOTE},
    ("menu", "ingredients"): lambda dish: [{"name": "synthetic", "original": None}],
    ("menu", "image_search"): lambda dish: [],
    ("menu", "image"): lambda dish: {
        "svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><title>synthetic</title></svg>',
        "alt": "synthetic",
    },
    ("menu", "price"): lambda dish: {
        "amount_minor": 0,
        "currency": "XTS",
        "formatted": "synthetic",
        "tax": None,
        "market": False,
    },
    ("prompt", "analysis"): lambda prompt: {"parts": dict.fromkeys(_PARTS, 0.5), "overall": 0.5},
    ("prompt", "variables"): lambda prompt: {
        "type": "object",
        "title": "synthetic",
        "properties": {},
        "required": [],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "additionalProperties": False,
    },
    ("prompt", "safety"): lambda prompt: {"findings": []},
    ("prompt", "translation"): lambda prompt: f"synthetic {prompt.content[:100]}",
    ("prompt", "tags"): lambda prompt: {"category": None, "language": None, "tags": ["synthetic"]},
    ("prompt", "embedding"): lambda prompt: {"vector": [0.0] * 256, "similar": []},
    ("prompt", "improvement"): lambda prompt: {"content": prompt.content, "added": []},
    ("prompt", "evaluation"): lambda prompt: {"overall": 0.0, "cases": []},
}
