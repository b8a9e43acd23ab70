"""What a provider is: the one door between the stages and whatever knows the answers.

A provider receives a whole batch of one stage's items and yields answers as they become known, in any order. It never
sees the database, the bus or a transaction, so it may take as long as the stage's timeout allows.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

Kind = Literal["menu", "prompt"]


class Dish(msgspec.Struct, frozen=True):
    """One line of a menu as it was submitted; `item_id` names its row."""

    item_id: str
    position: int
    name: str
    price: str | None = None
    category: str | None = None


class Assertion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a test case expects of the rendered prompt, for example `{"type": "contains", "value": "JSON"}`."""

    type: Literal["contains", "not_contains", "equals", "starts_with", "ends_with", "regex", "max_length", "min_length"]
    value: str | int


class TestCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of variables to render a prompt with, and the assertions that the text must then meet."""

    name: str
    variables: dict[str, Any] = {}
    assertions: list[Assertion] = []


class PromptText(msgspec.Struct, frozen=True):
    """A stored prompt version as the stages see it; the only item (position 0) of a prompt job."""

    item_id: str
    title: str
    content: str
    position: int = 0
    test_cases: tuple[TestCase, ...] = ()


class StoredPrompt(msgspec.Struct, frozen=True):
    """Another prompt of the same session with its stored vector, offered to the embedding stage as a neighbour."""

    prompt_id: str
    title: str
    version: int
    vector: list[float]


class StageCall(msgspec.Struct, frozen=True):
    """A batch of items of one stage, with what the whole job knows.

    Languages are BCP 47 tags; `source_language` is None when the submitter did not name one and it has to be detected.
    """

    kind: Kind
    stage: str
    items: tuple[Dish, ...] | tuple[PromptText, ...]
    target_language: str
    source_language: str | None = None
    stored: tuple[StoredPrompt, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What a provider knows about one item: any JSON value (None: unknown) and a confidence of 0..1."""

    item_id: str
    result: Any
    confidence: float


class ProviderError(Exception):
    """The provider could not answer."""

    retryable = True


class ProviderRejected(ProviderError):
    """The provider refuses this item; asking again gives the same refusal."""

    retryable = False


class Failure(msgspec.Struct, frozen=True):
    """One item that could not be answered; the other items of the batch go on."""

    item_id: str
    error: ProviderError


class Provider(Protocol):
    """Answers the items of one stage; `name` stands in every value that it gives."""

    name: str

    def detect_language(self, texts: Sequence[str]) -> str | None:
        """The BCP 47 language that most of the texts are written in, or None when that cannot be told."""
        ...

    def answer(self, call: StageCall) -> AsyncIterator[Answer | Failure]:
        """Yield one Answer or Failure for each item of the call, as soon as it is known."""
        ...
