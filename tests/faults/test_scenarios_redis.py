"""Redis dies, freezes, forgets, or can't be reached: jobs go on, streams go on from the log, and later live again."""

import pytest

from tests.faults.harness.faults.redis import (
    RedisFlushed,
    RedisKilled,
    RedisLinkHalfOpen,
    RedisPaused,
    SubscribersKilled,
)
from tests.faults.harness.scene import Scene
from tests.faults.harness.world import SQLITE_AND_REDIS
from tests.faults.scenario import (
    QUIET,
    account,
    add_quiet_viewer,
    at_work,
    eventually,
    goes_on,
    is_live_again,
    is_ready,
    metrics_of,
    read_events,
    seconds_until,
    status_of,
    streams_go_on,
    strike,
)

RESUBSCRIBED = "stagecast_bus_resubscribed_total"
AWAY = {"kill -9": RedisKilled, "SIGSTOP": RedisPaused, "half-open link": RedisLinkHalfOpen}

pytestmark = pytest.mark.timeout(120)


async def bus_is(scene: Scene, status: str) -> None:
    async def shown() -> bool:
        return await status_of(scene, "bus") == status

    await eventually(shown, f"the bus is {status}")


async def life_without_redis(scene: Scene) -> None:
    await goes_on(scene, [viewer for viewer in scene.world.viewers if viewer.name == QUIET])

    async def noticed() -> bool:
        return any(line["event"] == "bus_connection_lost" for line in read_events(scene))

    await bus_is(scene, "failing")
    await eventually(noticed, "the subscriber gives up its connection")
    await streams_go_on(scene)

    async def database_is_ok() -> bool:
        return await status_of(scene, "database") == "ok"

    async def serves() -> bool:
        return await is_ready(scene)

    await eventually(database_is_ok, "/health/ready says within its time that the database is ok, bus or no bus")
    await eventually(serves, "the service works without Redis")
    assert await status_of(scene, "bus") != "ok", "Redis was back by then"


@pytest.mark.parametrize("fault", AWAY.values(), ids=AWAY)
async def test_while_redis_is_away_nobody_notices_more_than_a_delay(fault: type[RedisKilled]) -> None:
    away = fault()
    async with at_work(SQLITE_AND_REDIS, away) as scene:
        await add_quiet_viewer(scene)
        await strike(scene, away, life_without_redis)
        seconds = await is_live_again(scene)
        await bus_is(scene, "ok")
        outcome, _ = await account(scene)
        noticed = seconds_until(scene, "bus_connection_lost", outcome.strokes[0].struck_at)
        assert (await metrics_of(scene))[RESUBSCRIBED] >= 1
        assert set(outcome.answers) == {"202"}, "submitters notice nothing"
        print(f"  noticed after {noticed:.2f} s, events live again {seconds:.2f} s after Redis was back")
        assert noticed < 4 * 5.0, "a link that says nothing is dead after five seconds"


async def test_a_redis_that_forgets_or_throws_everybody_out_costs_nothing() -> None:
    async with at_work(SQLITE_AND_REDIS) as scene:
        await strike(scene, RedisFlushed(), streams_go_on)
        assert (await metrics_of(scene))[RESUBSCRIBED] == 0, "nothing of ours is kept in Redis"

        async def thrown_out(scene: Scene) -> None:
            async def came_back() -> bool:
                return (await scene.world.metrics()).get(RESUBSCRIBED, 0) >= 1

            await eventually(came_back, "the subscriber comes back")

        await strike(scene, SubscribersKilled(), thrown_out)
        seconds = await is_live_again(scene)
        outcome, _ = await account(scene)
        assert set(outcome.answers) == {"202"}, "submitters notice nothing"
        print(f"  events live again {seconds:.2f} s later")
