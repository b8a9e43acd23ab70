"""Runs the gateway in uvicorn: in this process, or in several that share one socket."""

import resource
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.app import create_app
from gateway.terminal.exits import Exit, Stop
from gateway.terminal.protocol import BoundedConfig
from infra.settings import Settings
from infra.telemetry.logs import configure_logs

# Streams are told to come back and are closed at once; this is for requests that are still being answered.
GRACE_SECONDS = 10
# All browsers may come back in the same second; what the system allows (net.core.somaxconn) bounds it.
BACKLOG = 16_384
# Descriptors for everything but clients: files, database, Redis.
RESERVED_DESCRIPTORS = 512

_ADVICE = "raise the limit of open files (ulimit -n, LimitNOFILE=), or lower STAGECAST_SSE__MAX_CONNECTIONS"

log = structlog.stdlib.get_logger(__name__)

_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "ws": "none",
    "access_log": False,  # its lines would carry ?token=
    "log_config": None,
    "server_header": False,
    "timeout_graceful_shutdown": GRACE_SECONDS,
    "backlog": BACKLOG,
}


def serve(settings: Settings, listener: socket.socket, page: str, workers: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises Stop when the application could not start."""
    configure_logs(settings.telemetry)
    most_connections = _room_for_connections(settings.sse.max_connections)
    options = {
        **_OPTIONS,
        "request_timeout_seconds": settings.http.request_timeout_seconds,
        "most_connections": most_connections,
    }
    if workers > 1:
        _serve_in_many(
            BoundedConfig("gateway.app:create_app", factory=True, workers=workers, **options), listener, page
        )
    else:
        _serve_here(BoundedConfig(create_app(settings), **options), listener, page)


def _room_for_connections(streams: int) -> int:
    """How many connections the limit of open files leaves room for, once it is as high as this process may set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems call a limit unlimited and refuse it all the same
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft < streams + RESERVED_DESCRIPTORS:
        log.warning("few_open_files", open_files=soft, needed=streams + RESERVED_DESCRIPTORS, advice=_ADVICE)
    # At least half: with a limit so low that the reserve takes all of it, some clients are better than none.
    return max(soft - RESERVED_DESCRIPTORS, soft // 2)


def page_url(listener: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(page: str, workers: int) -> None:
    served_by = f" ({workers} workers)" if workers > 1 else ""
    print(f"Stagecast is ready{served_by}: open {page} in a browser. Ctrl-C stops it.", flush=True)


class _Server(uvicorn.Server):
    """Says where the page is as soon as it can be opened."""

    def __init__(self, config: uvicorn.Config, page: str) -> None:
        super().__init__(config)
        self._page = page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _announce(self._page, 1)


class _Workers(Multiprocess):
    """Says where the page is as soon as every worker is ready."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], page: str) -> None:
        super().__init__(config, sockets)
        self._page = page
        self._announced = False

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if not self._announced and not self.should_exit.is_set() and all(one.is_ready() for one in self.processes):
            self._announced = True
            _announce(self._page, self.processes_num)


def _serve_here(config: BoundedConfig, listener: socket.socket, page: str) -> None:
    server = _Server(config, page)

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # For a signal before uvicorn takes them. And after its clean end uvicorn raises the signal again, for whoever had
    # the handler before: by default that would be a death by signal, or a KeyboardInterrupt.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server.run([listener])
    except SystemExit:  # the application did not start; why is in the log
        raise Stop(Exit.FAILED, "The gateway could not start; the lines above say why.") from None


def _serve_in_many(config: BoundedConfig, listener: socket.socket, page: str) -> None:
    supervisor = _Workers(config, [listener], page)
    supervisor.run()
    # A worker that was told to stop ends by that signal, after its clean end.
    if any(worker.exitcode not in (0, -signal.SIGTERM, -signal.SIGINT) for worker in supervisor.processes):
        raise Stop(Exit.FAILED, "A worker could not start or did not end well; the lines above say why.")
