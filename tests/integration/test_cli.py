"""The commands as a person types them, as processes of their own, against real gateways and databases."""

import asyncio
import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.client.address import parse_job_url
from gateway.client.backoff import Backoff
from gateway.client.stream import Event, JobStream
from gateway.terminal.server import GRACE_SECONDS
from tests.client import MENU_TEXT, Client, menu_of
from tests.contract.wire.fold import STAGES
from tests.gateway_process import GatewayProcess, find_stagecast
from tests.integration.conftest import StartGateway
from tests.servers import RedisServer, find_free_port, wait_until

COMMAND_SECONDS = 40.0
DROP_SECONDS = 20.0
# Slow enough to be killed in the middle, also when this machine is busy: a stage of 60 dishes takes 3 s.
SLOW = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "50",
    "SSE__RETRY_MS": "200",
    "PROCESSING__LEASE_SECONDS": "1",
}
DISHES = 60
LONG = 480  # dishes: 24 s, more than any test takes
PROOF = re.compile(r"^complete: (\d+) of (\d+) events, head ([a-z0-9]{8})\.(\d+)$", re.MULTILINE)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `stagecast` with arguments, in a folder of its own, with settings by their names without prefix."""
    with ExitStack() as stack:

        def begin(*arguments: str, program: tuple[str, ...] = (), **settings: str) -> "subprocess.Popen[str]":
            kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            given = {f"STAGECAST_{name}": value for name, value in settings.items()}
            process = subprocess.Popen(
                [*(program or (find_stagecast(),)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=tmp_path,
                env={**kept, "LANG": "C.UTF-8", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **given},
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def run(start: Start) -> Callable[..., tuple[int, str, str]]:
    """Runs `stagecast` to its end: exit code, output, errors."""

    def run_one(*arguments: str, **options: str) -> tuple[int, str, str]:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=COMMAND_SECONDS)
        return process.returncode, out, err

    return run_one


Run = Callable[..., tuple[int, str, str]]


def read_until(process: "subprocess.Popen[str]", wanted: str) -> str:
    """The process's output up to the line that has `wanted`."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if wanted in line:
            return seen
    raise AssertionError(f"the process ended without {wanted!r}:\n{seen}")


def assert_proven(output: str) -> int:
    """The output ends with the proof that nothing is missing; gives the number of events."""
    found = PROOF.search(output)
    assert found is not None, output
    assert found[1] == found[2] == found[4]
    return int(found[1])


# Preflight: what is wrong is said before the server starts, each with an exit code of its own.


def test_serve_without_migrate_says_what_to_run(run: Run) -> None:
    code, out, err = run("serve", "--port", str(find_free_port()))
    assert (code, out) == (4, "")
    assert "stagecast migrate" in err


def test_serve_on_a_port_that_is_taken_says_so(gateway_on_each_database: GatewayProcess, run: Run) -> None:
    port = str(gateway_on_each_database.port)
    code, _, err = run("serve", "--port", port, DATABASE__URL=gateway_on_each_database.database_url)
    assert code == 5
    assert f"port {port}: Address already in use" in err


@pytest.mark.parametrize("command", ["serve", "migrate", "verify"])
def test_a_database_that_is_away_is_named_without_its_password(command: str, run: Run) -> None:
    port = find_free_port()
    code, out, err = run(command, DATABASE__URL=f"postgresql+asyncpg://cook:geheim@127.0.0.1:{port}/menus")
    assert (code, out) == (3, "")
    assert f"The database menus at 127.0.0.1:{port} can't be used" in err
    assert "geheim" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_file_that_is_no_database_is_named(command: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are only notes, and rather more than a header's worth of them\n" * 9)
    code, _, err = run(command, DATABASE__URL="sqlite+aiosqlite:///notes.txt")
    assert code == 3
    assert "The database notes.txt can't be used: file is not a database" in err


def test_a_file_that_somebody_else_keeps_locked_can_be_verified(run: Run, tmp_path: Path) -> None:
    assert run("migrate", DATABASE__URL="sqlite+aiosqlite:///menus.db")[0] == 0
    with sqlite3.connect(tmp_path / "menus.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, out, err = run("verify", DATABASE__URL="sqlite+aiosqlite:///menus.db")
    other.close()
    assert (code, err) == (0, "")
    assert out.startswith("ok: 0 sessions")


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (("serve",), {"SSE__RETRY_MS": "soon"}, "STAGECAST_SSE__RETRY_MS"),
        (("serve", "--workers", "2"), {}, "STAGECAST_REDIS__URL"),
        (("serve", "--port", "70000"), {}, "--port"),
        (("worker",), {}, "no worker yet"),
    ],
)
def test_wrong_use_ends_with_two(arguments: tuple[str, ...], settings: dict[str, str], said: str, run: Run) -> None:
    code, _, err = run(*arguments, **settings)
    assert code == 2
    assert said in err


def test_migrate_says_from_where_to_where(run: Run) -> None:
    first, second = run("migrate"), run("migrate")
    assert (first[0], second[0]) == (0, 0)
    assert re.fullmatch(r"The database \./data/stagecast\.db is migrated: schema none -> \w+\.\n", first[1])
    assert re.fullmatch(r"The database \./data/stagecast\.db is up to date: schema \w+\.\n", second[1])


def test_a_schema_of_a_newer_program_is_left_alone(run: Run, tmp_path: Path) -> None:
    run("migrate")
    with sqlite3.connect(tmp_path / "data/stagecast.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'later'")
    database.close()

    assert run("serve", "--port", str(find_free_port()))[0] == 4
    code, _, err = run("migrate")
    assert code == 4
    assert "A newer Stagecast" in err


def test_the_module_is_the_same_command(start: Start) -> None:
    process = start("worker", program=(sys.executable, "-m", "gateway.cli"))
    assert process.wait(COMMAND_SECONDS) == 2


# Serving.


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_in_spite_of_open_streams(
    workers: int, stop: signal.Signals, redis_server: RedisServer
) -> None:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "500"}
    with GatewayProcess(redis_url=redis_server.url, settings=settings, workers=workers) as gateway:
        wait_until(lambda: f"open {gateway.url} in a browser" in gateway.read_log(), 30, "the page is announced")
        with Client(gateway.url) as client, client.submit(menu_of(20)).stream() as stream:
            stream.read_until("item.updated")
            assert gateway.process is not None
            began = time.monotonic()
            gateway.process.send_signal(stop)
            names = [frame.event for frame in stream.read_all()]

            assert gateway.process.wait(DROP_SECONDS) == 0
            assert time.monotonic() - began < GRACE_SECONDS
            assert names[-1] == "stream.drain"
        assert "Traceback" not in gateway.read_log()


# Submitting and watching.


def test_a_menu_is_submitted_and_watched_to_its_proven_end(
    gateway_on_each_database: GatewayProcess, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "menu.txt").write_bytes(MENU_TEXT["text"].replace("\n", "\r\n").encode())
    code, out, err = run("submit", "menu.txt", "--watch", "--url", gateway_on_each_database.url)

    assert (code, err) == (0, "")
    for stage in STAGES["menu"]:
        assert f"{stage} completed" in out
    assert re.search(r"親子丼 +│ Chicken and egg", out)
    assert "¥980" in out
    assert_proven(out)


def test_a_submitted_job_can_be_watched_with_the_printed_command(
    gateway_on_each_database: GatewayProcess, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "bot.md").write_text("# Support bot\n\nYou are an agent. Answer {{question}} as JSON.\n")
    code, out, _ = run("submit", "bot.md", "--kind", "prompt", "--url", gateway_on_each_database.url)
    assert code == 0
    program, *arguments = shlex.split(out.partition("watch   ")[2])
    assert program == "stagecast"

    code, out, err = run(*arguments)

    assert (code, err) == (0, "")
    assert re.search(r"^variables +question", out, re.MULTILINE)
    assert_proven(out)


def test_a_job_is_added_to_a_session_and_proven_among_its_other_jobs(
    gateway_on_each_database: GatewayProcess, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "menu.txt").write_text("soup 3\n")
    with Client(gateway_on_each_database.url) as client:
        first = client.submit(menu_of(1))
        session = ("--session", first.session_id, "--token", first.session_token)
        code, out, err = run("submit", "menu.txt", *session, "--watch", "--url", gateway_on_each_database.url)
        head = first.session_head()

    assert (code, err) == (0, "")
    assert re.search(rf"^complete: all \d+ events, head {head}$", out, re.MULTILINE)


def test_a_cancelled_job_ends_the_watch_with_one(start_gateway: StartGateway, start: Start) -> None:
    gateway = start_gateway(**SLOW)
    with Client(gateway.url) as client:
        job = client.submit(menu_of(LONG))
        watching = start("watch", job.events_url, "--url", gateway.url)
        read_until(watching, "translation running")
        job.cancel()
        out, _ = watching.communicate(timeout=COMMAND_SECONDS)

    assert watching.returncode == 1
    assert "The job ended as cancelled" in out
    assert_proven(out)


def test_a_killed_gateway_does_not_end_the_watch_and_costs_no_event(start: Start, tmp_path: Path) -> None:
    (tmp_path / "menu.txt").write_text("".join(f"dish {number} 3\n" for number in range(DISHES)))
    with GatewayProcess(settings=SLOW) as gateway:
        watching = start("submit", "menu.txt", "--watch", "--url", gateway.url)
        seen = read_until(watching, "translation running")
        time.sleep(0.3)
        gateway.kill()
        seen += read_until(watching, "trying again")
        gateway.start()
        out, err = watching.communicate(timeout=COMMAND_SECONDS)

        assert (watching.returncode, err) == (0, "")
        assert "connected again" in out
        events = assert_proven(out)
        with sqlite3.connect(gateway.directory / "stagecast.db") as database:
            (logged,) = database.execute("SELECT count(*) FROM event").fetchone()
        database.close()
        assert events == logged
        assert events > 8 * DISHES


async def test_a_frozen_gateway_is_noticed_and_costs_no_event() -> None:
    with GatewayProcess(settings={**SLOW, "SSE__HEARTBEAT_SECONDS": "0.2"}) as gateway:
        with Client(gateway.url) as client:
            job = client.submit(menu_of(DISHES))
        address = parse_job_url(job.events_url, gateway.url)
        stream = JobStream(address, silence_seconds=0.6, backoff=Backoff(0.1, 0.5))
        numbers: list[int] = []
        links: list[str] = []
        stream._on_link = lambda link: links.append(link.reason)
        thaw = None
        async with asyncio.timeout(COMMAND_SECONDS):
            async for item in stream.events():
                assert isinstance(item, Event)
                numbers.append(item.id.seq)
                if len(numbers) == 20:
                    gateway.pause()
                    thaw = asyncio.get_running_loop().call_later(1.5, gateway.resume)

    assert thaw is not None
    assert "nothing came for too long" in links
    assert numbers == list(range(1, len(numbers) + 1))
    assert (stream.complete, stream.status) == (True, "completed")


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on(start_gateway: StartGateway, start: Start) -> None:
    gateway = start_gateway(**SLOW)
    with Client(gateway.url) as client:
        job = client.submit(menu_of(LONG))
        watching = start("watch", job.events_url, "--url", gateway.url)
        read_until(watching, "translation running")
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=COMMAND_SECONDS)

        assert watching.returncode == 130
        assert f"stagecast watch '{gateway.url}{job.events_url}'" in err
        assert "Traceback" not in err
        assert job.snapshot()["status"] == "running"
        job.cancel()


def test_a_terminal_shows_eight_bars(gateway_on_each_database: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "menu.txt").write_text(MENU_TEXT["text"], encoding="utf-8")
    code, shown = on_a_terminal(["submit", "menu.txt", "--watch", "--url", gateway_on_each_database.url], tmp_path)

    assert code == 0
    for stage in STAGES["menu"]:
        assert re.search(rf"{stage} +\S*━+\S* +4/4 \S*completed", shown), stage
    assert_proven(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n"))


def on_a_terminal(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run `stagecast` on a pseudo terminal of 160 columns: exit code, and all that it wrote."""
    ours, theirs = pty.openpty()
    try:
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "160", "LANG": "C.UTF-8"}
        process = subprocess.Popen(
            [find_stagecast(), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
        )
        os.close(theirs)
        written = b""
        with suppress(OSError):  # EIO: the other side is closed
            while block := os.read(ours, 65536):
                written += block
        return process.wait(COMMAND_SECONDS), written.decode()
    finally:
        os.close(ours)


# What a server refuses.


def test_a_refused_field_is_one_line(gateway_on_each_database: GatewayProcess, run: Run, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"kind":"menu","items":[{"name":"soup","pric":"3"}]}')
    code, out, err = run("submit", "job.json", "--url", gateway_on_each_database.url)
    assert (code, out) == (1, "")
    assert err.startswith("stagecast: items[0].pric: ")
    assert err.count("\n") == 1


def test_nobody_at_the_address_says_how_to_start_a_server(run: Run, tmp_path: Path) -> None:
    (tmp_path / "menu.txt").write_text("soup 3\n")
    url = f"http://127.0.0.1:{find_free_port()}"
    for arguments in (("submit", "menu.txt"), ("watch", f"/v1/jobs/{'0' * 26}/events?token=geheim")):
        code, _, err = run(*arguments, "--url", url)
        assert code == 1
        assert f"{url} does not answer: connection refused" in err
        assert "stagecast serve" in err
        assert "geheim" not in err


def test_a_wrong_token_is_told_without_repeating_it(gateway_on_each_database: GatewayProcess, run: Run) -> None:
    with Client(gateway_on_each_database.url) as client:
        job = client.submit(menu_of(1))
    code, _, err = run("watch", f"{gateway_on_each_database.url}/v1/jobs/{job.job_id}", "--token", "geheim")
    assert code == 1
    assert "no such job" in err
    assert "geheim" not in err


def test_a_job_url_without_a_token_is_refused(run: Run) -> None:
    code, _, err = run("watch", f"/v1/jobs/{'0' * 26}")
    assert code == 2
    assert "--token" in err


# Verify.


@contextmanager
def used_database() -> Iterator[GatewayProcess]:
    """A gateway that has run one job and is stopped again."""
    with GatewayProcess() as gateway:
        with Client(gateway.url) as client, client.submit(menu_of(2)).stream() as stream:
            stream.read_all()
        gateway.stop()
        yield gateway


def test_verify_proves_a_log_and_finds_a_missing_event(run: Run) -> None:
    with used_database() as gateway:
        code, out, err = run("verify", DATABASE__URL=gateway.database_url)
        assert (code, err) == (0, "")
        assert re.fullmatch(r"ok: 1 sessions, 1 jobs, \d+ events\n", out)

        with sqlite3.connect(gateway.directory / "stagecast.db") as database:
            database.execute("DELETE FROM event WHERE seq = 5")
        database.close()
        code, out, err = run("verify", DATABASE__URL=gateway.database_url)

    assert code == 1
    assert "missing [5]" in out
    assert "findings in 1 sessions" in err
