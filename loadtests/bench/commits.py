"""When each event was about to be committed, as the committing process says it on the bus.

It stamps a message (`committed_at_us`) when the transaction numbers its events: before it writes them, and before
COMMIT. What is counted from there is longer than from the commit, by the transaction's last statements and the COMMIT.

A listener beside the gateway's own: it only keeps what Redis sends (one call per read, no parsing), so that it hardly
disturbs the client that measures, and reads it when the run is over.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis

from infra.bus.base import decode_message
from loadtests.probe import Watched

CONFIRM_SECONDS = 5.0
# Nothing came for so long: that was all.
SETTLE_SECONDS = 0.3


class CommitListener(asyncio.Protocol):
    """Hears all sessions' messages of one Redis between `start` and `close`."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []
        self._confirmed = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    async def start(self, redis_port: int, prefix: str = "sse") -> None:
        """Returns once Redis has confirmed that it will send what is published from now on."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", redis_port)
        self._transport = transport
        transport.write(b"PSUBSCRIBE %b:*\r\n" % prefix.encode())
        async with asyncio.timeout(CONFIRM_SECONDS):
            await self._confirmed.wait()

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)
        self._confirmed.set()

    async def close(self) -> None:
        """Hear no more; first wait for what is on its way, since a gateway's own browsers have their events before."""
        heard = -1
        while len(self._heard) > heard:
            heard = len(self._heard)
            await asyncio.sleep(SETTLE_SECONDS)
        if self._transport is not None:
            self._transport.close()

    def times(self) -> dict[str, dict[int, int]]:
        """Unix microseconds of every event's stamp, by session and number."""
        reader = hiredis.Reader()
        for data in self._heard:
            reader.feed(data)
        committed: dict[str, dict[int, int]] = {}
        while (reply := reader.gets()) is not False:
            add_reply(committed, reply)
        return committed


def add_reply(committed: dict[str, dict[int, int]], reply: Any) -> None:
    """Note the stamp of each event of a message; a confirmation of the subscription has none."""
    kind, _pattern, channel, *payload = reply
    if kind != b"pmessage":
        return
    message = decode_message(channel.decode().partition(":")[2], payload[0])
    session = committed.setdefault(message.session_id, {})
    for place in range(len(message.entries)):
        session[message.first_seq + place] = message.committed_at_us


def delays_ms(seen: Sequence[Watched], committed: dict[str, dict[int, int]]) -> list[float]:
    """From the stamp of each event, just before its commit, until its browser had it, whole.

    Events that were committed before their browser had come are in it, too. Sessions are new, so that the n-th event of
    a browser has the number n. Raises KeyError for an event of which nothing was heard on the bus.
    """
    delays: list[float] = []
    for one in seen:
        times, number = committed[one.session_id], 0
        for at_us, count in one.arrivals:
            while number < count:
                number += 1
                delays.append((at_us - times[number]) / 1000)
    return delays
