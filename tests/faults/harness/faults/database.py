"""The database stops, crashes, is locked by somebody else, or has no room left."""

import asyncio
import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.faults.harness.faults.blow import Blow, seen
from tests.faults.harness.world import World
from tests.servers import PostgresServer

SETTLE_SECONDS = 15.0
# What a small disk holds: enough for some minutes of events, little enough to be filled at once.
DISK_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


class _OfPostgres(Blow):
    part = "database"
    seconds = (1, 5)

    def applies_to(self, world: World) -> bool:
        return world.stack.postgres

    def server(self, world: World) -> PostgresServer:
        assert world.postgres is not None
        return world.postgres

    def note_end(self, world: World) -> None:
        """See that it is gone."""
        server = self.server(world)
        assert not server.is_running
        assert not server.answers(), "something still answers at its port"
        assert server.process is not None
        self.note(f"process {server.process.pid} ended with {server.process.returncode}, connections refused")


class PostgresStopped(_OfPostgres):
    """A fast shutdown, as an upgrade does it: every session is ended with an error."""

    name = "PostgreSQL stopped"

    async def strike(self, world: World) -> None:
        await asyncio.to_thread(self.server(world).stop)
        self.note_end(world)

    async def heal(self, world: World) -> None:
        await asyncio.to_thread(self.server(world).start)


class PostgresKilled(_OfPostgres):
    """kill -9 of all its processes; the start after it is a crash recovery."""

    name = "PostgreSQL kill -9"

    async def strike(self, world: World) -> None:
        await asyncio.to_thread(self.server(world).kill)
        self.note_end(world)

    async def heal(self, world: World) -> None:
        server = self.server(world)
        read_before = server.log.stat().st_size
        await asyncio.to_thread(server.start)
        with server.log.open("rb") as log:
            log.seek(read_before)
            assert b"automatic recovery in progress" in log.read(), "the start was no crash recovery"
        self.note("its log speaks of automatic recovery")


def find_family(server: PostgresServer) -> list[psutil.Process]:
    """The server's process and all that it has started."""
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


class PostgresPaused(_OfPostgres):
    """SIGSTOP of all its processes: connections stay open, transactions stand still where they are."""

    name = "PostgreSQL paused"

    async def strike(self, world: World) -> None:
        server = self.server(world)
        family = find_family(server)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        assert not await asyncio.to_thread(server.answers), "it answers although it is stopped"
        self.note(f"{len(family)} processes were stopped and pg_isready got no answer")

    async def heal(self, world: World) -> None:
        server = self.server(world)
        for process in find_family(server):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        assert await seen(server.answers, SETTLE_SECONDS), "it does not go on"


# Takes the write lock, says so, and keeps it until its input ends.
_LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


class SqliteLocked(Blow):
    """Another process holds the write lock of the file, for longer than anybody waits for it."""

    name = "SQLite locked"
    part = "database"
    seconds = (7, 10)

    def __init__(self) -> None:
        super().__init__()
        self._locker: subprocess.Popen[bytes] | None = None

    def applies_to(self, world: World) -> bool:
        return not world.stack.postgres

    async def strike(self, world: World) -> None:
        assert world.sqlite_path is not None
        locker = self._locker = await asyncio.to_thread(_lock, world.sqlite_path)
        with closing(sqlite3.connect(world.sqlite_path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                self.note(f"held by process {locker.pid}, anybody else got {str(error)!r}")
            else:
                connection.execute("ROLLBACK")

    async def heal(self, world: World) -> None:
        assert self._locker is not None
        await asyncio.to_thread(self._locker.communicate, b"", SETTLE_SECONDS)
        assert self._locker.returncode == 0, "the lock was lost before it was given back"


def _lock(path: Path) -> subprocess.Popen[bytes]:
    locker = subprocess.Popen([sys.executable, "-c", _LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert locker.stdout is not None
    assert locker.stdout.readline() == b"locked\n"
    return locker


class DiskFull(Blow):
    """No byte more can be written to the disk of the SQLite file.

    As root the file lies on a small file system in memory, which is filled up: the gateway gets ENOSPC. Where mounting
    is not allowed, the running process is forbidden to let any file grow beyond its size of this moment instead: it
    gets EFBIG. The evidence says which.
    """

    name = "disk full"
    part = "database"
    seconds = (2, 6)

    def __init__(self) -> None:
        super().__init__()
        self._limited: list[int] = []

    def applies_to(self, world: World) -> bool:
        return not world.stack.postgres and sys.platform == "linux"

    def prepare(self, world: World) -> None:
        if os.geteuid() == 0 and not self._is_small(world):
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "stagecast-disk", str(world.disk)]
            if subprocess.run(mount, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0:
                world.closing.callback(_unmount, world.disk)

    async def strike(self, world: World) -> None:
        strike = self._fill if self._is_small(world) else self._forbid
        await asyncio.to_thread(strike, world)

    async def heal(self, world: World) -> None:
        if self._limited:
            infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            for pid in self._limited:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, infinite)
            return
        free = shutil.disk_usage(world.disk).free
        assert free < BLOCK_BYTES, f"{free} bytes were free at the end"
        self._filler(world).unlink()

    def _is_small(self, world: World) -> bool:
        return world.disk.is_mount()

    def _filler(self, world: World) -> Path:
        return world.disk / "filler"

    def _fill(self, world: World) -> None:
        with self._filler(world).open("wb", buffering=0) as filler:
            for size in (BLOCK_BYTES, 4096, 1):
                block = bytes(size)
                try:
                    while True:
                        filler.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        usage = shutil.disk_usage(world.disk)
        self.note(f"{usage.used} of {usage.total} bytes used, one more was refused with ENOSPC")

    def _forbid(self, world: World) -> None:
        assert world.sqlite_path is not None
        files = world.disk.glob(f"{world.sqlite_path.name}*")
        largest = max(file.stat().st_size for file in files)
        for site in world.sites:
            for process in (psutil.Process(site.pid), *psutil.Process(site.pid).children(recursive=True)):
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, hard))
                self._limited.append(process.pid)
        self.note(f"no file may grow beyond {largest} bytes (RLIMIT_FSIZE, EFBIG): mounting is not allowed here")


def _unmount(disk: Path) -> None:
    subprocess.run(["umount", "--lazy", str(disk)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
