"""A rolling restart of two gateways under load: nothing is lost, and nobody comes back at the same moment."""

import pytest
import uvloop

from loadtests.rolling import Plan, Rolling, run
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer

# A gateway lets its streams go 10 ms apart, so that 90 of them leave within 0.9 s: long enough to tell that they were
# spread also where the process stood still for half a second, and for the balancer to read that the door will close.
PLAN = Plan(
    browsers=180,
    sessions=12,
    dishes=3,
    latency_ms=20,
    drain_seconds=2,
    retry_ms=1000,
    settle_seconds=1,
    pause_seconds=0.2,
)
# Of the drain itself: at most `drain_seconds`, a second for farewells, and then stages hand their leases back.
EXIT_SECONDS = 2 + 1 + 8


@pytest.fixture
def rolled(postgres_server: PostgresServer, redis_server: RedisServer) -> Rolling:
    database_url = postgres_server.create_database()
    settings = {**PLAN.settings(), "SSE__CHANNEL_PREFIX": "rolling"}
    gateways = [GatewayProcess(database_url, redis_url=redis_server.url, settings=settings) for _ in range(2)]
    with gateways[0], gateways[1]:
        return uvloop.run(run(gateways, PLAN))


@pytest.mark.timeout(240)
def test_a_rolling_restart_loses_nothing_and_spreads_the_reconnects(rolled: Rolling) -> None:
    assert (rolled.failures, rolled.incomplete, rolled.resets, rolled.unproven) == ([], 0, 0, 0)
    assert not rolled.broken
    assert rolled.jobs > 2 * PLAN.sessions, "there was no load"

    assert len(rolled.restarts) == 2
    for restart in rolled.restarts:
        assert restart.streams >= PLAN.browsers / 4, "the gateway had hardly a stream to close"
        assert restart.exit_code == 0
        assert restart.exit_seconds < EXIT_SECONDS
        assert restart.ready_said_no_ms is not None, "the balancer never read 503: nobody told it"
        assert restart.kinds.get("cut", 0) == 0, "a stream was cut instead of closed"
        assert len(restart.retry_ms) >= restart.streams * 0.9, "streams were closed without stream.drain"
        # 500 to 1500 ms by setting; even the closes themselves are paced.
        assert 500 <= restart.retry_ms[0] <= restart.retry_ms[-1] <= 1500
        assert len(set(restart.retry_ms)) > len(restart.retry_ms) / 2
        assert restart.closes_spread_seconds > 0.1
        assert restart.reconnects_spread_seconds > 0.4, "they come back together"
        assert restart.peak_share < 0.5, "half of them were told to be back within the same 100 ms"
