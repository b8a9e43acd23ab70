"""What a stage is: a name, the columns that it fills, and the shape that its results must have."""

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
        try:
            checked = msgspec.convert(answer.result, self.result | None)
        except msgspec.ValidationError as error:
            raise ProviderRejected(f"{provider} gave a malformed {self.name} result: {error}") from error
        return {"result": msgspec.to_builtins(checked), "provider": provider, "confidence": answer.confidence}

    def columns(self, value: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The row's columns that a value fills, each with its own result."""
        if len(self.fills) == 1:
            return {self.fills[0]: value}
        parts = value["result"] or {}
        return {column: _part(value, parts.get(column)) for column in self.fills}


def _part(value: dict[str, Any], result: Any) -> dict[str, Any]:
    # What is not known has confidence 0, however sure the other columns of the value are.
    return {**value, "result": result, "confidence": 0.0 if result is None else value["confidence"]}
