"""Which programs are compared, with their versions; an absent one is left out."""

import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress

from loadtests.bench.machine import Cores
from loadtests.bench.peers.base import Absent, Hub
from tests.servers import ServerError, find_program

_NUMBER = re.compile(r"\d+(\.\d+)+")


def versions(hubs: Iterable[type[Hub]]) -> dict[str, str]:
    """By name: the hubs, the servers below them, and Python."""
    found = {"python": f"Python {platform.python_version()}"}
    for hub in hubs:
        with suppress(Absent, ServerError, OSError, subprocess.SubprocessError):
            found[hub.name] = hub(1, Cores(None, None)).version()
    for server, program in (("Redis", "redis-server"), ("PostgreSQL", "postgres")):
        with suppress(ServerError, OSError, subprocess.SubprocessError):
            said = subprocess.run([find_program(program), "--version"], capture_output=True, text=True, check=True)
            number = _NUMBER.search(said.stdout)
            found[program] = f"{server} {number[0] if number else ''}".strip()
    return found
