"""Pushpin: a proxy that holds streams for an origin, fed by HTTP. Condure (Rust), proxy and handler (C++, Qt)."""

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns, sleep
from types import TracebackType

import orjson

from loadtests.bench.crowd import Target
from loadtests.bench.feed import Burst, Publisher
from loadtests.bench.payload import EVENT_TYPE
from loadtests.bench.peers.base import Absent, Hub
from loadtests.bench.peers.redis_fed import PythonServer
from loadtests.bench.wire import Line, post
from tests.servers import Server, find_free_port, find_program

LIBRARY = Path("/usr/lib/pushpin")
# No limits beyond the work: Pushpin's own default is 2500 messages a second.
CONFIGURATION = """
[global]
include={library}/internal.conf
rundir={folder}/run
ipc_prefix=bench-
port_offset=0
stats_connection_ttl=120
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port={port}
logdir={folder}/log
log_level=1
client_buffer_size=65536
client_maxconn=16000
condure_bin=condure
zurl_bin=zurl
[proxy]
routesfile={folder}/routes
auto_cross_origin=false
updates_check=off
zurl_out_specs=ipc://{folder}/run/bench-zurl-in
zurl_out_stream_specs=ipc://{folder}/run/bench-zurl-in-stream
zurl_in_specs=ipc://{folder}/run/bench-zurl-out
[handler]
push_in_spec=ipc://{folder}/run/push
push_in_http_addr=127.0.0.1
push_in_http_port={control}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
command_spec=ipc://{folder}/run/command
stats_spec=ipc://{folder}/run/stats
message_rate=1000000
message_hwm=1000000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
"""


class PushpinServer(Server):
    """Pushpin's runner with its services, in a folder of its own."""

    name = "pushpin"

    def __init__(self, origin_port: int) -> None:
        super().__init__()
        self.control_port = find_free_port()
        self._origin_port = origin_port

    def command(self) -> list[str]:
        for name in ("run", "log"):
            (self.directory / name).mkdir(exist_ok=True)
        (self.directory / "routes").write_text(f"* 127.0.0.1:{self._origin_port}\n")
        text = CONFIGURATION.format(library=LIBRARY, folder=self.directory, port=self.port, control=self.control_port)
        (self.directory / "pushpin.conf").write_text(text)
        return [find_program("pushpin"), f"--config={self.directory}/pushpin.conf"]

    def answers(self) -> bool:
        with suppress(OSError):
            for port in (self.port, self.control_port):
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
            return True
        return False

    def complaint(self) -> str:
        """The first warning or error that one of the services has logged; empty when there is none."""
        logs = sorted((self.directory / "log").glob("*.log"))
        lines = [f"{log.stem}: {line}" for log in logs for line in log.read_text(errors="replace").splitlines()]
        return next((line for line in lines if "[WARN]" in line or "[ERR]" in line), "")


class Pushpin(Hub):
    """An origin that says which channel a request is held for, on the client's core; Pushpin on the measured one."""

    name = "pushpin"

    def start(self) -> None:
        origin = PythonServer("loadtests.bench.peers.pushpin")
        self.serve(origin)
        self._server = PushpinServer(origin.port)
        self.measure(self._server)

    @property
    def targets(self) -> Sequence[Target]:
        ask = "GET /events/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        return [Target(self._server.port, ask.format(number).encode(), number) for number in range(self.channels)]

    @property
    def publisher(self) -> Publisher:
        return PushpinPublisher(self._server.control_port)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and (complaint := self._server.complaint()):
            error.add_note(complaint)
        super().__exit__(kind, error, at)

    def version(self) -> str:
        if shutil.which("pushpin") is None:
            raise Absent("pushpin is not installed (Debian: pushpin)")
        return subprocess.run(["pushpin", "--version"], capture_output=True, text=True, check=True).stdout.strip()


class PushpinPublisher:
    """A POST for each burst. Pushpin closes the connection after each: the next one waits until then, for the order."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: Line | None = None

    def open(self) -> None:
        """Nothing stays connected."""

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Send the events of a tick."""
        at = monotonic_ns()
        for burst in bursts:
            self.finish()
            self._line = Line(self._port, b"HTTP/1.1 200")
            self._line.send(post("/publish/", encode_item(burst)), 1)
        return at

    def wait(self, seconds: float) -> None:
        """Nothing waits for answers but the next burst."""
        sleep(seconds)

    def finish(self) -> None:
        """Wait until the last burst was accepted."""
        if self._line is not None:
            self._line.finish()
            self._line.close()


def encode_item(burst: Burst) -> bytes:
    """The body of a publication: the bytes that browsers get, all events of a burst in one message.

    So Pushpin has one packet for each browser and burst, instead of eight.
    """
    frames = "".join([f"event: {EVENT_TYPE}\ndata: {event.decode()}\n\n" for event in burst.events])
    item = {"channel": f"c{burst.channel}", "formats": {"http-stream": {"content": frames}}}
    return orjson.dumps({"items": [item]})


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection: /health, or a stream to be held."""
    with suppress(asyncio.IncompleteReadError, OSError):
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
            channel = path.rpartition(b"/")[2]
            held = b"Content-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: c%b\r\n" % channel
            head = b"" if path == b"/health" else held
            writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n" % head)
    writer.close()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_hold, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """The origin: port."""
    asyncio.run(_serve(int(sys.argv[1])))
