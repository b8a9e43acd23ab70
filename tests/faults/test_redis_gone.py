"""Redis goes away while the gateway runs: it carries no truth, so that streams only become slower until it is back."""

from collections.abc import Iterator

import pytest

from tests.client import Client, menu_of
from tests.gateway_process import GatewayProcess
from tests.log_rules import check_ids, check_job
from tests.servers import RedisServer, wait_until

SLOW = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "40"}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop and pause."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def gateway(own_redis: RedisServer) -> Iterator[GatewayProcess]:
    with GatewayProcess(redis_url=own_redis.url, settings=SLOW) as process:
        yield process


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
def test_a_stream_goes_on_from_the_log_while_redis_is_away(
    own_redis: RedisServer, gateway: GatewayProcess, fault: str
) -> None:
    with Client(gateway.url) as client:
        job = client.submit(menu_of(80))
        with job.stream() as stream:
            stream.read_until("item.updated")
            own_redis.stop() if fault == "stopped" else own_redis.pause()
            wait_until(lambda: _bus(client) == "failing", 10, "the bus is reported")
            other = client.submit(menu_of(2))
            check_job(other.read_to_end(), "menu")
            stream.read_until("stream.end")
        check_ids(stream.durable)
        check_job(stream.durable, "menu")
        assert client.get("/health/ready").status_code == 200, "without Redis the service works"

        own_redis.start() if fault == "stopped" else own_redis.resume()
        wait_until(lambda: _bus(client) == "ok", 15, "the bus is back")
        before = client.metrics()["stagecast_commit_to_socket_seconds_count"]
        check_job(client.submit(menu_of(20)).read_to_end(), "menu")
        assert client.metrics()["stagecast_commit_to_socket_seconds_count"] > before + 10, "live again"


def _bus(client: Client) -> str:
    status: str = client.get("/health/ready").json()["checks"]["bus"]["status"]
    return status
