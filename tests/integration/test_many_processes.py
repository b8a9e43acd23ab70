"""Several gateways on one database and one Redis are one service: a job runs anywhere and is watched anywhere."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.client import MENU, Client, menu_of
from tests.contract.wire.fold import blank, fold
from tests.contract.wire.log_rules import check_ids, check_job
from tests.contract.wire.sse import Frame
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer

SLOW = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "10", "SSE__RING_EVENTS": "64"}


@pytest.fixture(scope="module")
def two_gateways(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two processes that know of each other only through PostgreSQL and Redis."""
    url = postgres_server.create_database()
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(GatewayProcess(url, redis_url=redis_server.url, settings=SLOW)) for _ in range(2)
        )
        yield one, two


@pytest.fixture(scope="module")
def two_clients(two_gateways: tuple[GatewayProcess, GatewayProcess]) -> Iterator[tuple[Client, Client]]:
    with Client(two_gateways[0].url) as one, Client(two_gateways[1].url) as two:
        yield one, two


def test_a_job_of_one_gateway_streams_from_the_other_as_it_happens(two_clients: tuple[Client, Client]) -> None:
    here, there = two_clients
    before = there.metrics()
    job = here.submit(menu_of(200))
    with there.stream(job.events_url) as stream:
        stream.read_all()
    after = there.metrics()

    check_ids(stream.durable)
    check_job(stream.durable, "menu")
    snapshot = replace(job, client=there).snapshot()
    assert snapshot == job.snapshot()
    assert fold(blank(snapshot), stream.durable) == snapshot
    live = "stagecast_commit_to_socket_seconds_count"
    assert after[live] - before[live] > 10, "the bus brought them, not the two-second sweep"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_reader_that_changes_gateways_at_every_drop_misses_nothing(
    two_clients: tuple[Client, Client], seed: int
) -> None:
    chance = random.Random(seed)
    job = two_clients[0].submit(menu_of(30))
    received: list[Frame] = []
    while not received or received[-1].event != "job.completed":
        position = received[-1].id if received else None
        with chance.choice(two_clients).stream(job.events_url, last_event_id=position) as stream:
            wanted = chance.randint(1, 40)
            for frame in stream:
                assert frame.event not in ("stream.reset", "stream.busy")
                if frame.event == "stream.end" or len(stream.durable) >= wanted:
                    break
            received += stream.durable

    check_ids(received)
    check_job(received, "menu")


def test_many_readers_at_both_gateways_all_get_everything(two_clients: tuple[Client, Client]) -> None:
    job = two_clients[0].submit(menu_of(20))
    with ThreadPoolExecutor(20) as pool:
        readers = [replace(job, client=two_clients[number % 2]) for number in range(20)]
        logs = list(pool.map(lambda reader: reader.read_to_end(), readers))

    check_ids(logs[0])
    check_job(logs[0], "menu")
    assert all(log == logs[0] for log in logs)


def test_a_job_is_cancelled_at_the_gateway_that_does_not_run_it(two_clients: tuple[Client, Client]) -> None:
    here, there = two_clients
    job = here.submit(menu_of(500))
    with there.stream(job.events_url) as stream:
        stream.read_until("item.updated")
        assert replace(job, client=there).cancel().status_code == 202
        stream.read_all()

    check_ids(stream.durable)
    check_job(stream.durable, "menu")
    assert stream.durable[-1].event == "job.cancelled"
    assert job.snapshot()["status"] == "cancelled"


def test_the_same_key_at_two_gateways_at_once_makes_one_job(two_clients: tuple[Client, Client]) -> None:
    with ThreadPoolExecutor(16) as pool:
        posts = pool.map(lambda number: two_clients[number % 2].post_job(MENU, key="both"), range(16))
        answers = [answer.json() for answer in posts]

    assert len({answer["job_id"] for answer in answers}) == 1
    assert len({answer["session_token"] for answer in answers}) == 1


def test_jobs_of_two_gateways_in_one_session_share_one_log_without_a_hole(
    two_clients: tuple[Client, Client],
) -> None:
    here, there = two_clients
    first = here.submit(menu_of(10))
    body = {**menu_of(10), "session_id": first.session_id}
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda n: (here, there)[n % 2].submit(body, first.session_token), range(6)))
        for job in (first, *jobs):
            check_job(job.read_to_end(), "menu")

    log = there.get(f"{first.session_url}/events.json", first.session_token, params={"limit": 1000}).json()
    expected = 7 * (1 + 1 + 8 * 12 + 1)
    assert [event["id"] for event in log["events"]] == [first.id_of(seq) for seq in range(1, expected + 1)]


def test_two_workers_of_one_server_on_sqlite_serve_the_same_job(redis_server: RedisServer) -> None:
    with (
        GatewayProcess(redis_url=redis_server.url, settings=SLOW, workers=2) as gateway,
        Client(gateway.url) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        job = client.submit(menu_of(20))
        # Connections of their own: the workers take them in turn, as it happens.
        opened = [Client(gateway.url) for _ in range(8)]
        logs = list(pool.map(lambda own: replace(job, client=own).read_to_end(), opened))
        for own in opened:
            own.close()

    check_ids(logs[0])
    check_job(logs[0], "menu")
    assert all(log == logs[0] for log in logs)
