"""Stage `variables`: the prompt's placeholders as a JSON Schema."""

from typing import Any, Literal

import msgspec

from pipeline.stages import Stage


class VariablesResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A JSON Schema (draft 2020-12) of the object to render the prompt with; each property is a schema of its own.

    `defs` lets a provider share parts between properties; the builtin one does not.
    """

    type: Literal["object"]
    properties: dict[str, dict[str, Any]]
    required: list[str]
    schema: str = msgspec.field(name="$schema")
    additional_properties: bool = msgspec.field(name="additionalProperties")
    title: str | None = None
    description: str | None = None
    defs: dict[str, dict[str, Any]] | None = msgspec.field(name="$defs", default=None)


STAGE = Stage(kind="prompt", name="variables", fills=("variables",), result=VariablesResult)
