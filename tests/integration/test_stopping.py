"""An orderly end stays one however often it is asked for: stages are handed back, and nobody is cut off."""

import signal
import sqlite3
import time

import psutil
import pytest

from tests.client import Client, menu_of
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer, wait_until

SLOW = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "300"}


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)])
def test_a_signal_that_comes_twice_at_once_is_still_an_orderly_end(signals: tuple[int, int]) -> None:
    with GatewayProcess(settings=SLOW) as gateway, Client(gateway.url) as client:
        job = client.submit(menu_of(50))
        with job.stream() as stream:
            stream.read_until("item.updated")
            assert gateway.process is not None
            for number in signals:
                gateway.process.send_signal(number)
                time.sleep(0.2)
            assert stream.read_all()[-1].event == "stream.drain"
        assert gateway.process.wait(30) == 0
        assert '"event": "stopped"' in gateway.read_log()
        with sqlite3.connect(f"{gateway.directory}/stagecast.db") as database:
            left = database.execute("SELECT count(*) FROM stage WHERE lease_token IS NOT NULL").fetchone()
        database.close()
        assert left == (0,), "stages were not handed back"


@pytest.mark.timeout(90)
def test_workers_that_hear_the_signal_twice_end_in_order(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    url = postgres_server.create_database()
    with GatewayProcess(url, redis_url=redis_server.url, settings=SLOW, workers=2) as gateway:
        # The first that is ready answers for both: the other one may not listen to signals yet.
        wait_until(lambda: "(2 workers)" in gateway.read_log(), 30, "both workers are ready")
        with Client(gateway.url) as client:
            job = client.submit(menu_of(50))
            with job.stream() as stream:
                stream.read_until("item.updated")
                assert gateway.process is not None
                parent = psutil.Process(gateway.process.pid)
                # As Ctrl-C and service managers do it: the whole group hears it, then the parent tells its workers.
                for process in [parent, *parent.children(recursive=True)]:
                    if "resource_tracker" not in " ".join(process.cmdline()):
                        process.send_signal(signal.SIGINT)
                assert stream.read_all()[-1].event == "stream.drain"
            wait_until(lambda: not gateway.is_running, 30, "the gateway ends")
        log = gateway.read_log()
        assert gateway.process.returncode == 0, log[-2000:]
        assert log.count('"event": "drained"') == 2
        assert log.count('"event": "stopped"') == 2, "a worker was forced to end"
    postgres_server.drop_database(url)
