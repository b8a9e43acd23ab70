"""A server on a real socket that answers each connection with the next piece of a script, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.client.address import JobAddress

JOB_ID = "01m7xy7df3rbb4chqygx6kdhnv"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class ScriptedServer:
    """`requests` are the heads of the requests so far. A script that ends with HOLD leaves its connection open."""

    HOLD = b"<hold>"

    def __init__(self, scripts: Sequence[bytes]) -> None:
        self._scripts = list(scripts)
        self.requests: list[str] = []
        self.address = JobAddress("", JOB_ID, "the-token")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        script = self._scripts.pop(0)
        writer.write(script.removesuffix(self.HOLD))
        await writer.drain()
        if script.endswith(self.HOLD):
            await reader.read()
        writer.close()

    @property
    def resumed_from(self) -> list[str | None]:
        """The Last-Event-ID of each request."""
        found = []
        for request in self.requests:
            ids = [line.partition(": ")[2] for line in request.splitlines() if line.startswith("last-event-id:")]
            found.append(ids[0] if ids else None)
        return found


@asynccontextmanager
async def scripted(*scripts: bytes) -> AsyncIterator[ScriptedServer]:
    """Serve the scripts, one for each connection, on a free port."""
    server = ScriptedServer(scripts)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.address = JobAddress(f"http://127.0.0.1:{port}", JOB_ID, "the-token")
    async with listening:
        yield server


def stream(*frames: bytes) -> bytes:
    """A whole 200 answer with these frames."""
    return STREAM_HEAD + b"".join(frames)


def opened(head: int, epoch: str = "k3v9x0ab", outcome: str = "new") -> bytes:
    return b'event: stream.open\ndata: {"outcome":"%b","epoch":"%b","head":"%b.%d"}\n\n' % (
        outcome.encode(),
        epoch.encode(),
        epoch.encode(),
        head,
    )


def event(seq: int, epoch: str = "k3v9x0ab", note: str = "") -> bytes:
    data = f'{{"job_id":"{JOB_ID}","at":"2026-11-21T02:00:00.000Z","note":"{note}"}}'
    return f"id: {epoch}.{seq}\nevent: item.updated\ndata: {data}\n\n".encode()


def heartbeat(head: int, epoch: str = "k3v9x0ab") -> bytes:
    return f'event: stream.head\ndata: {{"epoch":"{epoch}","head":"{epoch}.{head}"}}\n\n'.encode()


def ended(head: int, epoch: str = "k3v9x0ab") -> bytes:
    return f'event: stream.end\ndata: {{"job_id":"{JOB_ID}","status":"completed","head":"{epoch}.{head}"}}\n\n'.encode()
