"""Nchan: nginx's C module, one worker, fed by HTTP."""

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns, sleep

from loadtests.bench.crowd import Target
from loadtests.bench.feed import Burst, FeedError, Publisher
from loadtests.bench.peers.base import Absent, Hub
from loadtests.bench.peers.http import HttpPublisher
from loadtests.bench.wire import Line, post, text_frame, upgrade
from tests.servers import Server, find_program

MODULE = "ngx_nchan_module.so"
CONNECTIONS = 16_384
MOST_SOCKETS = 16

# Everything that would cost beyond the work is off: logs, a limit of requests on a publisher's connection. As many
# events are kept for a channel as in one of our rings.
CONFIGURATION = """
load_module {modules}/{module};
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  nchan_shared_memory_size 256m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/pub/(\\w+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 256;
      nchan_message_timeout 60s;
    }}
    location ~ ^/socket/(\\w+)$ {{
      nchan_publisher websocket;
      nchan_channel_id $1;
      nchan_message_buffer_length 256;
      nchan_message_timeout 60s;
    }}
    location ~ ^/sub/(\\w+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_eventsource_ping_interval {ping};
    }}
    location ~ ^/all/(\\w+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message oldest;
    }}
  }}
}}
"""


class Nginx(Server):
    """nginx in a folder of its own."""

    name = "nginx"

    def __init__(self, configuration: str) -> None:
        super().__init__()
        self._configuration = configuration

    def command(self) -> list[str]:
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        text = self._configuration.replace("{port}", str(self.port)).replace("{user}", user)
        (self.directory / "nginx.conf").write_text(text)
        return [find_program("nginx"), "-p", str(self.directory), "-c", "nginx.conf", "-e", "error.log"]

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
            return True
        return False


class Nchan(Hub):
    """A location to publish at and one to subscribe to, by channel."""

    name = "nchan"

    def start(self) -> None:
        self._nginx = Nginx(
            CONFIGURATION.format(
                modules=modules_folder(),
                module=MODULE,
                user="{user}",
                port="{port}",
                files=CONNECTIONS + 512,
                connections=CONNECTIONS,
                ping=self.heartbeat_seconds or 15,
            )
        )
        self.measure(self._nginx)

    @property
    def targets(self) -> Sequence[Target]:
        return self._targets("sub")

    @property
    def targets_from_oldest(self) -> list[Target]:
        """Browsers that get everything that is kept."""
        return self._targets("all")

    def _targets(self, location: str) -> list[Target]:
        ask = "GET /{}/c{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        numbers = range(self.channels)
        return [Target(self._nginx.port, ask.format(location, number).encode(), number) for number in numbers]

    @property
    def publisher(self) -> Publisher:
        if self.channels <= MOST_SOCKETS:
            return SocketPublisher(self._nginx.port, self.channels)
        return PostPublisher(self._nginx.port)

    def version(self) -> str:
        modules_folder()
        package = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"], capture_output=True, text=True, check=False
        )
        return f"nchan {package.stdout.strip() or '(version unknown)'}, {nginx_version()}"


class PostedNchan(Nchan):
    """The same, fed by a POST for each event whatever the number of channels."""

    name = "nchan-posts"

    @property
    def publisher(self) -> Publisher:
        return PostPublisher(self._nginx.port)


class PostPublisher(HttpPublisher):
    """A POST for each event."""

    def requests(self, burst: Burst) -> list[bytes]:
        path = f"/pub/c{burst.channel}"
        return [post(path, event) for event in burst.events]


class SocketPublisher:
    """A WebSocket to each channel: a tick's events leave in one write, and stay in order without waiting."""

    def __init__(self, port: int, channels: int) -> None:
        self._port = port
        self._channels = channels

    def open(self) -> None:
        """Connect to every channel."""
        self._lines = [Line(self._port, b"queued messages") for _ in range(self._channels)]
        for channel, line in enumerate(self._lines):
            line.socket.sendall(upgrade(f"/socket/c{channel}"))
            answer = line.socket.recv(4096)
            if not answer.startswith(b"HTTP/1.1 101"):
                raise FeedError(f"no WebSocket: {answer[:200]!r}")

    def publish(self, bursts: Sequence[Burst]) -> int:
        """Send the events of a tick."""
        at = monotonic_ns()
        for burst in bursts:
            frames = b"".join([text_frame(event) for event in burst.events])
            self._lines[burst.channel].send(frames, len(burst.events))
        return at

    def wait(self, seconds: float) -> None:
        """Nothing waits for answers."""
        sleep(seconds)

    def finish(self) -> None:
        """Wait until all are accepted."""
        for line in self._lines:
            line.finish()


def _about_nginx() -> str:
    try:
        return subprocess.run([find_program("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
    except Exception as error:
        raise Absent(f"nginx is not installed (Debian: libnginx-mod-nchan): {error}") from None


def nginx_version() -> str:
    """For example `nginx/1.22.1`."""
    found = re.search(r"nginx/[\d.]+", _about_nginx())
    return found[0] if found else "nginx"


def modules_folder() -> Path:
    """Where the module is. Raises Absent."""
    found = re.search(r"--modules-path=(\S+)", _about_nginx())
    folder = Path(found[1]) if found else Path("/usr/lib/nginx/modules")
    if not (folder / MODULE).exists():
        raise Absent(f"{MODULE} is not installed (Debian: libnginx-mod-nchan)")
    return folder
