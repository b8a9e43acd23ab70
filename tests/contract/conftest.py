"""Every contract test gets a migrated database of its own, once for each of the databases that the product speaks."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog

from infra.settings import DatabaseSettings
from tests.database import Store, copy_sqlite, make_postgres_template, make_sqlite_template
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer


@pytest.fixture(autouse=True, scope="package")
def _quiet_logs() -> Iterator[None]:
    """What goes wrong here goes wrong on purpose; drawing its traceback takes longer than the test."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sqlite_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    return make_postgres_template(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseSettings]:
    if request.param == "sqlite":
        yield copy_sqlite(request.getfixturevalue("sqlite_template"), tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(template=request.getfixturevalue("postgres_template"))
    yield DatabaseSettings(url=url)
    server.drop_database(url)


@pytest.fixture
async def store(database_settings: DatabaseSettings) -> AsyncIterator[Store]:
    async with Store(database_settings) as store:
        yield store


@pytest.fixture(scope="session")
def start_own_gateway(request: pytest.FixtureRequest) -> Iterator[Callable[[str, dict[str, str]], str]]:
    """For the wire suite, when no other server is named: a gateway of our own on `<database>-<bus>`; gives its URL."""
    with ExitStack() as stack:

        def start(combination: str, settings: dict[str, str]) -> str:
            database, _, bus = combination.partition("-")
            url = redis_url = None
            if database == "postgres":
                postgres: PostgresServer = request.getfixturevalue("postgres_server")
                url = postgres.create_database()
            if bus == "redis":
                redis: RedisServer = request.getfixturevalue("redis_server")
                redis_url = redis.url
            return stack.enter_context(GatewayProcess(url, redis_url=redis_url, settings=settings)).url

        yield start
