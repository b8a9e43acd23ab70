"""A database that was set back gets new epochs by itself: clients start over from a snapshot, never with a mixture."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from infra.database.continuity import EVERY_SECONDS
from tests.client import Client, SubmittedJob, menu_of, wait_for_end
from tests.contract.wire.fold import fold
from tests.contract.wire.log_rules import check_ids, check_job
from tests.contract.wire.sse import Frame
from tests.gateway_process import GatewayProcess, find_stagecast
from tests.servers import PostgresServer, wait_until

# 40 dishes at 100 ms: a stage takes 4 s, time enough to copy the database in the middle of it on a busy machine.
SLOW = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "100",
    "PROCESSING__LEASE_SECONDS": "1",
    "SSE__DRAIN_SECONDS": "0.2",
}
DISHES = 40
NOTICED_SECONDS = 20.0

Stop = Callable[[GatewayProcess], object]


def terminate(gateway: GatewayProcess) -> None:
    assert gateway.terminate() == 0


def kill(gateway: GatewayProcess) -> None:
    gateway.kill()
    assert not gateway.is_running


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess(settings=SLOW) as process:
        yield process


def file_of(gateway: GatewayProcess) -> Path:
    return Path(gateway.database_url.removeprefix("sqlite+aiosqlite:///"))


def copy_running(gateway: GatewayProcess) -> Path:
    """A backup by SQLite's own means, while the gateway writes."""
    copy = gateway.directory / "backup.db"
    with closing(sqlite3.connect(file_of(gateway))) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def head_in(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        (head,) = connection.execute("SELECT head FROM session").fetchone()
        return int(head)


def remove_log_files(file: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def put_over(copy: Path, file: Path) -> None:
    """cp: the same file with other bytes."""
    remove_log_files(file)
    shutil.copyfile(copy, file)


def put_in_place_of(copy: Path, file: Path) -> None:
    """mv: another file with the same name."""
    remove_log_files(file)
    os.replace(copy, file)


def read_past(job: SubmittedJob, seq: int) -> list[Frame]:
    """The job's events as a client gets them live, until it has that number."""
    with job.stream() as stream:
        stream.read_until(lambda frame: frame.id is not None and frame.seq >= seq)
    return list(stream.durable)


def check_resets(job: SubmittedJob, numbers: Sequence[int]) -> None:
    """Clients that come back together, while the job goes on, are told the same."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        told = list(pool.map(lambda seq: check_reset(job, job.id_of(seq)), numbers))
    assert len({epoch for epoch, _ in told}) == 1
    assert all(new > 0 for _, new in told), "the job had ended before they came"


def check_reset(job: SubmittedJob, position: str) -> tuple[str, int]:
    """A client with this position starts over and is right at the end; returns its new epoch and how much followed."""
    with job.stream(position) as stream:
        frames = stream.read_all()
    control = [frame for frame in frames if frame.id is None and frame.event is not None]
    assert [frame.event for frame in control[:3]] == ["stream.open", "stream.reset", "stream.snapshot"]
    assert control[0].data["outcome"] == "reset"
    assert control[1].data["reason"] == "epoch_changed"
    epoch: str = control[0].data["epoch"]
    assert epoch != position.partition(".")[0]
    assert all((frame.id or "").partition(".")[0] == epoch for frame in stream.durable), "an id of the log that is gone"
    assert control[-1].event == "stream.end"
    assert fold(control[2].data, stream.durable) == job.snapshot()
    return epoch, len(stream.durable)


@pytest.mark.timeout(90)
@pytest.mark.parametrize(("stop", "put_back"), [(terminate, put_in_place_of), (kill, put_over)])
def test_a_restored_file_gets_new_epochs_and_no_client_sees_a_mixture(
    gateway: GatewayProcess, stop: Stop, put_back: Callable[[Path, Path], None]
) -> None:
    with Client(gateway.url) as client:
        job = client.submit(menu_of(DISHES))
        read_past(job, 40)
        copy = copy_running(gateway)
        restored_head = head_in(copy)
        before = read_past(job, restored_head + 20)
        stop(gateway)
        put_back(copy, file_of(gateway))
        gateway.start()

        assert restored_head < before[-1].seq, "the client had more than what came back"
        check_resets(job, (1, restored_head - 1, restored_head, before[-1].seq, 10_000))
        assert wait_for_end(job)["status"] == "completed"
        whole = job.read_to_end()
        check_ids(whole)
        check_job(whole, "menu")
    assert gateway.read_log().count("epochs_changed") == 1
    assert_clean(gateway)


@pytest.mark.timeout(60)
def test_a_copy_of_the_last_moment_before_a_kill_is_recognised_as_older(gateway: GatewayProcess) -> None:
    """Nothing is left to a clock that ticks: not one event may have been told to a client and then be forgotten."""
    with Client(gateway.url) as client:
        job = client.submit(menu_of(DISHES))
        with job.stream() as stream:
            stream.read_until(lambda frame: frame.id is not None and frame.seq >= 40)
            copy = copy_running(gateway)
            stream.read_until(lambda frame: frame.id is not None and frame.seq > head_in(copy))
            gateway.kill()
        put_over(copy, file_of(gateway))
        gateway.start()
        check_reset(job, job.id_of(stream.durable[-1].seq))


@pytest.mark.timeout(90)
@pytest.mark.parametrize("stop", [terminate, kill])
def test_a_restart_keeps_the_epochs(gateway: GatewayProcess, stop: Stop) -> None:
    with Client(gateway.url) as client:
        job = client.submit(menu_of(15))
        events: list[Frame] = []
        for enough in (30, 60, 90):
            with job.stream(events[-1].id if events else None) as stream:
                (opened,) = [frame for frame in stream.read_until("stream.open") if frame.event]
                assert opened.data["outcome"] == ("resumed" if events else "new")
                stream.read_until(lambda frame, enough=enough: frame.id is not None and frame.seq >= enough)
            events += stream.durable
            stop(gateway)
            gateway.start()
        events += job.read_to_end(events[-1].id)
        check_ids(events)
        check_job(events, "menu")
    assert "epochs_changed" not in gateway.read_log()


def rewrite_record(gateway: GatewayProcess, old: bytes, new: bytes) -> None:
    record = Path(f"{file_of(gateway)}-continuity")
    text = record.read_bytes()
    assert old in text
    record.write_bytes(text.replace(old, new))


def lose_the_record(gateway: GatewayProcess) -> None:
    Path(f"{file_of(gateway)}-continuity").unlink()


def break_the_record(gateway: GatewayProcess) -> None:
    Path(f"{file_of(gateway)}-continuity").write_bytes(b'{"life":')


def restore_the_whole_folder(gateway: GatewayProcess) -> None:
    """Both files as they were, with their times: only the kernel knows that they were put there."""
    record = Path(f"{file_of(gateway)}-continuity")
    shutil.copy2(record, f"{record}.backup")
    times = record.stat()
    os.utime(f"{record}.backup", ns=(times.st_atime_ns, times.st_mtime_ns - 60_000_000_000))
    text = record.read_bytes()
    record.unlink()
    stamp = text.rpartition(b'"changed_ns":')[2].split(b"}")[0]
    Path(f"{record}.backup").write_bytes(text.replace(stamp, str(int(stamp) - 60_000_000_000).encode()))
    os.replace(f"{record}.backup", record)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", [lose_the_record, break_the_record, restore_the_whole_folder])
def test_in_doubt_epochs_change(gateway: GatewayProcess, damage: Callable[[GatewayProcess], None]) -> None:
    with Client(gateway.url) as client:
        job = client.submit(menu_of(2))
        head = job.read_to_end()[-1].id
        assert head is not None
        gateway.terminate()
        damage(gateway)
        gateway.start()
        epoch = check_ended_reset(job, head)
        gateway.terminate()
        gateway.start()
        assert job.snapshot()["epoch"] == epoch, "once is enough"
    assert gateway.read_log().count("epochs_changed") == 1


def check_ended_reset(job: SubmittedJob, position: str) -> str:
    with job.stream(position) as stream:
        frames = [frame for frame in stream.read_all() if frame.event is not None]
    assert [frame.event for frame in frames] == ["stream.open", "stream.reset", "stream.snapshot", "stream.end"]
    assert frames[1].data["reason"] == "epoch_changed"
    assert frames[2].data == job.snapshot()
    epoch: str = frames[0].data["epoch"]
    return epoch


def is_told(job: SubmittedJob, position: str) -> bool:
    """Whether the gateway can be reached, and answers a position of an ended job with more than a 204."""
    headers = {"Authorization": f"Bearer {job.session_token}", "Last-Event-ID": position}
    with (
        suppress(httpx.TransportError),
        job.client.http.stream("GET", f"{job.status_url}/events", headers=headers) as answer,
    ):
        return answer.status_code == 200 and b"stream.reset" in answer.read()
    return False


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("stop", "changed"), [(terminate, False), (kill, True)])
def test_a_power_cut_changes_epochs_since_nobody_knows_what_was_lost(
    gateway: GatewayProcess, stop: Stop, changed: bool
) -> None:
    """The machine's start has a name, and it is in the record: another one, and no good end, is a power cut."""
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    if not boot_id.exists():
        pytest.skip("only Linux names the start of the machine")
    with Client(gateway.url) as client:
        job = client.submit(menu_of(2))
        job.read_to_end()
        stop(gateway)
        record = Path(f"{file_of(gateway)}-continuity")
        text = record.read_bytes()
        boot = boot_id.read_text().strip().encode()
        assert boot in text
        with record.open("r+b") as file:  # within the two seconds that the kernel's time may differ
            os.utime(record)
            now = str(record.stat().st_ctime_ns).encode()
            stamp = text.rpartition(b'"changed_ns":')[2].split(b"}")[0]
            file.write(text.replace(boot, boot[::-1]).replace(stamp, now))
        gateway.start()
        assert (job.snapshot()["epoch"] != job.epoch) is changed
    assert ("the machine stopped" in gateway.read_log()) is changed


@pytest.mark.timeout(60)
def test_a_record_that_cannot_be_written_is_a_warning_and_a_doubt_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "stagecast.db-continuity").mkdir()  # root may write everywhere, but not to a folder
    with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/stagecast.db") as gateway, Client(gateway.url) as client:
        job = client.submit(menu_of(2))
        job.read_to_end()
        assert "continuity_not_recorded" in gateway.read_log()
        gateway.restart()
        assert job.snapshot()["epoch"] != job.epoch


@pytest.mark.timeout(60)
def test_an_operator_can_say_that_the_database_was_restored(gateway: GatewayProcess) -> None:
    with Client(gateway.url) as client:
        job = client.submit(menu_of(2))
        head = job.read_to_end()[-1].id
        assert head is not None
        process = gateway.spawn([find_stagecast(), "restored"])
        assert process.wait(30) == 0
        assert "1 sessions have new epochs." in gateway.read_log()
        wait_until(lambda: is_told(job, head), NOTICED_SECONDS, "a channel that is still warm hears of it")
        epoch = check_ended_reset(job, head)
        gateway.restart()
        assert job.snapshot()["epoch"] == epoch


def assert_clean(gateway: GatewayProcess) -> None:
    process = gateway.spawn([find_stagecast(), "verify"])
    assert process.wait(30) == 0, gateway.read_log()[-2000:]


@pytest.fixture
def on_postgres(postgres_server: PostgresServer) -> Iterator[tuple[GatewayProcess, PostgresServer]]:
    with GatewayProcess(postgres_server.create_database(), settings=SLOW) as gateway:
        yield gateway, postgres_server


def dump(server: PostgresServer, gateway: GatewayProcess) -> str:
    file = str(server.directory / f"{gateway.database_url.rpartition('/')[2]}.dump")
    server.run_program("pg_dump", *server.client_options(), "--format=custom", "--file", file, name_of(gateway))
    return file


def restore(server: PostgresServer, gateway: GatewayProcess, file: str) -> None:
    options = ["--clean", "--if-exists", "--single-transaction", "--dbname", name_of(gateway)]
    server.run_program("pg_restore", *server.client_options(), *options, file)


def name_of(gateway: GatewayProcess) -> str:
    return gateway.database_url.rpartition("/")[2]


@pytest.mark.timeout(90)
def test_a_restored_dump_gets_new_epochs_and_no_client_sees_a_mixture(
    on_postgres: tuple[GatewayProcess, PostgresServer],
) -> None:
    gateway, server = on_postgres
    with Client(gateway.url) as client:
        job = client.submit(menu_of(DISHES))
        read_past(job, 40)
        file = dump(server, gateway)
        before = read_past(job, int(job.session_head().rpartition(".")[2]) + 40)
        kill(gateway)
        restore(server, gateway, file)
        gateway.start()

        check_resets(job, (1, 30, before[-1].seq, 10_000))
        assert wait_for_end(job)["status"] == "completed"
        check_job(job.read_to_end(), "menu")
        epoch = job.snapshot()["epoch"]
        gateway.restart()
        assert job.snapshot()["epoch"] == epoch
    assert gateway.read_log().count("epochs_changed") == 1
    assert_clean(gateway)


@pytest.mark.timeout(90)
def test_a_dump_restored_under_a_running_gateway_is_noticed(
    on_postgres: tuple[GatewayProcess, PostgresServer],
) -> None:
    gateway, server = on_postgres
    with Client(gateway.url) as client:
        job = client.submit(menu_of(2))
        head = job.read_to_end()[-1].id
        assert head is not None
        file = dump(server, gateway)
        restore(server, gateway, file)
        wait_until(lambda: is_told(job, head), NOTICED_SECONDS, "the epochs change")
        check_ended_reset(job, head)
    assert gateway.read_log().count("epochs_changed") == 1


@pytest.mark.timeout(120)
def test_a_disk_that_was_set_back_under_two_gateways_changes_epochs_once() -> None:
    """The server is the same to its last number; only its write-ahead log is shorter than what the gateways saw."""
    with PostgresServer() as server:
        url = server.create_database()
        with (
            GatewayProcess(url, settings=SLOW) as one,
            GatewayProcess(url, settings=SLOW) as two,
            Client(one.url) as client,
        ):
            job = client.submit(menu_of(2))
            head = job.read_to_end()[-1].id
            assert head is not None
            server.stop()
            backup = server.directory / "backup"
            shutil.copytree(server.data, backup)
            server.start()
            more = client.submit({**menu_of(2), "session_id": job.session_id}, job.session_token)
            told = more.read_to_end()[-1].id
            assert told is not None
            wait_until(lambda: one.answers() and two.answers(), NOTICED_SECONDS, "both are well")
            # Each has had a look at how far the server has come, if only the second one: the first may have come upon
            # a connection from before the restart.
            time.sleep(2 * EVERY_SECONDS + 3)
            server.stop()
            shutil.rmtree(server.data)
            shutil.copytree(backup, server.data)
            give_to_owner(server)
            server.start()

            def logs() -> str:
                return one.read_log() + two.read_log()

            wait_until(lambda: "epochs_changed" in logs(), NOTICED_SECONDS, "the epochs change")
            wait_until(lambda: is_told(job, head), NOTICED_SECONDS, "a channel that is still warm hears of it")
            epoch = check_ended_reset(job, head)
            assert check_ended_reset(job, told) == epoch
            for gateway in (one, two):
                gateway.restart()
            assert job.snapshot()["epoch"] == epoch
            assert logs().count("epochs_changed") == 1


def give_to_owner(server: PostgresServer) -> None:
    if server.owner is not None:
        for path in (server.data, *server.data.rglob("*")):
            os.chown(path, server.owner.pw_uid, server.owner.pw_gid)
    server.data.chmod(0o700)


@pytest.mark.timeout(60)
def test_a_crash_of_postgresql_keeps_the_epochs() -> None:
    with PostgresServer() as server:
        with GatewayProcess(server.create_database(), settings=SLOW) as gateway, Client(gateway.url) as client:
            job = client.submit(menu_of(5))
            with job.stream() as stream:
                stream.read_until(lambda frame: frame.id is not None and frame.seq >= 10)
                server.kill()
                server.start()
            events = list(stream.durable)
            wait_until(gateway.answers, NOTICED_SECONDS, "the gateway is well again")
            assert wait_for_end(job)["status"] == "completed"
            events += job.read_to_end(events[-1].id)
            check_ids(events)
        assert "epochs_changed" not in gateway.read_log()
