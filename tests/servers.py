"""Real Redis and PostgreSQL servers that a test starts, stops, pauses and kills.

Each server lives in a temporary folder of its own and listens on 127.0.0.1 at a port nobody else uses. Every wait has
a deadline, and an error carries the end of the server's log. A missing program is an error that names `make test`,
never a skip: a suite that silently leaves out the database says nothing about it.
"""

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 30
# Below Linux's ephemeral range (32768 and up): otherwise an outgoing connection may take the port while its server is
# down, and a client that reconnects in a loop can even connect to itself.
PORTS = range(20_000, 32_000)
# A port that nobody listens on yet is somebody's all the same.
_given: set[int] = set()


class ServerError(Exception):
    """A test server could not be started, reached or stopped in time."""


def find_free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on; no other caller and no outgoing connection gets it."""
    for port in random.sample([one for one in PORTS if one not in _given], 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise ServerError("no free port found in 200 tries")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll `condition` until it is true; after `seconds` raise an error that says `what` did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def read_tail(log: Path) -> str:
    """The last lines of a log file, for an error message; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only waits to be buried: an orphan's new parent may take its time."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Server(ABC):
    """One server process: started, stopped, killed, paused, and started again on the same port and folder."""

    name = "server"
    stop_signal = signal.SIGTERM

    def __init__(self, port: int | None = None) -> None:
        self.port = port or find_free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"stagecast-{self.name}-"))
        self.log = self.directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work now; must not block for longer than a second."""

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run `command` with its output appended to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)

    @property
    def is_running(self) -> bool:
        """Whether there is a process that has not ended (a paused one counts)."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start the process and wait until it answers."""
        if self.is_running:
            raise ServerError(f"{self.name} already runs on port {self.port}")
        process = self.process = self.spawn(self.command())
        try:
            wait_until(lambda: process.poll() is not None or self.answers(), START_SECONDS, f"{self.name} answers")
        except ServerError as error:
            self.kill()
            raise ServerError(f"{error}\n{read_tail(self.log)}") from None
        if process.poll() is not None:
            raise ServerError(f"{self.name} ended with code {process.returncode}\n{read_tail(self.log)}")
        return self

    def stop(self) -> None:
        """Ask the process to end and wait for it; kill it and raise an error when it does not."""
        if self.process is None or not self.is_running:
            return
        self.resume()
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.name} did not stop in {STOP_SECONDS:g} s\n{read_tail(self.log)}") from None

    def kill(self) -> None:
        """End the process and all its children at once (SIGKILL), as a crash of the machine would, and see them gone.

        Until then they hold ports, files and memory that the next start needs.
        """
        if self.process is None:
            return
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            head = psutil.Process(self.process.pid)
            family = [head, *head.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(STOP_SECONDS)
        wait_until(lambda: all(map(has_ended, family)), STOP_SECONDS, f"the processes of {self.name} end")

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its sockets stay open and nothing answers."""
        if self.process is None or not self.is_running:
            raise ServerError(f"{self.name} is not running")
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on; harmless when it was not paused."""
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop, then start on the same port with the same folder."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill what still runs and remove the folder."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"The end of the log of {self.name}:\n{read_tail(self.log)}")
        self.close()


class RedisServer(Server):
    """A redis-server: in memory only, or with an append-only file when `persistent`."""

    name = "redis"

    def __init__(self, *, persistent: bool = False, port: int | None = None) -> None:
        super().__init__(port)
        self.persistent = persistent

    @property
    def url(self) -> str:
        """What STAGECAST_REDIS__URL takes."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        appendonly = ["--appendonly", "yes", "--appendfsync", "always"] if self.persistent else ["--appendonly", "no"]
        listen = ["--bind", "127.0.0.1", "--port", str(self.port)]
        # An empty --save: no snapshots, which a stop would otherwise write into the folder.
        rest = ["--save", "", "--maxmemory-policy", "noeviction", "--dir", str(self.directory)]
        return [find_program("redis-server"), *listen, *appendonly, *rest]

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


class PostgresServer(Server):
    """A PostgreSQL cluster with one superuser, `stagecast`, trusted from this machine without a password.

    PostgreSQL refuses to run as root: there its programs run as `postgres` or `nobody`, who then owns the folder.
    `fsync` is off: a killed server loses nothing, a machine without power would. `synchronous_commit` stays on: without
    it a kill loses the last seconds' commits, which the tests of crashes would report as ours.
    """

    name = "postgres"
    user = "stagecast"
    # "Fast": open sessions are ended. SIGTERM would wait for them for ever.
    stop_signal = signal.SIGINT

    def __init__(self, *, port: int | None = None, max_connections: int = 200) -> None:
        super().__init__(port)
        self.max_connections = max_connections
        self.owner = find_unprivileged_user()
        if self.owner is not None:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        self.data = self.directory / "data"

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                user=self.owner.pw_uid if self.owner else None,
                group=self.owner.pw_gid if self.owner else None,
                extra_groups=[] if self.owner else None,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "LC_ALL": "C"},
            )

    def start(self) -> Self:
        if not self.data.exists():
            self.run_program("initdb", "--pgdata", str(self.data), "--username", self.user, *INITDB_OPTIONS)
        return super().start()

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            "max_connections": str(self.max_connections),
            "fsync": "off",
            "full_page_writes": "off",
            # The longest there is: what nobody has committed stays in the server's memory, and a kill loses it. Tests
            # of crashes need such a loss; by default it would be in the system's hands within 0.2 s, and survive.
            "wal_writer_delay": "10s",
            # In the server's own folder: a killed server would leave its segments in /dev/shm for ever.
            "dynamic_shared_memory_type": "mmap",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [find_program("postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        check = [find_program("pg_isready"), "-q", "-t", "1", "-h", str(self.directory), "-p", str(self.port)]
        with suppress(subprocess.TimeoutExpired):  # on a starved machine the program itself may not get that far
            return subprocess.run(check, stdin=subprocess.DEVNULL, timeout=5, check=False).returncode == 0
        return False

    def url(self, database: str) -> str:
        """What STAGECAST_DATABASE__URL takes for `database`."""
        return f"postgresql+asyncpg://{self.user}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str = "template0") -> str:
        """A new, empty database (or a copy of `template`, to which nobody may be connected); returns its URL."""
        database = f"test_{secrets.token_hex(6)}"
        self.run_program("createdb", *self.client_options(), "--template", template, database)
        return self.url(database)

    def drop_database(self, url: str) -> None:
        """Remove what `create_database` made, open connections and all."""
        self.run_program("dropdb", *self.client_options(), "--force", url.rpartition("/")[2])

    def client_options(self) -> list[str]:
        return ["--host", str(self.directory), "--port", str(self.port), "--username", self.user]

    def run_program(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs to its end."""
        process = self.spawn([find_program(name), *arguments])
        try:
            code = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"{name}: not within {START_SECONDS:g} s\n{read_tail(self.log)}") from None
        if code != 0:
            raise ServerError(f"{name} ended with code {code}\n{read_tail(self.log)}")


# --no-locale: the same order of text on every machine.
INITDB_OPTIONS = ("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")


def find_program(name: str) -> str:
    """Where `name` is: on the PATH, or in the newest PostgreSQL of Debian, which keeps its servers off the PATH."""
    if found := shutil.which(name):
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    if versions:
        return str(versions[-1])
    raise ServerError(f"{name} is not installed: run the tests with `make test`, which installs it or says how")


def find_unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs PostgreSQL when we are root; None when we are not, and run it ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerError("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`")
