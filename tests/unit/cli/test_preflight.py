"""What is checked before the server starts, and how it is said."""

import asyncio
import socket
import sqlite3
from pathlib import Path

import pytest

from gateway.terminal import preflight
from gateway.terminal.exits import Exit, Stop
from gateway.terminal.preflight import (
    check_database,
    check_workers,
    load_settings,
    open_socket,
    unknown_variables,
    where,
)
from gateway.terminal.server import page_url
from infra.settings import DatabaseSettings, RedisSettings, Settings
from tests.database import make_sqlite_template, sqlite_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)


def test_each_wrong_setting_is_a_line_that_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "SSE__RETRY_MS": "soon",
        "PROVIDER": "oracle",
        "EXECUTION": "cluster",
        "DATABASE__URL": "mysql://root:geheim@host/db",
        "ACCESS__SECRET": "kurz-und-geheim",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(f"STAGECAST_{name}", value)

    with pytest.raises(Stop) as caught:
        load_settings()

    assert caught.value.code is Exit.USAGE
    assert sorted(line.split(":")[0].strip() for line in caught.value.lines[1:]) == sorted(
        f"STAGECAST_{name}" for name in wrong
    )
    text = "\n".join(caught.value.lines)
    assert "(it is 'soon')" in text
    assert "geheim" not in text


def test_a_group_that_is_set_as_a_whole_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGECAST_DATABASE", "postgresql://u:geheim@host/db")

    with pytest.raises(Stop, match="STAGECAST_DATABASE__<MEMBER>") as caught:
        load_settings()
    assert "geheim" not in str(caught.value)


def test_a_dot_env_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STAGECAST_SSE__RETRY_MS=77\n")
    assert load_settings().sse.retry_ms == 77


def test_several_workers_need_redis() -> None:
    alone = Settings(_env_file=None)
    with pytest.raises(Stop, match="STAGECAST_REDIS__URL is not set") as caught:
        check_workers(alone, 2)
    assert caught.value.code is Exit.USAGE

    check_workers(alone, 1)
    check_workers(Settings(_env_file=None, redis=RedisSettings(url="redis://127.0.0.1")), 2)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite+aiosqlite:///./data/stagecast.db", "The database ./data/stagecast.db"),
        ("sqlite+aiosqlite:////var/lib/s.db", "The database /var/lib/s.db"),
        ("postgresql+asyncpg://u:geheim@db.example:5433/main", "The database main at db.example:5433"),
        ("postgresql+asyncpg://u:ge@heim@db.example/main", "The database main at db.example"),
        ("postgresql+asyncpg://u@h", "The database (without a name) at h"),
        ("postgresql+asyncpg://u@h/main?password=geheim", "The database main at h"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, expected: str) -> None:
    assert where(Settings(_env_file=None, database=DatabaseSettings(url=url))) == expected


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Stop, match=rf"127\.0\.0\.1 port {port}: Address already in use") as caught:
            open_socket("127.0.0.1", port)
    assert caught.value.code is Exit.ADDRESS


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Stop, match="Can't listen on 192") as caught:  # TEST-NET-1 belongs to nobody
        open_socket("192.0.2.1", 0)
    assert caught.value.code is Exit.ADDRESS


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_page_is_named_as_a_browser_here_reaches_it(host: str) -> None:
    with open_socket(host, 0) as listener:
        assert page_url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_misspelt_variable_is_named_with_the_setting_that_was_probably_meant() -> None:
    lines = unknown_variables(["STAGECAST_REDIS_URL", "STAGECAST_DATABASE__URL", "STAGECAST_POSTGRES_PASSWORD", "HOME"])

    assert lines == ["STAGECAST_REDIS_URL is not a setting and has no effect. Is it STAGECAST_REDIS__URL?"]


@pytest.fixture
def on_a_file(tmp_path: Path) -> Settings:
    """The settings of a SQLite file, `template.db`, as it is once it was served."""
    path = make_sqlite_template(tmp_path)
    with sqlite3.connect(path) as once:
        once.execute("PRAGMA journal_mode=WAL")
    once.close()
    return Settings(_env_file=None, database=sqlite_settings(path))


async def test_a_file_that_is_locked_for_a_moment_is_waited_for(on_a_file: Settings, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "template.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    checking = asyncio.create_task(check_database(on_a_file, to_write=True))
    await asyncio.sleep(2.5)  # longer than SQLite's own patience
    assert not checking.done()
    other.execute("COMMIT")
    other.close()
    await checking


async def test_a_file_that_stays_locked_is_refused_to_a_writer_and_not_to_a_reader(
    on_a_file: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "PATIENCE_SECONDS", 0.2)
    other = sqlite3.connect(tmp_path / "template.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Stop, match="database is locked") as stopped:
        await check_database(on_a_file, to_write=True)
    assert stopped.value.code is Exit.DATABASE
    await check_database(on_a_file, to_write=False)
    other.execute("COMMIT")
    other.close()
