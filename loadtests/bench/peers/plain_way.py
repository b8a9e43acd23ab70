"""The plain way: what Stagecast does, as a good engineer in a hurry would write it: the peer of the end-to-end bars.

FastAPI on uvicorn with uvloop, SQLAlchemy's asynchronous ORM, Redis pub/sub, sse-starlette; every part used as its
documentation shows. It is meant to be good, not slow on purpose:

- eight tasks per job; a result is one AsyncSession with one UPDATE of the dish, one INSERT of the event (so that a
  browser that comes late or comes back can be told what it missed) and one commit; then one PUBLISH;
- a browser has a pub/sub connection of its own. It subscribes first, then replays what is stored, then goes live and
  leaves out what it has told already: nothing is missed between the two;
- SQLite in WAL mode with `synchronous=NORMAL`. Writers wait for each other at a lock of asyncio: without it their
  threads wait in SQLite's busy handler, which sleeps (600 results/s instead of 720);
- PostgreSQL with asyncpg and a pool of 20 + 30 connections, no lock;
- the answers come from Stagecast's own synthetic provider: both programs have the same work and send the same values.

What it does not have, and Stagecast does: leases, retries, a second process, a gapless sequence (its event ids are the
table's keys, which on PostgreSQL do not come in the order of commits, so that a browser that resumes can miss some),
access checks, heartbeats that prove completeness, a bound for slow readers.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from sqlalchemy import select, update
from sse_starlette import EventSourceResponse, ServerSentEvent

from infra.providers.base import Answer, StageCall
from infra.providers.base import Dish as DishInput
from infra.providers.synthetic import SyntheticProvider
from infra.settings import SyntheticSettings
from loadtests.bench.peers.plain_rows import Base, Dish, Event, Job, Session, Stage, Store

STAGES = ("translation", "category", "description", "allergens", "ingredients", "image_search", "image", "price")


class NewDish(BaseModel):
    """A line of a submitted menu."""

    name: str = Field(min_length=1, max_length=500)
    price: str | None = Field(default=None, max_length=100)
    category: str | None = Field(default=None, max_length=200)


class NewJob(BaseModel):
    """A submitted menu."""

    kind: str
    target_language: str
    items: list[NewDish] = Field(min_length=1, max_length=500)


class Pipeline:
    """Stores jobs, runs their stages, and tells what happened."""

    def __init__(self, store: Store, redis: Redis) -> None:
        self._store = store
        self._redis = redis
        self._provider = SyntheticProvider(SyntheticSettings())
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, order: NewJob) -> Job:
        """Store a job and start it."""
        session_id, job_id = uuid4().hex, uuid4().hex
        job = Job(id=job_id, session_id=session_id, status="running", target_language=order.target_language)
        dishes = [
            Dish(
                id=uuid4().hex,
                job_id=job_id,
                position=position,
                name=item.name,
                input_price=item.price,
                input_category=item.category,
            )
            for position, item in enumerate(order.items)
        ]
        async with self._store.writing() as session:
            session.add(Session(id=session_id))
            await session.flush()
            session.add(job)
            await session.flush()
            session.add_all(Stage(job_id=job_id, name=name, status="queued") for name in STAGES)
            session.add_all(dishes)
            session.add(make_event(job_id, "job.accepted", total=len(dishes)))
        task = asyncio.create_task(self._run(job, dishes))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return job

    async def _run(self, job: Job, dishes: list[Dish]) -> None:
        inputs = tuple(DishInput(dish.id, dish.position, dish.name) for dish in dishes)
        await asyncio.gather(*[self._run_stage(job, name, inputs) for name in STAGES])
        async with self._store.writing() as session:
            await session.execute(update(Job).where(Job.id == job.id).values(status="completed"))
            session.add(ended := make_event(job.id, "job.completed", stages=dict.fromkeys(STAGES, "completed")))
        await self._publish(ended)

    async def _run_stage(self, job: Job, name: str, dishes: tuple[DishInput, ...]) -> None:
        positions = {dish.item_id: dish.position for dish in dishes}
        async for answer in self._provider.answer(StageCall("menu", name, dishes, job.target_language)):
            assert isinstance(answer, Answer)  # it fails only when it is told to
            value = {"result": answer.result, "provider": "synthetic", "confidence": answer.confidence}
            place = {"item_id": answer.item_id, "position": positions[answer.item_id]}
            async with self._store.writing() as session:
                await session.execute(
                    update(Dish)
                    .where(Dish.id == answer.item_id)
                    .values({name: value})
                    .execution_options(synchronize_session=False)
                )
                session.add(result := make_event(job.id, "item.updated", **place, stage=name, value=value, attempt=1))
            await self._publish(result)
        async with self._store.writing() as session:
            await session.execute(
                update(Stage).where(Stage.job_id == job.id, Stage.name == name).values(status="completed")
            )
            session.add(done := make_event(job.id, "stage.completed", stage=name, done=len(dishes), total=len(dishes)))
        await self._publish(done)

    async def _publish(self, happened: Event) -> None:
        message = {"id": happened.id, "event": happened.type, "data": happened.data}
        await self._redis.publish(f"job:{happened.job_id}", json.dumps(message))


def make_event(job_id: str, type: str, **details: Any) -> Event:
    """An event to be stored and told."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Event(job_id=job_id, type=type, data=json.dumps({"job_id": job_id, "at": at, **details}, ensure_ascii=False))


async def follow(store: Store, redis: Redis, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    """What is stored after an event, then what happens, until the job has ended."""
    async with redis.pubsub() as subscription:
        await subscription.subscribe(f"job:{job_id}")
        # `subscribe` only sends. What is published until Redis has it would be neither stored when we read nor heard.
        await subscription.get_message(timeout=None)
        async with store.reading() as session:
            rows = await session.scalars(
                select(Event).where(Event.job_id == job_id, Event.id > after).order_by(Event.id)
            )
            stored = list(rows)
        told = {row.id for row in stored}
        for row in stored:
            yield ServerSentEvent(id=str(row.id), event=row.type, data=row.data)
            if row.type == "job.completed":
                return
        async for message in subscription.listen():
            if message["type"] != "message":
                continue
            happened = json.loads(message["data"])
            if happened["id"] not in told:
                yield ServerSentEvent(id=str(happened["id"]), event=happened["event"], data=happened["data"])
                if happened["event"] == "job.completed":
                    return


def create_app(database_url: str, redis_url: str) -> FastAPI:
    """The application."""
    store = Store(database_url)
    redis = Redis.from_url(redis_url)
    # A subscription may be silent for as long as it likes.
    subscriber = Redis.from_url(redis_url, socket_timeout=None)
    pipeline = Pipeline(store, redis)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with store.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await store.engine.dispose()
        await redis.aclose()
        await subscriber.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/jobs", status_code=202)
    async def submit(order: NewJob) -> dict[str, str]:
        job = await pipeline.submit(order)
        return {"job_id": job.id, "session_id": job.session_id, "events_url": f"/jobs/{job.id}/events"}

    @app.get("/jobs/{job_id}/events")
    async def events(job_id: str, last_event_id: Annotated[int, Header()] = 0) -> EventSourceResponse:
        async with store.reading() as session:
            if await session.get(Job, job_id) is None:
                raise HTTPException(404)
        return EventSourceResponse(follow(store, subscriber, job_id, last_event_id))

    return app


def main() -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.peers.plain_way")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True, help="sqlite+aiosqlite:///... or postgresql+asyncpg://...")
    parser.add_argument("--redis-url", required=True)
    options = parser.parse_args()
    app = create_app(options.database_url, options.redis_url)
    uvicorn.run(app, port=options.port, loop="uvloop", http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
