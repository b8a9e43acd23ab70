"""The API's document as it is served: what the framework can't know is added to what it found in the handlers.

These are the errors of each operation, the shape of pictures that are encoded by hand, and what is allowed in a
parameter. Property tests compare the document with a running gateway.
"""

import copy
from http import HTTPStatus
from typing import Any

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin

from gateway.problems import MEDIA_TYPE
from infra.database.status import JobStatus, StageStatus
from infra.errors import (
    Conflict,
    DatabaseUnavailable,
    IdempotencyMismatch,
    InvalidInput,
    JobFinished,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    RequestTimeout,
    StagecastError,
    StageNotFailed,
)

_WRITING = (DatabaseUnavailable, OutcomeUnknown, Overloaded)
_STREAM = (InvalidInput, NotFound)
_ERRORS: dict[tuple[str, str], tuple[type[StagecastError], ...]] = {
    ("post", "/v1/jobs"): (InvalidInput, NotFound, RequestTimeout, IdempotencyMismatch, *_WRITING),
    ("get", "/v1/jobs/{job_id}"): (NotFound, DatabaseUnavailable),
    ("post", "/v1/jobs/{job_id}/cancel"): (NotFound, JobFinished, *_WRITING),
    ("post", "/v1/jobs/{job_id}/stages/{stage}/retry"): (NotFound, JobFinished, StageNotFailed, *_WRITING),
    ("get", "/v1/sessions/{session_id}"): (NotFound, DatabaseUnavailable),
    ("get", "/v1/sessions/{session_id}/events.json"): (InvalidInput, NotFound, Conflict, DatabaseUnavailable),
    ("get", "/v1/sessions/{session_id}/events"): _STREAM,
    ("head", "/v1/sessions/{session_id}/events"): _STREAM,
    ("get", "/v1/jobs/{job_id}/events"): _STREAM,
    ("head", "/v1/jobs/{job_id}/events"): _STREAM,
}
# Answers that an operation has beside its errors, with the schema of their body.
_MORE: dict[tuple[str, str], dict[int, tuple[str, str, str]]] = {
    ("post", "/v1/jobs"): {413: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase, MEDIA_TYPE, "Problem")},
    ("get", "/v1/jobs/{job_id}"): {200: ("The job's snapshot", "application/json", "JobSnapshot")},
    ("get", "/v1/sessions/{session_id}"): {200: ("The session's newest jobs", "application/json", "SessionListing")},
    ("get", "/health/ready"): {503: ("Not ready, or draining", "application/json", "Health")},
    ("get", "/health/database"): {503: ("The database does not answer", "application/json", "Health")},
}

_EVENT_ID = r"[a-z0-9]{8}\.(0|[1-9][0-9]{0,17})"
_POSITION = {"type": "string", "pattern": f"^({_EVENT_ID})?$", "description": "The id of an event; empty is absent"}
_NO_CONTROL = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$"
_EITHER = [
    {"required": [given], "properties": {given: {"type": kind, least: 1}, other: {"type": "null"}}}
    for given, other, kind, least in (("items", "text", "array", "minItems"), ("text", "items", "string", "minLength"))
]
_PARAMETERS: dict[str, dict[str, Any]] = {
    "job_id": {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{26}$"},
    "session_id": {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{26}$"},
    "stage": {"type": "string", "minLength": 1},
    "Idempotency-Key": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Last-Event-ID": _POSITION,
    "last_event_id": _POSITION,
    "lastEventId": _POSITION,
    "from": {"type": "string", "enum": ["snapshot"]},
    "after": {"type": "string", "pattern": f"^([0-9]{{1,18}}|{_EVENT_ID})$", "default": "0"},
}


def _text(**more: Any) -> dict[str, Any]:
    return {"type": "string", **more}


def _text_or_null(**more: Any) -> dict[str, Any]:
    return {"type": ["string", "null"], **more}


_TIME = {"format": "date-time"}
_LINE: dict[str, Any] = {
    "job_id": _text(),
    "session_id": _text(),
    "kind": _text(enum=["menu", "prompt"]),
    "status": _text(enum=[str(status) for status in JobStatus]),
    "run": {"type": "integer", "minimum": 1},
    "title": _text_or_null(),
    "source_language": _text_or_null(),
    "target_language": _text(),
    "created_at": _text(**_TIME),
    "started_at": _text_or_null(**_TIME),
    "finished_at": _text_or_null(**_TIME),
}
_STAGE_STATUS = _text(enum=[str(status) for status in StageStatus])


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_COUNT = {"type": "integer", "minimum": 0}
_HEAD = {"epoch": _text(pattern="^[a-z0-9]{8}$"), "head": _text(pattern=f"^{_EVENT_ID}$")}
_STAGE = _object(status=_STAGE_STATUS, attempt=_COUNT, done=_COUNT, total=_COUNT, error={"type": ["object", "null"]})
_SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details; `errors` names the wrong field, if there is one.",
        "properties": {
            "type": _text(pattern="^/problems/"),
            "title": _text(),
            "status": {"type": "integer"},
            "detail": _text(),
            "errors": {"type": "array", "items": _object(field=_text(), pointer=_text(), detail=_text())},
        },
        "required": ["detail", "status", "title", "type"],
    },
    "JobSnapshot": _object(
        **_LINE,
        stages={"type": "object", "additionalProperties": _STAGE},
        rows={"type": "array", "items": {"type": "object", "required": ["item_id"]}},
        **_HEAD,
    ),
    "SessionListing": _object(
        session_id=_text(),
        **_HEAD,
        created_at=_text(**_TIME),
        jobs={
            "type": "array",
            "items": _object(**_LINE, stages={"type": "object", "additionalProperties": _STAGE_STATUS}),
        },
        truncated={"type": "boolean"},
    ),
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The session's token"},
    "token": {"type": "apiKey", "in": "query", "name": "token", "description": "The session's token, for EventSource"},
}


class ReferenceDocument(JsonRenderPlugin):
    """Serves the whole document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON."""
        return super().render(request, complete(openapi_schema))


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the framework's document with what it can't know."""
    document = copy.deepcopy(document)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_SCHEMAS)
    components["securitySchemes"] = _SECURITY
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete_operation((method, path), operation)
    return document


def _complete_body(schema: Any) -> None:
    """Say of every text of a submission that it has no control characters, and of every menu what it consists of."""
    if isinstance(schema, list):
        for one in schema:
            _complete_body(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "string" and "enum" not in schema and "const" not in schema:
            schema.setdefault("pattern", _NO_CONTROL)
        if schema.get("title") == "SubmitMenu":
            schema["oneOf"] = _EITHER
        for value in list(schema.values()):
            _complete_body(value)


def _complete_operation(place: tuple[str, str], operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in _PARAMETERS:
            parameter["schema"] = _PARAMETERS[parameter["name"]]
    if place in _ERRORS:
        # Either credential; none of them for a submission that opens a session of its own.
        operation["security"] = [{name: []} for name in _SECURITY] + ([{}] if place == ("post", "/v1/jobs") else [])
    _complete_body(operation.get("requestBody"))
    responses = operation["responses"]
    responses.pop("400", None)  # the framework's own form of an error, which is never sent
    for error in _ERRORS.get(place, ()):
        sentence = (error.__doc__ or "").strip().splitlines()[0]
        response = responses.setdefault(str(error.status), _response("", MEDIA_TYPE, "Problem"))
        response["description"] = f"{response['description']} {sentence}".strip()
    for status, (description, media_type, schema_name) in _MORE.get(place, {}).items():
        responses[str(status)] = _response(description, media_type, schema_name)


def _response(description: str, media_type: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
