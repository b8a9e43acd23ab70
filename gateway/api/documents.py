"""OpenAPI for what Litestar can't see: the body of a submission is decoded by us, to name the failing field."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema

from gateway.api.schemas import SubmitMenu, SubmitPrompt


@dataclass
class SubmitOperation(Operation):
    """The operation of `POST /v1/jobs` with the schema of its body."""

    def __post_init__(self) -> None:
        schemas = [_inlined(kind) for kind in (SubmitMenu, SubmitPrompt)]
        media = OpenAPIMediaType(schema=Schema(one_of=[_RawSchema(schema) for schema in schemas]))
        self.request_body = RequestBody(required=True, content={"application/json": media})


class _RawSchema(Schema):
    """A JSON Schema as msgspec made it, passed through unchanged."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self._schema = schema

    def to_schema(self) -> dict[str, Any]:
        return self._schema


def _inlined(kind: Any) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components((kind,), ref_template="{name}")

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(one) for one in node]
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(components[node["$ref"]])
            return {key: resolve(value) for key, value in node.items() if key != "discriminator"}
        return node

    resolved: dict[str, Any] = resolve(schema)
    return resolved
