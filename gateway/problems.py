"""Errors on the wire: RFC 9457 problem details, with the failing field's path."""

import re
from typing import Any

import orjson

from infra.errors import StagecastError

MEDIA_TYPE = "application/problem+json"


def problem_body(slug: str, title: str, status: int, detail: str, field: str | None = None) -> dict[str, Any]:
    """The members of a problem; a field is named as `items[3].name` and as the JSON pointer `#/items/3/name`."""
    body: dict[str, Any] = {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail}
    if field is not None:
        pointer = "#/" + "/".join(re.findall(r"[^.\[\]]+", field))
        body["errors"] = [{"field": field, "pointer": pointer, "detail": detail}]
    return body


def problem(error: StagecastError) -> bytes:
    """The encoded problem of one of our own errors; its title is the first sentence of the class."""
    title = (type(error).__doc__ or "").strip().splitlines()[0].rstrip(".")
    return orjson.dumps(problem_body(error.slug, title, error.status, error.detail, error.field))
