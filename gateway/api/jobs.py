"""Jobs over HTTP: submit, look, cancel, retry."""

import hashlib
import re
from typing import Annotated, Any

import orjson
from litestar import MediaType, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter

from gateway.access import COOKIE_PREFIX
from gateway.api.body import read_body, read_submission
from gateway.api.documents import SubmitOperation
from gateway.api.requests import AnyRequest, check_session, credentials, find_job
from gateway.api.schemas import Accepted, Submission
from gateway.services import Services
from infra.errors import InvalidInput
from pipeline.jobs import Submitted
from pipeline.submission import IdempotencyKey, NewJob

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IdempotencyHeader = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]


@post(
    "/v1/jobs",
    status_code=202,
    summary="Submit a menu or a prompt",
    operation_class=SubmitOperation,
    tags=["jobs"],
)
async def submit_job(
    request: AnyRequest, services: NamedDependency[Services], idempotency_key: IdempotencyHeader = None
) -> Response[Accepted]:
    """Store the job and start its eight stages; the answer says where to watch it."""
    body = await read_body(request, services.settings.http.request_timeout_seconds)
    submission, job = await read_submission(body, services.settings.processing.max_items)
    if submission.session_id is not None:
        check_session(services, request, submission.session_id)
    key = _idempotency_key(idempotency_key, submission, body)
    job = _with_language(services, job)
    submitted = await services.jobs.submit(job, submission.session_id, key)
    return _accepted(services, request, submitted)


@get("/v1/jobs/{job_id:str}", summary="Snapshot of a job", tags=["jobs"])
async def show_job(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> Response[bytes]:
    """The job with its stages, rows and head, all of one moment."""
    await find_job(services, request, job_id)
    snapshot = await services.snapshots.job(job_id)
    assert snapshot is not None
    return json_response(snapshot.body)


@post("/v1/jobs/{job_id:str}/cancel", status_code=202, summary="Cancel a job", tags=["jobs"])
async def cancel_job(request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str]) -> dict[str, str]:
    """End the job now; 409 when it has ended already."""
    await find_job(services, request, job_id)
    await services.jobs.cancel(job_id)
    return {"job_id": job_id, "status": "cancelled"}


@post("/v1/jobs/{job_id:str}/stages/{stage:str}/retry", status_code=202, summary="Retry a stage", tags=["jobs"])
async def retry_stage(
    request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str], stage: FromPath[str]
) -> dict[str, str]:
    """Run a failed stage again, on the same stream; 409 when it has not failed."""
    await find_job(services, request, job_id)
    await services.jobs.retry(job_id, stage)
    return {"job_id": job_id, "stage": stage, "status": "retry_wait"}


def json_response(body: Any) -> Response[bytes]:
    """A JSON answer that must not be kept by anybody in between."""
    return Response(orjson.dumps(body), media_type=MediaType.JSON, headers={"Cache-Control": "no-store"})


def _idempotency_key(header: str | None, submission: Submission, body: bytes) -> IdempotencyKey | None:
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise InvalidInput("1 to 255 visible ASCII characters are expected.", field="Idempotency-Key")
    return IdempotencyKey(submission.session_id or "", header, hashlib.sha256(body).hexdigest())


def _with_language(services: Services, job: NewJob) -> NewJob:
    if job.source_language is not None:
        return job
    texts = [text for row in job.rows for text in (row.get("name") or row.get("content"),) if text]
    detected = services.jobs.detect_language(texts)
    return NewJob(job.kind, job.title, detected, job.target_language, job.rows)


def _accepted(services: Services, request: AnyRequest, submitted: Submitted) -> Response[Accepted]:
    token = services.access.token(submitted.session_id)
    status_url = f"/v1/jobs/{submitted.job_id}"
    body = Accepted(
        submitted.job_id,
        submitted.session_id,
        submitted.status,
        token,
        f"{status_url}/events?token={token}",
        status_url,
        f"{status_url}/cancel",
        submitted.head,
    )
    secure = request.url.scheme == "https"
    attributes: dict[str, Any] = {"path": "/v1", "httponly": True, "samesite": "strict", "secure": secure}
    lifetime = services.settings.log.retention_seconds
    stale = credentials(request).stale_cookies(submitted.session_id)
    cookies = [Cookie(key=COOKIE_PREFIX + submitted.session_id, value=token, max_age=lifetime, **attributes)]
    cookies += [Cookie(key=name, value="", max_age=0, **attributes) for name in stale]
    headers = {"Location": status_url, "Cache-Control": "no-store"}
    return Response(body, status_code=202, headers=headers, cookies=cookies)
