"""What every program that is measured offers to a delivery run."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from loadtests.bench.crowd import Target
from loadtests.bench.feed import Publisher
from loadtests.bench.machine import Cores, family, on_core
from tests.servers import Server


class Absent(Exception):
    """The program is not on this machine."""


class Hub(ABC):
    """A hub with `channels` channels, started afresh. Use as a context; everything that it needs ends with it.

    `heartbeat_seconds`: how often an idle stream gets a sign of life; None: as the program comes.
    """

    name: str

    def __init__(self, channels: int, cores: Cores, heartbeat_seconds: int | None = None) -> None:
        self.channels = channels
        self.heartbeat_seconds = heartbeat_seconds
        self._cores = cores
        self._stack = ExitStack()
        self._measured: list[Server] = []
        self._served: list[Server] = []

    @abstractmethod
    def start(self) -> None:
        """Start everything; servers that are measured through `measure`, the others through `serve`."""

    @property
    @abstractmethod
    def targets(self) -> Sequence[Target]:
        """A target for each channel."""

    @property
    @abstractmethod
    def publisher(self) -> Publisher:
        """How events get in."""

    @abstractmethod
    def version(self) -> str:
        """What is measured, for the table. Raises Absent."""

    @property
    def pids(self) -> list[int]:
        """The measured processes."""
        return pids_of(self._measured)

    @property
    def helper_pids(self) -> list[int]:
        """Those that it needs and that are not measured, Redis for instance."""
        return pids_of(self._served)

    def serve(self, server: Server) -> None:
        """Start a server on the core of the client."""
        self._stack.enter_context(server)
        self._served.append(server)

    def measure(self, server: Server) -> None:
        """Start a server on the measured core."""
        with on_core(self._cores.measured):
            self._stack.enter_context(server)
        self._measured.append(server)

    def __enter__(self) -> Self:
        try:
            self.version()
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)


def pids_of(servers: Sequence[Server]) -> list[int]:
    """The processes of these servers, with all that they started."""
    return [pid for server in servers if server.process is not None for pid in family(server.process.pid)]
