"""The response of a stream: sse-starlette's headers and semantics; what follows the opening is a `Follower`'s.

What differs from `EventSourceResponse`, and why:

1. No task per connection instead of four: once a browser is live, the request's task has ended, and the server holds
   the response (`outlet.HOLD`). An idle stream of 8,000 costs 8 KB that way, against 41 KB of a task and a queue. A
   server that can't hold a response gets three tasks: one for the request, one that pumps, one that waits for the
   disconnect.
2. No per-event generator step, queue, task or encoding: all live browsers are written to in one loop (`crowd`).
3. The heartbeat is the named event `stream.head`, because a comment is invisible to a page and could not prove
   anything. One timer serves all streams (`timetable`).
4. The end of the process is announced by the hub (`stream.drain`) instead of the library's half-second poll.
5. Its headers are made once (7 % of what opening a stream costs), and this is an application of its own.

Kept: media type, `X-Accel-Buffering`, `no-store`, HEAD answered with headers only, a deadline on every write.
"""

import asyncio
from contextlib import ExitStack

from starlette.types import Receive, Scope, Send

from gateway.problems import problem
from gateway.streaming.admission import Place, Refused
from gateway.streaming.context import StreamContext
from gateway.streaming.follower import Follower
from gateway.streaming.hub import Seat
from gateway.streaming.opening import Opened, Opener
from gateway.streaming.outlet import HOLD, AsgiOutlet, Hold
from infra.errors import DatabaseUnavailable, NotFound, Overloaded

__all__ = ["BusyStream", "EventStream", "StreamContext"]

OPENING_TRIES = 3


async def _begin(follower: Follower, first: list[bytes]) -> None:
    await follower.open(first)
    await follower.bring_up()


class EventStream:
    """An ASGI application: streams one session or job to one browser, from where it says it stands."""

    def __init__(self, context: StreamContext, opener: Opener) -> None:
        self._context = context
        self._opener = opener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the ASGI request. A refusal that the browser should retry is a 200 that says so and closes."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if self._context.hub.draining:
            await self._refuse(send, "draining")
            return
        client = scope.get("client")
        try:
            place = self._context.admission.place(self._opener.session_id, client[0] if client else None)
        except Refused as refused:
            await self._refuse(send, refused.reason)
            return
        await self._serve(place, scope, receive, send)

    async def _serve(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole stream, or as much of it as there is before the server holds it."""
        context, closed = self._context, self._context.metrics.closed
        with ExitStack() as stack:
            stack.enter_context(place)
            try:
                async with context.admission.opening(self._opener.resuming):
                    seat, opened = await self._open()
                stack.callback(seat.leave)
            except NotFound as error:
                closed.labels(reason="not_found").inc()
                await _answer(send, 404, problem(error))
                return
            except Refused as refused:
                closed.labels(reason="refused").inc()
                await self._refuse(send, refused.reason)
                return
            except (DatabaseUnavailable, Overloaded):
                closed.labels(reason="database").inc()
                await self._refuse(send, "database")
                return
            if opened is None:
                closed.labels(reason="ended").inc()
                await _answer(send, 204, b"")
                return
            await self._start(send)
            hold: Hold | None = (scope.get("extensions") or {}).get(HOLD)
            pumped = AsgiOutlet(send, context.settings.send_timeout_seconds)
            follower = Follower(context, place, seat, opened.cursor, pumped if hold is None else hold())
            first = [opened.frames]
            del opened  # or its snapshot, megabytes perhaps, would stay for as long as the stream
            stack.pop_all()  # seat and place are the follower's from here on
        if hold is not None:
            await _begin(follower, first)
            return
        pump = asyncio.create_task(pumped.run(receive))
        try:
            await _begin(follower, first)
            await pump
        finally:
            pump.cancel()
            follower.gone()  # the pump says so itself, but not if it was cancelled before it began

    async def _open(self) -> tuple[Seat, Opened | None]:
        """A seat at the channel, and the beginning of the stream. Raises Refused, NotFound, DatabaseUnavailable.

        The opening itself may be what finds out that the channel's log is of a former life, or that retention has taken
        what the client lacks; then it begins anew.
        """
        for _ in range(OPENING_TRIES):
            seat = await self._context.hub.enter(self._opener.session_id)
            try:
                opened = await self._opener.open(seat.channel)
                served = opened is None or await opened.cursor.is_served()
            except BaseException:
                seat.leave()
                raise
            if served and not seat.channel.lost:
                return seat, opened
            seat.leave()
        raise Refused("opening")

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._context.headers})

    async def _refuse(self, send: Send, reason: str) -> None:
        """The refusal that browsers come back from: any status but 200 would be final to them."""
        self._context.metrics.refused.labels(reason=reason).inc()
        await self._start(send)
        async with asyncio.timeout(self._context.settings.send_timeout_seconds):
            await send({"type": "http.response.body", "body": self._context.busy_frames(), "more_body": False})


class BusyStream(EventStream):
    """A stream that cannot be opened right now, because the database is away."""

    def __init__(self, context: StreamContext) -> None:
        super().__init__(context, Opener("", None, None, None, False, context.log, context.snapshots))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse in the form that browsers come back from."""
        await self._refuse(send, "database")


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/problem+json")] if body else []
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"cache-control", b"no-store")]}
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
