"""The test servers do what the tests of faults rely on: a pause silences, a kill ends, a start goes on as before."""

import socket

import asyncpg
import psutil
import pytest
import redis

from tests.servers import PostgresServer, RedisServer, ServerError, find_free_port, find_program


def connect(server: RedisServer, seconds: float = 5.0) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None)


def test_a_paused_redis_keeps_its_sockets_and_answers_after_resume() -> None:
    with RedisServer() as server, connect(server) as client:
        assert client.ping()
        server.pause()
        with connect(server, 0.3) as hasty, pytest.raises(redis.TimeoutError):
            hasty.ping()
        server.resume()
        assert client.ping()


def test_a_persistent_redis_keeps_its_data_through_a_kill() -> None:
    with RedisServer(persistent=True) as server:
        with connect(server) as client:
            client.set("dish", "親子丼")
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=1)
        server.start()
        with connect(server) as client:
            assert client.get("dish") == "親子丼".encode()


async def test_postgres_keeps_what_was_committed_through_a_kill() -> None:
    with PostgresServer() as server:
        address = server.create_database().replace("+asyncpg", "")
        connection = await asyncpg.connect(address)
        await connection.execute("CREATE TABLE dish AS SELECT '親子丼'::text AS name")
        server.kill()
        connection.terminate()
        server.start()
        connection = await asyncpg.connect(address)
        assert await connection.fetchval("SELECT name FROM dish") == "親子丼"
        await connection.close()


async def test_each_database_is_new_and_a_template_is_copied(postgres_server: PostgresServer) -> None:
    first = postgres_server.create_database()
    connection = await asyncpg.connect(first.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE dish ()")
    await connection.close()
    copy = postgres_server.create_database(template=first.rpartition("/")[2])
    for url, expected in ((copy, True), (postgres_server.create_database(), False)):
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        assert await connection.fetchval("SELECT to_regclass('dish') IS NOT NULL") is expected
        await connection.close()
    postgres_server.drop_database(copy)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(copy.replace("+asyncpg", ""))


def test_a_server_that_ends_at_once_is_an_error_with_its_log() -> None:
    port = find_free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServerError, match="ddress already in use"),
        RedisServer(port=port),
    ):
        pytest.fail("it started on a port that is taken")


def test_a_missing_program_is_an_error_that_names_make_test() -> None:
    with pytest.raises(ServerError, match="make test"):
        find_program("no-such-server")


def test_a_stopped_server_leaves_no_process_and_no_folder() -> None:
    with RedisServer() as server:
        assert server.process is not None
        process, directory = server.process, server.directory
    assert not directory.exists()
    assert not psutil.pid_exists(process.pid)
