"""The gateway as a process of its own, started from the same command that a person types.

For what an in-process server can't show: kill -9 in the middle of a job, a drain at SIGTERM, a start on the database
that a crash left behind.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from infra.settings import DatabaseSettings
from tests.database import migrate_now
from tests.servers import START_SECONDS, Server, ServerError, wait_until


class GatewayProcess(Server):
    """`stagecast serve` on a free port, over a migrated database, until stopped or killed.

    `settings` are environment variables without their `STAGECAST_` prefix: {"PROVIDER": "synthetic"}. Without a
    `database_url` it uses a SQLite file in its own folder, which survives a kill and a start. It runs in that folder,
    so a `.env` of the person who runs the tests has no say.
    """

    name = "gateway"

    def __init__(
        self,
        database_url: str | None = None,
        *,
        redis_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        workers: int | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(port)
        self.database_url = database_url or f"sqlite+aiosqlite:///{self.directory}/stagecast.db"
        self.redis_url = redis_url
        self.settings = dict(settings or {})
        self.workers = workers
        self._migrated = False

    @property
    def url(self) -> str:
        """The origin that clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the process sees: the settings, and of our own environment only what Python needs."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        given = {"DATABASE__URL": self.database_url, **self.settings}
        if self.redis_url is not None:
            given["REDIS__URL"] = self.redis_url
        prefixed = {f"STAGECAST_{name}": value for name, value in given.items()}
        return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **prefixed}

    def command(self) -> list[str]:
        workers = ["--workers", str(self.workers)] if self.workers is not None else []
        return [find_stagecast(), "serve", "--host", "127.0.0.1", "--port", str(self.port), *workers]

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self.environment,
            )

    def migrate(self) -> None:
        """Bring the database to the newest schema, once, and in this process: importing it all anew takes a second."""
        if not self._migrated:
            migrate_now(DatabaseSettings(url=self.database_url))
            self._migrated = True

    def start(self) -> Self:
        """Migrate, serve, and wait until /health/ready answers 200."""
        self.migrate()
        return super().start()

    def answers(self) -> bool:
        try:
            # Nothing is verified over plain http, and reading the certificates would take 20 ms for every try.
            ready = httpx.get(f"{self.url}/health/ready", timeout=1.0, trust_env=False, verify=False)
            return ready.status_code == 200
        except httpx.TransportError:
            return False

    def terminate(self) -> int:
        """Send SIGTERM, wait until the process has drained and ended, and return its exit code."""
        if self.process is None or not self.is_running:
            raise ServerError("the gateway is not running")
        self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not self.is_running, START_SECONDS, "the gateway ends after SIGTERM")
        return self.process.wait()

    def read_log(self) -> str:
        """Everything that the process has written so far, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def find_stagecast() -> str:
    """The console script of this environment: what is installed, not what happens to be importable."""
    script = Path(sys.executable).with_name("stagecast")
    if not script.exists():
        raise ServerError("`stagecast` is not installed in this environment: run the tests with `make test`")
    return str(script)
