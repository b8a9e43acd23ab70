"""What a stage is: a name, the columns that it fills, and the shape that its results must have."""

from functools import cache
from typing import Any

import msgspec

from infra.providers.base import Answer, Kind, ProviderRejected


class Stage(msgspec.Struct, frozen=True):
    """One of the eight stages of a kind of job.

    `fills` are the row's columns. A stage of one column stores its value there as it is; a stage of several columns
    gives a result object with a key for each, and every column gets its own part: null parts with confidence 0.
    `result` is the type of a known result; None (unknown) is always allowed.
    """

    kind: Kind
    name: str
    fills: tuple[str, ...]
    result: Any

    def value(self, answer: Answer, provider: str) -> dict[str, Any]:
        """The `value` of an item.updated event. Raises ProviderRejected when the result has not the stage's shape."""
        checked = self._check(answer, provider)
        return {"result": msgspec.to_builtins(checked), "provider": provider, "confidence": answer.confidence}

    def encode(self, answer: Answer, provider: str) -> tuple[bytes, dict[str, bytes]]:
        """The same value as JSON, and the JSON of each column that it fills. Raises ProviderRejected."""
        known = {"result": self._check(answer, provider), "provider": provider, "confidence": answer.confidence}
        encoded = msgspec.json.encode(known)
        if len(self.fills) == 1:
            return encoded, {self.fills[0]: encoded}
        parts = self.columns({**known, "result": msgspec.to_builtins(known["result"])})
        return encoded, {column: msgspec.json.encode(part) for column, part in parts.items()}

    def _check(self, answer: Answer, provider: str) -> Any:
        try:
            # A struct around the type, made once: msgspec looks at any other type anew each time, which takes 3 µs.
            return msgspec.convert({"result": answer.result}, _known(self.result)).result
        except msgspec.ValidationError as error:
            raise ProviderRejected(f"{provider} gave a malformed {self.name} result: {error}") from error

    def columns(self, value: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The row's columns that a value fills, each with its own result."""
        if len(self.fills) == 1:
            return {self.fills[0]: value}
        parts = value["result"] or {}
        return {column: _part(value, parts.get(column)) for column in self.fills}


@cache
def _known(result: Any) -> Any:
    return msgspec.defstruct("Known", [("result", result | None)])


def _part(value: dict[str, Any], result: Any) -> dict[str, Any]:
    # What is not known has confidence 0, however sure the other columns of the value are.
    return {**value, "result": result, "confidence": 0.0 if result is None else value["confidence"]}
