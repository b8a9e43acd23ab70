"""Every error as problem+json, our own and the framework's."""

from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from gateway.problems import MEDIA_TYPE, problem, problem_body
from infra.errors import RequestTimeout, StagecastError

log = structlog.stdlib.get_logger(__name__)

RETRY_AFTER_SECONDS = "2"


def _own(request: Request[Any, Any, Any], error: StagecastError) -> Response[bytes]:
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if error.retryable else {}
    if isinstance(error, RequestTimeout):
        headers["Connection"] = "close"  # the rest of the body would only be waited for once more
    if error.status >= 500:
        log.error("request_failed", path=request.url.path, error=type(error).__name__, detail=error.detail)
    return Response(problem(error), status_code=error.status, media_type=MEDIA_TYPE, headers=headers)


def _framework(_request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    title = HTTPStatus(error.status_code).phrase
    slug = title.lower().replace(" ", "-")
    field, detail = None, error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        field, detail = str(first.get("key") or "request"), str(first.get("message") or detail)
    body = problem_body(slug, title, error.status_code, detail, field)
    headers = dict(error.headers or {})
    return Response(body, status_code=error.status_code, media_type=MEDIA_TYPE, headers=headers)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.exception("request_broke", path=request.url.path, exc_info=error)
    body = problem_body("internal", "Internal error", 500, "Something went wrong on our side; it has been logged.")
    return Response(body, status_code=500, media_type=MEDIA_TYPE)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    StagecastError: _own,
    HTTPException: _framework,
    Exception: _unexpected,
}
