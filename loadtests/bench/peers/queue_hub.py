"""A hub as most are built once the first one was too slow: one Redis subscriber, and a queue for each browser.

Litestar, sse-starlette and redis-py as their documentation shows them, uvicorn with uvloop. A queue that is full lets
its oldest event go: without a log to read again there is nothing better to do.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.types import ASGIApp
from redis.asyncio import Redis
from sse_starlette import EventSourceResponse, ServerSentEvent

MOST_QUEUED = 1000


class Queues:
    """Who listens to what."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(redis_url, socket_timeout=None)
        self._queues: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)

    async def forward(self) -> None:
        """Hand every message to every queue of its channel."""
        pubsub = self._redis.pubsub()
        await pubsub.psubscribe("hub:*")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                data = message["data"].decode()
                for queue in self._queues[message["channel"].decode()]:
                    if queue.full():
                        queue.get_nowait()
                    queue.put_nowait(data)

    async def events(self, channel: str) -> AsyncIterator[ServerSentEvent]:
        """What one browser gets."""
        queue: asyncio.Queue[str] = asyncio.Queue(MOST_QUEUED)
        self._queues[channel].add(queue)
        try:
            while True:
                yield ServerSentEvent(data=await queue.get(), event="item.updated")
        finally:
            self._queues[channel].discard(queue)


def create_app(redis_url: str, ping: int) -> Litestar:
    """The application."""
    queues = Queues(redis_url)

    @get("/health", sync_to_thread=False)
    def health() -> str:
        return "ok"

    @get("/events/{channel:str}")
    async def events(channel: FromPath[str]) -> ASGIApp:
        return EventSourceResponse(queues.events(f"hub:{channel}"), ping=ping)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(queues.forward())
        yield
        task.cancel()

    return Litestar([health, events], lifespan=[lifespan], openapi_config=None)


def main() -> None:
    """Serve: port, Redis' URL, seconds between pings."""
    port, redis_url, ping = sys.argv[1:4]
    app = create_app(redis_url, int(ping))
    uvicorn.run(app, port=int(port), loop="uvloop", access_log=False, log_level="warning", backlog=4096)
