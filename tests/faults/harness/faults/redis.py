"""Redis dies, freezes, forgets everything, throws its subscribers out, or can no longer be reached."""

import asyncio
import time

from tests.faults.harness.faults.blow import Blow, seen
from tests.faults.harness.proxy import TcpProxy
from tests.faults.harness.world import World
from tests.servers import RedisServer

# An answer that is wanted is waited for: on a busy machine Redis may take its time. So long a silence is one.
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 0.5
SETTLE_SECONDS = 5.0


async def ask_redis(port: int, *words: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """What Redis answers to a command, as it stands on the wire; None when nothing comes within so many seconds."""
    command = "".join([f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)])
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(command.encode())
                return (await reader.read(65_536)).decode().strip() or None
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


class _OfRedis(Blow):
    part = "redis"

    def applies_to(self, world: World) -> bool:
        return world.stack.redis

    def server(self, world: World) -> RedisServer:
        assert world.redis is not None
        return world.redis

    async def note_silence(self, world: World) -> None:
        """See that Redis does not answer."""
        answer = await ask_redis(self.server(world).port, "PING", seconds=SILENCE_SECONDS)
        assert answer is None, f"Redis still answers: {answer}"

    async def note_answer(self, world: World) -> None:
        """Wait until Redis answers again."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while await ask_redis(self.server(world).port, "PING") != "+PONG":
            assert time.monotonic() < deadline, "Redis does not come back"


class RedisKilled(_OfRedis):
    """kill -9, then a new and empty Redis on the same port."""

    name = "Redis kill -9"
    seconds = (1, 6)

    async def strike(self, world: World) -> None:
        server = self.server(world)
        assert server.process is not None
        pid = server.process.pid
        await asyncio.to_thread(server.kill)
        await self.note_silence(world)
        self.note(f"process {pid} ended with {server.process.returncode} and connections were refused")

    async def heal(self, world: World) -> None:
        server = self.server(world)
        await asyncio.to_thread(server.start)
        assert server.process is not None
        self.note(f"process {server.process.pid} took its place")


class RedisPaused(_OfRedis):
    """SIGSTOP: its sockets stay open and nothing answers."""

    name = "Redis paused"
    seconds = (1, 6)

    async def strike(self, world: World) -> None:
        self.server(world).pause()
        await self.note_silence(world)
        self.note(f"a PING got no answer for {SILENCE_SECONDS} s while it was stopped")

    async def heal(self, world: World) -> None:
        self.server(world).resume()
        await self.note_answer(world)


class RedisFlushed(_OfRedis):
    """FLUSHALL, and all scripts and functions gone."""

    name = "Redis flushed"

    async def strike(self, world: World) -> None:
        port = self.server(world).port
        await ask_redis(port, "SET", "before-the-flush", "1")
        kept = await ask_redis(port, "DBSIZE")
        assert kept not in (None, ":0"), kept
        for command in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH")):
            assert await ask_redis(port, *command) == "+OK"
        assert await ask_redis(port, "DBSIZE") == ":0"
        self.note(f"keys before {kept}, after :0")

    async def heal(self, world: World) -> None:
        """Nothing to undo: what is gone is gone."""


class SubscribersKilled(_OfRedis):
    """Redis closes the connections of all its subscribers, as it does with those whose output buffer overflows."""

    name = "Redis subscribers killed"

    async def strike(self, world: World) -> None:
        killed = await ask_redis(self.server(world).port, "CLIENT", "KILL", "TYPE", "pubsub")
        assert killed is not None
        assert killed.startswith(":")
        assert killed != ":0", "there was no subscriber"
        self.note(f"{killed[1:]} subscriber connections closed by Redis")

    async def heal(self, world: World) -> None:
        """Nothing to undo: who wants to subscribes again."""


class RedisLinkHalfOpen(_OfRedis):
    """The link between one gateway and Redis passes nothing, and tells neither side."""

    seconds = (5, 9)

    def __init__(self, site: int = 0) -> None:
        super().__init__()
        self._site = site
        self._before = (0, 0)
        self.name = f"link to Redis half-open, gateway {site + 1}"

    def applies_to(self, world: World) -> bool:
        return world.stack.redis and world.stack.gateways > self._site

    def _proxy(self, world: World) -> TcpProxy:
        proxy = world.sites[self._site].redis_proxy
        assert proxy is not None
        return proxy

    async def strike(self, world: World) -> None:
        proxy = self._proxy(world)
        proxy.half_open()
        # A chunk that was in hand when the link broke may still pass.
        await asyncio.sleep(0)
        self._before = (proxy.counters.bytes_up, proxy.counters.bytes_down)
        assert await ask_redis(proxy.port, "PING", seconds=SILENCE_SECONDS) is None, "the link still passes"
        assert await ask_redis(self.server(world).port, "PING") == "+PONG", "it is Redis that does not answer"

    async def heal(self, world: World) -> None:
        proxy = self._proxy(world)
        passed = proxy.counters.bytes_up + proxy.counters.bytes_down - sum(self._before)
        assert passed < 1000, f"{passed} bytes passed a link that is half-open"
        self.note(f"{proxy.open_links} connections open and {passed} bytes passed, a PING over it got no answer")
        proxy.pass_on()
        await seen(lambda: proxy.counters.bytes_down > self._before[1], SETTLE_SECONDS)
