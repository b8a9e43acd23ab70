"""One subscriber connection to Redis: redis-py opens it, hiredis parses it, and messages come in by plain calls.

redis-py's own reading makes a coroutine, a time-out and a dict for each message; here all that one read of the socket
brought is handed over in one loop. At 15,000 messages a second that took the gateway from 33 to 18 µs of CPU a message.
What redis-py is needed for stays with it: the address, TLS, the login, the choice of protocol.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

# `gets` returns this when the rest of a reply has not come yet; a reply can be anything else.
_MORE = object()
# Two reads within so much time are many messages: what comes in the next such time is read together. 15,000 messages a
# second cost 15.4 µs each when every one of them wakes the process up, 12.3 this way.
BUSY_SECONDS = 0.002

Take = Callable[[bytes, bytes], None]
Confirm = Callable[[bytes], None]


class Subscription(asyncio.Protocol):
    """A connection that only listens. `heard_at` is when anything came last, in the event loop's time."""

    def __init__(self, connection: AbstractConnection, take: Take, confirm: Confirm) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._take = take
        self._confirm = confirm
        self._parser = hiredis.Reader(notEnoughData=_MORE)
        self.heard_at = self._loop.time()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        # redis-py has no public way to the transport of a connection that it opened; tests/contract/test_bus.py fails
        # when this one closes.
        self._transport = cast("asyncio.Transport", connection._writer.transport)  # type: ignore[union-attr]
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, redis: Redis, timeout_seconds: float, take: Take, confirm: Confirm) -> "Subscription":
        """Connect and log in. `take` gets every message, `confirm` every channel that Redis has subscribed us to.

        Raises RedisError, OSError or TimeoutError.
        """
        connection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(timeout_seconds):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, take, confirm)

    def subscribe(self, *channels: bytes) -> None:
        """Ask for these channels; each is confirmed by itself. Does nothing on a connection that is lost."""
        self._send("SUBSCRIBE", *channels)

    def unsubscribe(self, channel: bytes) -> None:
        """Ask for no more messages of this channel."""
        self._send("UNSUBSCRIBE", channel)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._send("PING")

    def _send(self, *command: str | bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._connection.pack_command(*command)))

    def data_received(self, data: bytes) -> None:
        now, replies = self._loop.time(), 0
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _MORE:
                self._handle(reply)
                replies += 1
        except hiredis.ProtocolError as error:
            self._end(RedisError(f"not the Redis protocol: {error}"))
        if (replies > 1 or now - self.heard_at < BUSY_SECONDS) and not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_later(BUSY_SECONDS, self._read_on)
        self.heard_at = now

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _handle(self, reply: Any) -> None:
        if isinstance(reply, list) and len(reply) == 3:
            if reply[0] == b"message":
                self._take(reply[1], reply[2])
            elif reply[0] == b"subscribe":
                self._confirm(reply[1])
        elif isinstance(reply, hiredis.ReplyError):
            self._end(RedisError(str(reply)))

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("Redis closed the connection"))

    def _end(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)
        self._transport.abort()

    async def close(self) -> None:
        """Let the connection go."""
        if not self.lost.done():
            self.lost.cancel()
        elif not self.lost.cancelled():
            self.lost.exception()  # looked at, so that asyncio does not report it as forgotten
        self._transport.abort()
        await self._connection.disconnect(nowait=True)
