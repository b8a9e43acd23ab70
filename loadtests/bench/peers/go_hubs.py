"""Mercure and Centrifugo, single Go binaries that are measured when they are on the PATH.

Both runners are written from the programs' documentation (Mercure 0.15 and newer, Centrifugo 6). Where this project is
developed neither could be had, so that they have never run: mend here what your version wants differently.
"""

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import orjson

from loadtests.bench.crowd import Target
from loadtests.bench.feed import Burst, Publisher
from loadtests.bench.peers.base import Absent, Hub
from loadtests.bench.peers.http import HttpPublisher
from loadtests.bench.wire import post
from tests.servers import Server, find_program

KEY = "a-key-for-the-benchmark-which-runs-on-this-machine-only"

CADDYFILE = """
{{
  auto_https off
  admin off
}}
http://127.0.0.1:{port} {{
  route {{
    mercure {{
      publisher_jwt {key}
      subscriber_jwt {key}
      anonymous
      heartbeat {heartbeat}s
      transport local
    }}
    respond "not found" 404
  }}
}}
"""


class GoServer(Server):
    """One binary with a configuration file in a folder of its own; `{port}` in the text is replaced by its port."""

    def __init__(self, name: str, file: str, text: str, arguments: Sequence[str]) -> None:
        self.name = name
        super().__init__()
        self._file, self._text, self._arguments = file, text, arguments

    def command(self) -> list[str]:
        Path(self.directory, self._file).write_text(self._text.replace("{port}", str(self.port)))
        return [find_program(self.name), *self._arguments]

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
            return True
        return False


class GoHub(Hub):
    """A hub of one binary, `name`; `path` is where a channel is listened to."""

    path: ClassVar[str]
    version_arguments: ClassVar[Sequence[str]] = ("version",)

    @property
    def targets(self) -> Sequence[Target]:
        head = "Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        asks = [f"GET {self.path.format(quote(self.topic(n)))} HTTP/1.1\r\n{head}" for n in range(self.channels)]
        return [Target(self.server.port, ask.encode(), number) for number, ask in enumerate(asks)]

    @property
    def server(self) -> Server:
        """The measured one."""
        return self._measured[0]

    def topic(self, channel: int) -> str:
        """What names a channel in the path."""
        return f"c{channel}"

    def version(self) -> str:
        if shutil.which(self.name) is None:
            raise Absent(
                f"{self.name} is not on the PATH; its runner is written from the documentation, and has never run"
            )
        said = subprocess.run([self.name, *self.version_arguments], capture_output=True, text=True, check=False)
        return (said.stdout or said.stderr).strip().partition("\n")[0] or self.name


class Mercure(GoHub):
    """Caddy with Mercure's module, everything in memory."""

    name = "mercure"
    path = "/.well-known/mercure?topic={}"

    def start(self) -> None:
        text = CADDYFILE.format(port="{port}", key=KEY, heartbeat=self.heartbeat_seconds or 40)
        self.measure(GoServer(self.name, "Caddyfile", text, ["run", "--config", "Caddyfile"]))

    @property
    def publisher(self) -> Publisher:
        return MercurePublisher(self.server.port)


class MercurePublisher(HttpPublisher):
    """A POST for each event."""

    def requests(self, burst: Burst) -> list[bytes]:
        bodies = [f"topic=c{burst.channel}&data={quote(event)}".encode() for event in burst.events]
        token = f"Authorization: Bearer {sign({'mercure': {'publish': ['*']}})}\r\n"
        return [post("/.well-known/mercure", body, "application/x-www-form-urlencoded", token) for body in bodies]


class Centrifugo(GoHub):
    """Its unidirectional event stream; a connection names its channel itself."""

    name = "centrifugo"
    path = "/connection/uni_sse?cf_connect={}"

    def topic(self, channel: int) -> str:
        return orjson.dumps({"subs": {f"c{channel}": {}}}).decode()

    def start(self) -> None:
        configuration = {
            "http_server": {"address": "127.0.0.1", "port": "{port}"},
            "http_api": {"key": KEY},
            "client": {"allow_anonymous_connect_without_token": True, "insecure": True},
            "uni_sse": {"enabled": True},
            # A browser without a token is anonymous; without a ttl nothing would be kept.
            "channel": {
                "without_namespace": {
                    "allow_subscribe_for_client": True,
                    "allow_subscribe_for_anonymous": True,
                    "history_size": 256,
                    "history_ttl": "60s",
                }
            },
            "log": {"level": "error"},
        }
        text = orjson.dumps(configuration).decode().replace('"{port}"', "{port}")
        self.measure(GoServer(self.name, "config.json", text, ["--config=config.json"]))

    @property
    def publisher(self) -> Publisher:
        return CentrifugoPublisher(self.server.port)


class CentrifugoPublisher(HttpPublisher):
    """A POST for each burst: many publications fit in one."""

    def requests(self, burst: Burst) -> list[bytes]:
        channel = f"c{burst.channel}"
        commands = [{"publish": {"channel": channel, "data": orjson.Fragment(event)}} for event in burst.events]
        return [post("/api/batch", orjson.dumps({"commands": commands}), headers=f"X-API-Key: {KEY}\r\n")]


def sign(claims: object) -> str:
    """A JSON web token by HMAC-SHA-256."""
    parts = [orjson.dumps({"alg": "HS256", "typ": "JWT"}), orjson.dumps(claims)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = hmac.digest(KEY.encode(), text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()
