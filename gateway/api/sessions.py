"""Sessions over HTTP: what they hold, and their log by polling."""

from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from gateway.api.jobs import json_response
from gateway.api.requests import AnyRequest, check_session
from gateway.api.schemas import LogEvent, LogPageBody
from gateway.services import Services
from gateway.streaming.position import Position, parse_position
from infra.errors import Conflict, InvalidInput, NotFound

MAX_LIMIT = 1000


class EpochChanged(Conflict):
    """The log of this id is gone; start again from a snapshot."""

    slug = "epoch-changed"


class AheadOfHead(Conflict):
    """The log does not have this number yet; start again from a snapshot."""

    slug = "ahead-of-head"


class BehindRetention(Conflict):
    """What follows this position has been removed; start again from a snapshot."""

    slug = "behind-retention"


@get("/v1/sessions/{session_id:str}", summary="A session and its jobs", tags=["sessions"])
async def show_session(
    request: AnyRequest, services: NamedDependency[Services], session_id: FromPath[str]
) -> Response[bytes]:
    """The session's newest jobs, its head and its epoch."""
    check_session(services, request, session_id)
    listing = await services.snapshots.listing(session_id)
    if listing is None:
        raise NotFound
    return json_response(listing)


@get("/v1/sessions/{session_id:str}/events.json", summary="The log by polling", tags=["sessions"])
async def poll_events(
    request: AnyRequest,
    services: NamedDependency[Services],
    session_id: FromPath[str],
    after: Annotated[str, QueryParameter(description="A sequence number or an event id")] = "0",
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT)] = 100,
) -> Response[LogPageBody]:
    """Events after a position, at most `limit`. 409 when what follows it is not (or no longer) in this log.

    `after=0`, the default, begins with the first event that is kept.
    """
    check_session(services, request, session_id)
    if after.isascii() and after.isdigit() and len(after) <= 18:
        epoch, seq = None, int(after)
    elif "." in after:
        position = parse_position(after, "after")
        epoch, seq = position.epoch, position.seq
    else:
        raise InvalidInput("Expected a sequence number or the id of an event.", field="after")
    page = await services.log.page(session_id, seq, limit)
    if page is None:
        raise NotFound
    log = page.position
    if epoch is not None and epoch != log.epoch:
        raise EpochChanged(field="after")
    if seq > log.head:
        raise AheadOfHead(field="after")
    if seq < log.trimmed and (seq > 0 or epoch is not None):
        raise BehindRetention(field="after")
    events = [
        LogEvent(str(Position(log.epoch, number)), entry.type, msgspec.Raw(entry.data)) for number, entry in page.events
    ]
    reached = page.events[-1][0] if page.events else max(seq, log.trimmed)
    body = LogPageBody(log.epoch, str(Position(log.epoch, log.head)), events, str(Position(log.epoch, reached)))
    return Response(body, headers={"Cache-Control": "no-store"})
