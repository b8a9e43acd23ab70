"""What every tier shares: the order of the tiers and the real servers, started when the first test asks for them."""

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.contract.wire.options import add_options
from tests.servers import PostgresServer, RedisServer, Server, read_tail

# A shell that runs the tests in the background has SIGINT ignored, and every process that a test starts would inherit
# that: Ctrl-C would do nothing there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as a starved machine makes it take: how long is no property of the code. What a CI
# machine's own profile says besides (Hypothesis picks it by the variable CI) stays.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# From the quickest to the slowest, so that a mistake shows early. A test's folder is its tier, and its marker.
TIERS = ("unit", "contract", "integration", "faults", "browser")
TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here as well as in the wire suite's own conftest, which pytest reads too late when another folder is named.
    add_options(parser)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(find_tier(item))
    items.sort(key=lambda item: TIERS.index(find_tier(item)))


def find_tier(item: pytest.Item) -> str:
    folder = item.path.relative_to(TESTS).parts[0]
    if folder not in TIERS:
        raise pytest.UsageError(f"{item.path} is in no tier: tests are in {', '.join(TIERS)}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the end of the logs of the servers that the test's fixtures gave it."""
    report = yield
    if report.failed:
        fixtures: dict[str, object] = getattr(item, "funcargs", {})
        servers = {name: value for name, value in fixtures.items() if isinstance(value, Server)}
        report.sections += [(f"end of the log of {name}", read_tail(server.log)) for name, server in servers.items()]
    return report


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """A STAGECAST_ variable of the person who runs the tests must not reach the code under test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("STAGECAST_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for all tests; a test that stops or pauses it starts a RedisServer of its own instead."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests, each of which takes a database of its own with `create_database()`."""
    with PostgresServer() as server:
        yield server
