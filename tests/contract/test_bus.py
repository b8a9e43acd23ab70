"""Both buses carry messages in order to the sessions that subscribed; what Redis does to one of them costs no message
silently: the listener is told that there may be a gap, and publishing never waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bus.base import Bus, Entry, Message, decode_message, encode_message
from infra.bus.memory import MemoryBus
from infra.bus.redis import MOST_QUEUED_MESSAGES, RedisBus
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics
from tests.servers import RedisServer
from tests.waiting import wait_for

SESSION, OTHER, JOB = "s" * 26, "o" * 26, "j" * 26
NOTICE_SECONDS = 5.0
TICK_SECONDS = 0.02


class Listener:
    """Keeps what arrives and how often it was warned."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gaps = 0

    def receive(self, message: Message) -> None:
        self.messages.append(message)

    def gap_possible(self) -> None:
        self.gaps += 1


class Wired:
    """A bus with its listener and what it counts."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self.bus, self.metrics, self.listener = bus, metrics, Listener()

    @property
    def dropped(self) -> float:
        return self.metrics.registry.get_sample_value("stagecast_bus_dropped_total") or 0.0


@asynccontextmanager
async def wired(make: Callable[[Supervisor, Metrics], Bus]) -> AsyncIterator[Wired]:
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    one = Wired(make(supervisor, metrics), metrics)
    await one.bus.start(one.listener)
    await wait_for(one.bus.ping)
    try:
        yield one
    finally:
        await supervisor.stop()
        await one.bus.close()


@asynccontextmanager
async def on_redis(server: RedisServer) -> AsyncIterator[Wired]:
    async with wired(lambda supervisor, metrics: RedisBus(server.url, "sse", supervisor, metrics)) as one:
        await wait_for(lambda: one.listener.gaps > 0)  # the first connection is one after which anything may have been
        yield one


@pytest.fixture(params=["memory", "redis"])
async def one(request: pytest.FixtureRequest) -> AsyncIterator[Wired]:
    if request.param == "redis":
        async with on_redis(request.getfixturevalue("redis_server")) as one:
            yield one
    else:
        async with wired(lambda supervisor, metrics: MemoryBus()) as one:
            yield one


@pytest.fixture
async def sender(request: pytest.FixtureRequest, one: Wired) -> AsyncIterator[Wired]:
    """Who publishes to `one`: itself in memory, another process over Redis.

    A bus hands its own messages over by itself and takes no notice when they come back: what it publishes itself would
    show nothing of the way through Redis.
    """
    if isinstance(one.bus, MemoryBus):
        yield one
    else:
        async with on_redis(request.getfixturevalue("redis_server")) as other:
            yield other


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop, kill and pause."""
    with RedisServer() as server:
        yield server


def message(seq: int, data: bytes = b"{}", session_id: str = SESSION, count: int = 1) -> Message:
    return Message(session_id, "epoch000", seq, tuple(Entry(JOB, "item.updated", data) for _ in range(count)), seq * 7)


async def test_messages_arrive_whole_and_in_order(one: Wired, sender: Wired) -> None:
    await one.bus.subscribe(SESSION)
    sent = [message(seq, b'{"n":%d}' % seq, count=1 + seq % 3) for seq in range(1, 500)]
    for start in range(0, len(sent), 7):
        sender.bus.publish(sent[start : start + 7])
    await wait_for(lambda: len(one.listener.messages) == len(sent))
    assert one.listener.messages == sent
    assert sender.dropped == 0


async def test_only_subscribed_sessions_arrive(one: Wired, sender: Wired) -> None:
    await one.bus.subscribe(SESSION)
    sender.bus.publish([message(1, session_id=OTHER), message(2)])
    await wait_for(lambda: len(one.listener.messages) == 1)
    await one.bus.unsubscribe(SESSION)
    await one.bus.subscribe(OTHER)  # its confirmation follows that of the unsubscription
    sender.bus.publish([message(3), message(2, session_id=OTHER)])
    await wait_for(lambda: len(one.listener.messages) == 2)
    assert [(got.session_id, got.first_seq) for got in one.listener.messages] == [(SESSION, 2), (OTHER, 2)]


async def test_subscribing_twice_delivers_once(one: Wired, sender: Wired) -> None:
    await asyncio.gather(*(one.bus.subscribe(SESSION) for _ in range(5)))
    sender.bus.publish([message(1), message(2)])
    await wait_for(lambda: message(2) in one.listener.messages)
    sender.bus.publish([message(3)])  # behind whatever else there is of the first two
    await wait_for(lambda: message(3) in one.listener.messages)
    assert one.listener.messages == [message(1), message(2), message(3)]


async def test_a_session_can_be_left_and_joined_again(one: Wired, sender: Wired) -> None:
    for seq in range(1, 20):
        await one.bus.subscribe(SESSION)
        sender.bus.publish([message(seq)])
        await wait_for(lambda seq=seq: len(one.listener.messages) == seq)  # type: ignore[misc]
        await one.bus.unsubscribe(SESSION)


async def test_many_sessions_subscribe_at_once(one: Wired, sender: Wired) -> None:
    sessions = [f"{number:026}" for number in range(300)]
    await asyncio.gather(*(one.bus.subscribe(session_id) for session_id in sessions))
    sender.bus.publish([message(1, session_id=session_id) for session_id in sessions])
    await wait_for(lambda: len(one.listener.messages) == len(sessions))
    assert {got.session_id for got in one.listener.messages} == set(sessions)


@pytest.mark.parametrize(
    "data",
    [b"", bytes(range(256)), b"\r\n\r\n$5\r\nhello\r\n" * 9, b"x" * 3_000_000],
    ids=["empty", "all", "resp", "3 MB"],
)
async def test_any_bytes_arrive_as_they_are(one: Wired, sender: Wired, data: bytes) -> None:
    await one.bus.subscribe(SESSION)
    sender.bus.publish([message(1, data), message(2)])
    await wait_for(lambda: len(one.listener.messages) == 2)
    assert one.listener.messages == [message(1, data), message(2)]


async def test_a_closed_bus_takes_publishing_calmly(one: Wired) -> None:
    await one.bus.subscribe(SESSION)
    await one.bus.close()
    one.bus.publish([message(1)])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ENTRIES = st.builds(Entry, st.from_regex(r"\A[0-9a-z]{26}\Z"), TEXT, st.binary(max_size=100))
MESSAGES = st.builds(
    Message,
    st.just(SESSION),
    st.from_regex(r"\A[a-z0-9]{8}\Z"),
    st.integers(1, 2**63 - 1),
    st.lists(ENTRIES, max_size=5).map(tuple),
    st.integers(0, 2**63 - 1),
)


@given(sent=MESSAGES)
def test_a_message_comes_back_from_its_bytes(sent: Message) -> None:
    assert decode_message(SESSION, encode_message(sent)) == sent


@given(sent=MESSAGES, cut=st.integers(1, 400), tail=st.binary(min_size=1, max_size=20))
def test_a_cut_or_lengthened_message_is_refused(sent: Message, cut: int, tail: bytes) -> None:
    payload = encode_message(sent)
    with pytest.raises(ValueError, match="message"):
        decode_message(SESSION, payload[: -min(cut, len(payload))])
    with pytest.raises(ValueError, match="message"):
        decode_message(SESSION, payload + tail)


@given(payload=st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: b"\x01" + rest))
def test_garbage_is_refused_or_means_itself(payload: bytes) -> None:
    try:
        found = decode_message(SESSION, payload)
    except ValueError:
        return
    assert encode_message(found) == payload


async def test_garbage_on_the_channel_does_not_stop_the_bus(redis_server: RedisServer) -> None:
    async with on_redis(redis_server) as one, on_redis(redis_server) as other:
        await one.bus.subscribe(SESSION)
        assert isinstance(other.bus, RedisBus)
        for garbage in (b"", b"hello", b"\xff" * 200, encode_message(message(1))[:-1]):
            assert await other.bus._publisher.publish(f"sse:{SESSION}", garbage) == 1, "nobody has heard it"
        other.bus.publish([message(1)])
        await wait_for(lambda: one.listener.messages == [message(1)])


async def test_two_processes_hear_each_other(redis_server: RedisServer) -> None:
    async with on_redis(redis_server) as one, on_redis(redis_server) as two:
        await one.bus.subscribe(SESSION)
        await two.bus.subscribe(SESSION)
        one.bus.publish([message(1)])
        await wait_for(lambda: two.listener.messages == [message(1)])
        two.bus.publish([message(2)])
        await wait_for(lambda: one.listener.messages == two.listener.messages == [message(1), message(2)])


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_bus_survives_the_end_of_redis_and_says_that_there_may_be_a_gap(
    own_redis: RedisServer, how: str
) -> None:
    async with on_redis(own_redis) as one:
        await one.bus.subscribe(SESSION)
        gaps = one.listener.gaps
        if how == "restart":
            own_redis.stop()
        else:
            own_redis.kill()
        await wait_for(lambda: one.bus._subscription is None)  # type: ignore[attr-defined]
        assert not await one.bus.ping()
        began = time.perf_counter()
        one.bus.publish([message(seq) for seq in range(1, 11)])
        assert time.perf_counter() - began < 0.5, "publishing waits for nobody"
        await wait_for(lambda: one.dropped == 10)
        assert one.listener.messages == [message(seq) for seq in range(1, 11)], "its own browsers need no Redis"
        await one.bus.subscribe(OTHER)  # new browsers come all the same
        own_redis.start()
        await wait_for(lambda: one.listener.gaps > gaps)
        one.listener.messages.clear()
        async with on_redis(own_redis) as other:
            other.bus.publish([message(11), message(1, session_id=OTHER)])
            await wait_for(lambda: len(one.listener.messages) == 2)
        assert one.listener.messages == [message(11), message(1, session_id=OTHER)]
        await wait_for(one.bus.ping)


async def test_what_a_process_publishes_reaches_its_own_browsers_once(own_redis: RedisServer) -> None:
    async with on_redis(own_redis) as one, on_redis(own_redis) as other:
        await one.bus.subscribe(SESSION)
        await other.bus.subscribe(SESSION)
        one.bus.publish([message(1)])
        assert one.listener.messages == [message(1)], "it need not go to Redis and back"
        await wait_for(lambda: other.listener.messages == [message(1)])
        other.bus.publish([message(2)])  # comes to the first one after its own
        await wait_for(lambda: message(2) in one.listener.messages)
        assert one.listener.messages == [message(1), message(2)], "its own came back"


class Stalls:
    """How long this process stood still, in seconds: the machine may be busy, and that is nobody's delay."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.seconds += time.perf_counter() - began - TICK_SECONDS


async def test_a_frozen_redis_is_noticed_within_five_seconds(own_redis: RedisServer) -> None:
    stalls = Stalls()
    async with on_redis(own_redis) as one:
        await one.bus.subscribe(SESSION)
        gaps = one.listener.gaps
        own_redis.pause()
        watching = asyncio.create_task(stalls.watch())
        began = time.perf_counter()
        one.bus.publish([message(1)])
        assert time.perf_counter() - began < 0.5
        await wait_for(lambda: one.bus._subscription is None)  # type: ignore[attr-defined]
        assert time.perf_counter() - began - stalls.seconds < NOTICE_SECONDS
        watching.cancel()
        assert not await one.bus.ping()
        await one.bus.subscribe(OTHER)
        own_redis.resume()
        await wait_for(lambda: one.listener.gaps > gaps)
        async with on_redis(own_redis) as other:
            other.bus.publish([message(2), message(1, session_id=OTHER)])
            await wait_for(lambda: one.listener.messages[1:] == [message(2), message(1, session_id=OTHER)])


async def test_a_full_queue_drops_and_counts(own_redis: RedisServer) -> None:
    async with on_redis(own_redis) as one:
        own_redis.pause()
        one.bus.publish([message(seq) for seq in range(1, MOST_QUEUED_MESSAGES + 101)])
        assert one.dropped == 100
        own_redis.resume()


async def test_a_bus_starts_before_redis_does() -> None:
    server = RedisServer()
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    one = Wired(RedisBus(server.url, "sse", supervisor, metrics), metrics)
    try:
        await one.bus.start(one.listener)
        await one.bus.subscribe(SESSION)
        assert not await one.bus.ping()
        server.start()
        await wait_for(lambda: one.listener.gaps > 0)
        async with on_redis(server) as other:
            other.bus.publish([message(1)])
            await wait_for(lambda: one.listener.messages == [message(1)])
    finally:
        await supervisor.stop()
        await one.bus.close()
        server.close()
