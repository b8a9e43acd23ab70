"""The bus between processes: Redis pub/sub, channel `{prefix}:{session_id}`, one subscriber connection per process.

The subscriber has a client of its own without a socket timeout, and a deadline of ours instead: redis-py's health check
has none, so that a half-open link would never be noticed. It does not let redis-py resubscribe by itself either,
because that hides the gap: after every new connection the listener is told that messages may be missing.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from infra.bus.base import BusListener, Message, decode_message, encode_message, origin_of
from infra.bus.subscription import Subscription
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics

MOST_QUEUED_MESSAGES = 10_000
MOST_IN_A_PIPELINE = 512
CONNECT_TIMEOUT_SECONDS = 2
PUBLISH_TIMEOUT_SECONDS = 2
SUBSCRIBE_WAIT_SECONDS = 1
# Probes of /health/ready usually wait for one second, and a Redis that is away must not take the gateway out.
HEALTH_SECONDS = 0.5
PING_AFTER_SECONDS = 1.5
# Two pings without any answer: the link is dead although nobody closed it.
READ_DEADLINE_SECONDS = 4.0
# With a connection attempt that hangs until its timeout, this keeps the way back below three seconds.
LONGEST_PAUSE_SECONDS = 0.5

# What a broken link raises. RuntimeError is uvloop's: a write to a transport that the other side has just reset, for
# instance between connecting and the first command, and redis-py passes it on as it is.
LOST = (RedisError, OSError, RuntimeError)

log = structlog.stdlib.get_logger(__name__)


class RedisBus:
    """Publishes from a bounded queue and receives on one supervised connection."""

    def __init__(self, url: str, prefix: str, supervisor: Supervisor, metrics: Metrics) -> None:
        self._origin = secrets.token_bytes(8)
        self._prefix = prefix
        self._prefix_length = len(prefix) + 1
        self._supervisor = supervisor
        self._metrics = metrics
        once = Retry(NoBackoff(), 0)
        self._publisher: Redis = Redis.from_url(
            url, socket_timeout=PUBLISH_TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS, retry=once
        )
        self._subscriber: Redis = Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS, retry=once
        )
        self._listener: BusListener | None = None
        self._subscription: Subscription | None = None
        self._expected: set[bytes] = set()
        self._queue: asyncio.Queue[Message] = asyncio.Queue(MOST_QUEUED_MESSAGES)
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._was_connected = False
        # Said once per outage, not once per try: an outage of an hour has tens of thousands of tries.
        self._said_lost = False
        self._said_unsent = False

    def _channel(self, session_id: str) -> bytes:
        return f"{self._prefix}:{session_id}".encode()

    async def start(self, listener: BusListener) -> None:
        """Begin to publish and to receive. Redis need not be there yet."""
        self._listener = listener
        self._supervisor.start("bus.publish", self._publish_queued)
        self._supervisor.start("bus.receive", self._keep_receiving)

    def publish(self, messages: Sequence[Message]) -> None:
        """Queue the messages. What does not fit is dropped and counted; browsers get it from the log.

        The browsers of this process get theirs at once: a millisecond earlier than by Redis, and also while it is away.
        """
        for message in messages:
            if self._listener is not None and self._channel(message.session_id) in self._confirmed:
                self._listener.receive(message)
            try:
                self._queue.put_nowait(message)
            except asyncio.QueueFull:
                self._metrics.bus_dropped.inc()

    async def _publish_queued(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MOST_IN_A_PIPELINE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if not await self._send(batch):
                await asyncio.sleep(0.05)

    async def _send(self, batch: Sequence[Message]) -> bool:
        pipeline = self._publisher.pipeline(transaction=False)
        for message in batch:
            pipeline.publish(self._channel(message.session_id), encode_message(message, self._origin))
        try:
            await pipeline.execute()
        except LOST as error:
            self._metrics.bus_dropped.inc(len(batch))
            if not self._said_unsent:
                log.warning("bus_publish_failed", messages=len(batch), error=str(error)[:200])
            self._said_unsent = True
            return False
        if self._said_unsent:
            log.info("bus_publishes_again")
        self._said_unsent = False
        return True

    async def subscribe(self, session_id: str) -> None:
        """Subscribe and wait for Redis to confirm, at most one second: the log covers what a dead link would miss."""
        channel = self._channel(session_id)
        confirmed = self._confirmed.setdefault(channel, asyncio.Event())
        if self._subscription is None:
            return  # the next connection subscribes to all that is wanted
        self._subscription.subscribe(channel)
        try:
            async with asyncio.timeout(SUBSCRIBE_WAIT_SECONDS):
                await confirmed.wait()
        except TimeoutError:
            log.warning("bus_subscribe_unconfirmed", session_id=session_id)

    async def unsubscribe(self, session_id: str) -> None:
        channel = self._channel(session_id)
        self._confirmed.pop(channel, None)
        if self._subscription is not None:
            self._subscription.unsubscribe(channel)

    async def _keep_receiving(self) -> None:
        pause = 0.05
        while True:
            try:
                await self._receive_on_one_connection()
            except LOST as error:
                if not self._said_lost:
                    log.warning("bus_connection_lost", error=str(error)[:200])
                self._said_lost = True
                pause = 0.05 if self._subscription is not None else min(pause * 2, LONGEST_PAUSE_SECONDS)
            finally:
                await self._drop_connection()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _receive_on_one_connection(self) -> None:
        subscription = await Subscription.open(
            self._subscriber, CONNECT_TIMEOUT_SECONDS, self._deliver, self._confirm_channel
        )
        # The control channel keeps the connection subscribed while no session is.
        wanted = [self._channel("_control"), *self._confirmed]
        self._expected = set(wanted)
        self._subscription = subscription
        subscription.subscribe(*wanted)
        await self._watch(subscription)

    async def _watch(self, subscription: Subscription) -> None:
        """Until the connection is lost; raises why. A silent one is asked for a sign of life."""
        clock = asyncio.get_running_loop().time
        while True:
            patience = min(PING_AFTER_SECONDS, max(0.0, subscription.heard_at + READ_DEADLINE_SECONDS - clock()))
            await asyncio.wait({subscription.lost}, timeout=patience)
            if subscription.lost.done():
                subscription.lost.result()
            silence = clock() - subscription.heard_at
            if silence >= READ_DEADLINE_SECONDS:
                raise TimeoutError(f"nothing heard from Redis for {READ_DEADLINE_SECONDS} s")
            if silence >= PING_AFTER_SECONDS * 0.9:
                subscription.ping()

    def _confirm_channel(self, channel: bytes) -> None:
        if confirmed := self._confirmed.get(channel):
            confirmed.set()
        if self._expected:
            self._expected.discard(channel)
            if not self._expected and self._listener is not None:
                self._note_subscribed()
                self._listener.gap_possible()

    def _note_subscribed(self) -> None:
        if self._was_connected:
            self._metrics.bus_resubscribed.inc()
        if self._said_lost:
            log.info("bus_subscribed_again", channels=len(self._confirmed))
        self._was_connected, self._said_lost = True, False

    def _deliver(self, channel: bytes, payload: bytes) -> None:
        assert self._listener is not None
        if origin_of(payload) == self._origin:
            return  # it was handed over when it was published
        session_id = channel[self._prefix_length :].decode()
        try:
            message = decode_message(session_id, payload)
        except ValueError as error:
            log.error("bus_message_refused", session_id=session_id, error=str(error))
            return
        self._listener.receive(message)

    async def _drop_connection(self) -> None:
        subscription, self._subscription = self._subscription, None
        for confirmed in self._confirmed.values():
            confirmed.clear()
        if subscription is not None:
            await subscription.close()

    async def ping(self) -> bool:
        """Whether Redis answers and the subscriber is connected."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._publisher.ping()
        except LOST:
            return False
        return self._subscription is not None

    async def close(self) -> None:
        """Send what is still queued and close both connections; the tasks are the supervisor's to stop."""
        if left := [self._queue.get_nowait() for _ in range(min(self._queue.qsize(), MOST_IN_A_PIPELINE))]:
            await self._send(left)
        await self._publisher.aclose()
        await self._subscriber.aclose()
