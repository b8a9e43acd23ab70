"""The plain way as a process of its own, with a database and a Redis that somebody else provides."""

import sys
from importlib.util import find_spec
from pathlib import Path

import httpx

from loadtests.bench.peers.base import Absent
from tests.servers import Server

ROOT = Path(__file__).parents[3]


class PlainProcess(Server):
    """`plain_way.py` on a free port; without a `database_url` on a SQLite file in its own folder."""

    name = "plain-way"

    def __init__(self, redis_url: str, database_url: str | None = None) -> None:
        super().__init__()
        self.redis_url = redis_url
        self.database_url = database_url or f"sqlite+aiosqlite:///{self.directory}/plain.db"

    def command(self) -> list[str]:
        # -c, because the process runs in its own folder, and the load tests are not installed.
        start = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from loadtests.bench.peers.plain_way import main; main()"
        )
        where = ["--port", str(self.port), "--database-url", self.database_url, "--redis-url", self.redis_url]
        return [sys.executable, "-c", start, *where]

    def answers(self) -> bool:
        try:
            # Nothing is verified over plain http, and reading the certificates would take 20 ms for every try.
            url = f"http://127.0.0.1:{self.port}/health"
            return httpx.get(url, timeout=1.0, trust_env=False, verify=False).status_code == 200
        except httpx.TransportError:
            return False


def check_present() -> None:
    """Raise Absent when the plain way can't run here."""
    if find_spec("fastapi") is None:
        raise Absent("fastapi is not installed: `make bench` installs it")
