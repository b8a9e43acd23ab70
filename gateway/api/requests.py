"""What handlers ask of a request: who is asking, and whether they may."""

from typing import Any

from litestar import Request

from gateway.access import Credentials
from gateway.services import Services
from infra.database.repositories.snapshots import JobPlace
from infra.errors import NotFound
from infra.ids import is_id

AnyRequest = Request[Any, Any, Any]


def credentials(request: AnyRequest) -> Credentials:
    """The tokens that the request presents."""
    headers = request.headers
    return Credentials(headers.get("authorization"), request.query_params.get("token"), headers.get("cookie"))


def check_session(services: Services, request: AnyRequest, session_id: str) -> None:
    """Raises NotFound, as if the session did not exist, unless the request holds its token."""
    if not services.access.allows(session_id, credentials(request)):
        raise NotFound("There is no such session, or the token is not its token.")


async def find_job(services: Services, request: AnyRequest, job_id: str) -> JobPlace:
    """Where the job is, for whoever holds its session's token. Raises NotFound, DatabaseUnavailable."""
    # What can't be an id is not asked for: PostgreSQL refuses a text with a NUL.
    place = await services.snapshots.place(job_id) if is_id(job_id) else None
    if place is None or not services.access.allows(place.session_id, credentials(request)):
        raise NotFound("There is no such job, or the token is not its session's.")
    return place
