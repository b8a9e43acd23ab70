"""The SSE endpoints: access and position are checked here, the rest is `gateway.streaming`."""

from typing import Annotated, cast

from litestar import HttpMethod, route
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.types import ASGIApp

from gateway.api.requests import AnyRequest, check_session, find_job
from gateway.services import Services
from gateway.streaming.opening import Opener
from gateway.streaming.position import Position, parse_position
from gateway.streaming.response import BusyStream, EventStream
from infra.database.repositories.snapshots import JobPlace
from infra.errors import DatabaseUnavailable, InvalidInput, Overloaded

LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID")]
From = Annotated[str | None, QueryParameter(name="from", description="`snapshot`: begin with the present state")]
SnakeId = Annotated[str | None, QueryParameter(name="last_event_id")]
CamelId = Annotated[str | None, QueryParameter(name="lastEventId")]
METHODS = [HttpMethod.GET, HttpMethod.HEAD]
RESPONSES = {
    200: ResponseSpec(
        data_container=str, media_type="text/event-stream", generate_examples=False, description="Server-sent events"
    ),
    204: ResponseSpec(data_container=None, description="The job has ended and the client has all of it"),
}


@route(
    "/v1/sessions/{session_id:str}/events",
    http_method=METHODS,
    summary="Stream of a session",
    responses=RESPONSES,
    tags=["streams"],
)
async def stream_session(
    request: AnyRequest,
    services: NamedDependency[Services],
    session_id: FromPath[str],
    last_event_id: LastEventId = None,
    snake_id: SnakeId = None,
    camel_id: CamelId = None,
    start: From = None,
) -> ASGIApp:
    """All jobs of the session, from where the client stands."""
    check_session(services, request, session_id)
    position = _position(last_event_id, snake_id, camel_id)
    return _stream(services, session_id, None, None, position, start)


@route(
    "/v1/jobs/{job_id:str}/events",
    http_method=METHODS,
    summary="Stream of a job",
    responses=RESPONSES,
    tags=["streams"],
)
async def stream_job(
    request: AnyRequest,
    services: NamedDependency[Services],
    job_id: FromPath[str],
    last_event_id: LastEventId = None,
    snake_id: SnakeId = None,
    camel_id: CamelId = None,
    start: From = None,
) -> ASGIApp:
    """One job, from where the client stands; ends after the job's last event."""
    try:
        place = await find_job(services, request, job_id)
    except (DatabaseUnavailable, Overloaded):
        return _asgi(BusyStream(services.streams))
    position = _position(last_event_id, snake_id, camel_id)
    return _stream(services, place.session_id, job_id, place, position, start)


def _position(header: str | None, snake: str | None, camel: str | None) -> Position | None:
    """The header wins, then `last_event_id`, then `lastEventId`; an empty one counts as absent."""
    for value, field in ((header, "Last-Event-ID"), (snake, "last_event_id"), (camel, "lastEventId")):
        if value:
            return parse_position(value, field)
    return None


def _stream(
    services: Services,
    session_id: str,
    job_id: str | None,
    place: JobPlace | None,
    position: Position | None,
    start: str | None,
) -> ASGIApp:
    # Checked here and not by the framework, which would name the Python parameter instead of the field.
    if start not in (None, "snapshot"):
        raise InvalidInput("Only `snapshot` is known.", field="from")
    opener = Opener(session_id, job_id, place, position, start == "snapshot", services.log, services.snapshots)
    return _asgi(EventStream(services.streams, opener))


def _asgi(response: EventStream) -> ASGIApp:
    # Starlette and Litestar describe the same protocol with different types.
    return cast("ASGIApp", response)
