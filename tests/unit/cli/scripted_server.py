"""A server on a real socket that answers each connection with the next piece of a script, byte for byte."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from gateway.client.address import JobAddress, SessionAddress

JOB_ID = "01m7xy7df3rbb4chqygx6kdhnv"
SESSION_ID = "01m7xy7df3rbb4chqygx6kdhn0"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED_HEAD = STREAM_HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked\r\nConnection: close")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

# What a connection is answered: bytes, or what makes them from the position that the client named.
Script = bytes | Callable[[str | None], bytes]


class ScriptedServer:
    """`requests` are the heads of the requests so far, and `asked_at` is when they came (`time.monotonic()`).

    A script that ends with HOLD leaves its connection open, one that ends with DRIP goes on with a byte every 20 ms.
    Whoever asks more often than there are scripts is answered with 418, which is final to the client.
    """

    HOLD = b"<hold>"
    DRIP = b"<drip>"

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = list(scripts)
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.requests: list[str] = []
        self.asked_at: list[float] = []
        self.base = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await self.respond(head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client had enough of it
        finally:
            writer.close()
            del self._open[writer]

    async def respond(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(head)
        self.asked_at.append(time.monotonic())
        script = self._scripts.pop(0) if self._scripts else refusal(418)
        if not isinstance(script, bytes):
            script = script(self.resumed_from[-1])
        writer.write(script.removesuffix(self.HOLD).removesuffix(self.DRIP))
        await writer.drain()
        while script.endswith(self.DRIP) and not writer.is_closing():
            writer.write(b":")
            await writer.drain()
            await asyncio.sleep(0.02)
        if script.endswith(self.HOLD):
            await reader.read()

    async def close(self) -> None:
        """Cut the connections that are held."""
        held = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*held)

    @property
    def address(self) -> JobAddress:
        return JobAddress(self.base, JOB_ID, "the-token")

    @property
    def session(self) -> SessionAddress:
        return SessionAddress(self.base, SESSION_ID, "the-token")

    @property
    def resumed_from(self) -> list[str | None]:
        """Where each request wants to go on, by its header, else by its query; `snapshot` if it asked for that."""
        return [asked_position(request) for request in self.requests]


def asked_position(request: str) -> str | None:
    """What the head of a request names as its position."""
    for line in request.splitlines():
        if line.startswith("last-event-id: "):
            return line.partition(": ")[2]
    query = parse_qs(urlsplit(request.split(" ", 2)[1]).query)
    return query.get("last_event_id", query.get("from", [None]))[0]


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[ScriptedServer]:
    """Serve the scripts, one for each connection, on a free port."""
    server = ScriptedServer(scripts)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        try:
            yield server
        finally:
            await server.close()


def stream(*frames: bytes) -> bytes:
    """A whole 200 answer with these frames, which ends with its connection."""
    return STREAM_HEAD + b"".join(frames)


def chunked(*frames: bytes, cut: bool = False) -> bytes:
    """The same as uvicorn sends it: in chunks, so that a client can tell a clean end from one that was `cut`."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames)
    return CHUNKED_HEAD + body + (b"" if cut else b"0\r\n\r\n")


def refusal(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    """An answer with an error status."""
    head = b"".join(line + b"\r\n" for line in (b"Connection: close", b"Content-Length: %d" % len(body), *headers))
    return b"HTTP/1.1 %d No\r\n%b\r\n%b" % (status, head, body)


def opened(head: int, epoch: str = "k3v9x0ab", outcome: str = "new") -> bytes:
    return control("stream.open", f'"outcome":"{outcome}","epoch":"{epoch}","head":"{epoch}.{head}"')


def event(seq: int, epoch: str = "k3v9x0ab", note: str = "", kind: str | None = None) -> bytes:
    """A durable event; the first of a session is the first of its job."""
    kind = kind or ("job.accepted" if seq == 1 else "item.updated")
    data = f'{{"job_id":"{JOB_ID}","at":"2026-11-21T02:00:00.000Z","note":"{note}"}}'
    return f"id: {epoch}.{seq}\nevent: {kind}\ndata: {data}\n\n".encode()


def events(first: int, last: int) -> bytes:
    """Several of them."""
    return b"".join(event(seq) for seq in range(first, last + 1))


def heartbeat(head: int, epoch: str = "k3v9x0ab") -> bytes:
    return control("stream.head", f'"epoch":"{epoch}","head":"{epoch}.{head}"')


def reset(head: int, epoch: str = "k3v9x0ab") -> bytes:
    return control("stream.reset", f'"reason":"epoch_changed","epoch":"{epoch}","head":"{epoch}.{head}"')


def snapshot(head: int, epoch: str = "k3v9x0ab", status: str = "running") -> bytes:
    return control("stream.snapshot", f'"status":"{status}","head":"{epoch}.{head}"')


def ended(head: int, epoch: str = "k3v9x0ab") -> bytes:
    return control("stream.end", f'"job_id":"{JOB_ID}","status":"completed","head":"{epoch}.{head}"')


def busy(retry_ms: int, name: str = "stream.busy") -> bytes:
    return control(name, f'"retry_ms":{retry_ms}')


def retry(milliseconds: int) -> bytes:
    return b"retry: %d\n\n" % milliseconds


def control(name: str, fields: str) -> bytes:
    return f"event: {name}\ndata: {{{fields}}}\n\n".encode()
