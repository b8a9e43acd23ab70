"""The hub that tutorials show: FastAPI, redis-py, sse-starlette, a Redis pub/sub connection for each browser."""

import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis
from sse_starlette import EventSourceResponse, ServerSentEvent

# redis-py allows 100 by default.
MOST_BROWSERS = 10_000


def create_app(redis_url: str, ping: int) -> FastAPI:
    """The application."""
    app = FastAPI()
    redis: Redis = Redis.from_url(redis_url, socket_timeout=None, max_connections=MOST_BROWSERS)

    async def listen(channel: str) -> AsyncIterator[ServerSentEvent]:
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe(channel)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield ServerSentEvent(data=message["data"].decode(), event="item.updated")

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.get("/events/{channel}")
    async def events(channel: str) -> EventSourceResponse:
        return EventSourceResponse(listen(f"hub:{channel}"), ping=ping)

    return app


def main() -> None:
    """Serve: port, Redis' URL, seconds between pings."""
    port, redis_url, ping = sys.argv[1:4]
    app = create_app(redis_url, int(ping))
    uvicorn.run(app, port=int(port), loop="uvloop", access_log=False, log_level="warning", backlog=4096)
