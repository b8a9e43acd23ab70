"""The servers that the suite runs against, and jobs that tests may share because they only read them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .api import MENU, PROMPT, Job, Server, menu_of
from .log_rules import check_ids, check_job
from .options import GIVEN, LONGEST_HEARTBEAT_SECONDS, add_options, read_options
from .sse import Frame

OURS = ("sqlite-memory", "postgres-redis")
HEARTBEAT_SECONDS = 0.5
# Slow enough that a menu of 500 dishes is still running when a test steers it: six seconds for each stage.
SLOW = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "12",
    "SSE__HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    # So small that a reader who was away for a moment is served by the log.
    "SSE__RING_EVENTS": "16",
}
FAILING = {"PROVIDER": "synthetic", "SYNTHETIC__FAILURE_RATE": "0.5", "PROCESSING__MAX_ATTEMPTS": "1"}
LARGE = menu_of(500)

StartGateway = Callable[[str, dict[str, str]], str]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a server runs against each one there is."""
    if "server_name" not in metafunc.fixturenames:
        return
    names: tuple[str, ...] = (GIVEN,) if read_options(metafunc.config).base_url else OURS
    if names is OURS and not (Path(__file__).parents[2] / "gateway_process.py").exists():
        raise pytest.UsageError("say which server: --base-url http://host:port, or WIRE_BASE_URL")
    metafunc.parametrize("server_name", names, scope="session")


@pytest.fixture(scope="session")
def server(server_name: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server under test."""
    chosen = read_options(request.config)
    if server_name == GIVEN:
        assert chosen.base_url is not None
        url, heartbeat = chosen.base_url, chosen.heartbeat_seconds
    else:
        start: StartGateway = request.getfixturevalue("start_own_gateway")
        url, heartbeat = start(server_name, SLOW), HEARTBEAT_SECONDS
    with Server(url, heartbeat) as server:
        yield server


@pytest.fixture(scope="session")
def failing_server(server_name: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """One whose stages fail now and then; a test of a foreign server is left out when there is none."""
    if server_name == GIVEN:
        url = read_options(request.config).failing_base_url
        if url is None:
            pytest.skip("needs --failing-base-url: a server whose provider fails now and then")
    else:
        start: StartGateway = request.getfixturevalue("start_own_gateway")
        url = start(server_name, FAILING)
    with Server(url) as server:
        yield server


@pytest.fixture
def beating_server(server: Server) -> Server:
    """The server under test, if its heartbeats are known to come soon."""
    if server.heartbeat_seconds is None or server.heartbeat_seconds > LONGEST_HEARTBEAT_SECONDS:
        pytest.skip(f"needs --heartbeat-seconds of at most {LONGEST_HEARTBEAT_SECONDS:g}")
    return server


@pytest.fixture
def running_job(server: Server, server_name: str) -> Iterator[Job]:
    """The largest job, caught while it runs. A foreign server may be too fast for that; ours is slowed down."""
    job = server.submit(LARGE)
    if job.snapshot()["status"] not in ("queued", "running"):
        assert server_name == GIVEN, "a slow job was over at once"
        pytest.skip("the server ends 500 dishes before anybody can look")
    yield job
    job.cancel()


@pytest.fixture(scope="session")
def finished(server: Server) -> tuple[Job, list[Frame]]:
    """A menu that has ended, alone in its session, with its events. Tests only read it."""
    job = server.submit(MENU)
    events = job.read_to_end()
    check_ids(events)
    check_job(events, "menu")
    return job, events


@pytest.fixture(scope="session")
def two_finished(server: Server) -> tuple[Job, Job]:
    """A menu and a prompt of one session, both ended. Tests only read them."""
    first = server.submit(MENU)
    second = first.add(PROMPT)
    first.read_to_end()
    second.read_to_end()
    return first, second


@pytest.fixture
def unmoved_session(server: Server, finished: tuple[Job, list[Frame]]) -> Iterator[Job]:
    """A finished job, whose session the wrong requests name; neither its log nor its list of jobs must have moved."""
    job, events = finished
    yield job
    listing = job.session()
    assert listing["head"] == events[-1].id, "the log moved"
    assert len(listing["jobs"]) == 1
