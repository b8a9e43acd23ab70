"""Gateways for the tier: real processes over real databases and buses, each started when a test first asks for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.client import Client
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer

StartGateway = Callable[..., GatewayProcess]

COMBINATIONS = (("sqlite", "memory"), ("sqlite", "redis"), ("postgres", "memory"), ("postgres", "redis"))
# What has to hold on both databases is tested with both buses on the way.
TWO_COMBINATIONS = (("sqlite", "memory"), ("postgres", "redis"))


def _name(combination: tuple[str, str]) -> str:
    return "-".join(combination)


@pytest.fixture(scope="session")
def start_gateway(redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[StartGateway]:
    """Starts a gateway for a database, a bus and settings; asked for the same again it gives the one that runs."""
    running: dict[tuple[str, ...], GatewayProcess] = {}
    with ExitStack() as stack:

        def start(database: str = "sqlite", bus: str = "memory", /, **settings: str) -> GatewayProcess:
            key = (database, bus, *(f"{name}={value}" for name, value in sorted(settings.items())))
            if key not in running:
                url = postgres_server.create_database() if database == "postgres" else None
                redis_url = redis_server.url if bus == "redis" else None
                running[key] = stack.enter_context(GatewayProcess(url, redis_url=redis_url, settings=settings))
            return running[key]

        yield start


@pytest.fixture(params=COMBINATIONS, ids=_name)
def gateway(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    """The builtin provider on every combination of database and bus."""
    return start_gateway(*request.param)


@pytest.fixture(params=TWO_COMBINATIONS, ids=_name)
def gateway_on_each_database(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    """The builtin provider on SQLite with the in-process bus, and on PostgreSQL with Redis."""
    return start_gateway(*request.param)


@pytest.fixture(params=TWO_COMBINATIONS, ids=_name)
def slow_gateway(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    """Jobs slow enough to watch (10 ms an item), heartbeats every 0.3 s, and a ring much smaller than a job."""
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "10"}
    return start_gateway(*request.param, **settings, SSE__HEARTBEAT_SECONDS="0.3", SSE__RING_EVENTS="16")


@pytest.fixture(params=TWO_COMBINATIONS, ids=_name)
def tight_gateway(request: pytest.FixtureRequest, start_gateway: StartGateway) -> GatewayProcess:
    """Every limit of the streams so low that an ordinary menu reaches it."""
    settings = {"SSE__MAX_CONNECTIONS": "2", "SSE__MAX_EVENT_BYTES": "1024", "SSE__RING_EVENTS": "1"}
    return start_gateway(*request.param, **settings)


@pytest.fixture(scope="session")
def clients() -> Iterator[Callable[[str], Client]]:
    """One client for each gateway: making one takes longer than a whole test."""
    opened: dict[str, Client] = {}
    with ExitStack() as stack:

        def client_of(url: str) -> Client:
            if url not in opened:
                opened[url] = stack.enter_context(Client(url))
            return opened[url]

        yield client_of


@pytest.fixture
def client(request: pytest.FixtureRequest, clients: Callable[[str], Client]) -> Client:
    """A client of the one gateway that the test asks for."""
    (gateway,) = (found for found in request.node.funcargs.values() if isinstance(found, GatewayProcess))
    return clients(gateway.url)
