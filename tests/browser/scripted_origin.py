"""An origin of a test's own: it serves the browser module as one file, and answers streams with pieces of a script.

The page holds nothing but the module and what a test needs to look at it.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

from tests.servers import wait_until
from tests.unit.cli.scripted_server import JOB_ID, SESSION_ID, ScriptedServer, refusal

MODULE = Path(__file__).parents[2] / "gateway" / "static" / "stagecast.js"
PATIENCE_SECONDS = 20.0
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
import { JobStream, SessionStream } from "/stagecast.js";
const seen = [], states = [], notices = [];
window.follow = (address, options) => {
  const Kind = address.job ? JobStream : SessionStream;
  const note = (state) => state !== states.at(-1) && states.push(state);
  window.stream = new Kind(address, {
    event: ({ id, data }) => seen.push([id, data.note]),
    snapshot: ({ head }) => seen.push([`snapshot ${head}`, ""]),
    change: ({ state }) => note(state),
    notice: (text) => text && notices.push(text),
  }, options);
  window.stream.open();
};
window.report = () => ({
  seen: seen.map(([id]) => id), notes: seen.map(([, note]) => note), states, notices, state: stream.state,
  detail: stream.detail, complete: stream.complete, counters: stream.counters, last: stream.last?.id ?? null,
});
window.ready = true;
</script>"""


class ScriptedOrigin(ScriptedServer):
    """Streams are answered by the scripts, one for each connection; `status` answers for the job or session itself.

    The log is answered by its pages, one for each request, and by the last of them from then on. `asked_log` is after
    which positions it was asked for.
    """

    def __init__(self, scripts: Sequence[bytes], status: bytes, log_pages: Sequence[bytes]) -> None:
        super().__init__(scripts)
        self.status = status
        self.asked_status = 0
        self.asked_log: list[str] = []
        self._log_pages = list(log_pages)

    async def respond(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(head.split(" ", 2)[1])
        path = url.path
        if path.endswith("/events"):
            await super().respond(head, reader, writer)
            return
        if path == "/":
            body = found("text/html", PAGE.encode())
        elif path == "/stagecast.js":
            body = found("text/javascript", MODULE.read_bytes())
        elif path.endswith("/events.json"):
            self.asked_log += parse_qs(url.query)["after"]
            body = self._log_pages.pop(0) if len(self._log_pages) > 1 else self._log_pages[0]
        else:
            self.asked_status += 1
            body = self.status
        writer.write(body)
        await writer.drain()


class Followed:
    """A page that follows the scripted job or session."""

    def __init__(self, tab: Page, origin: ScriptedOrigin) -> None:
        self.tab = tab
        self.origin = origin

    def follow(
        self, kind: str = "job", *, log: bool = False, last: str | None = None, silence_ms: int = 0, types: str = ""
    ) -> Self:
        item = JOB_ID if kind == "job" else SESSION_ID
        url = f"/v1/{kind}s/{item}"
        address = {"job": kind == "job", "eventsUrl": f"{url}/events?token=geheim", "statusUrl": url, "token": "geheim"}
        address |= {"logUrl": f"/v1/sessions/{SESSION_ID}/events.json"} if log else {}
        self.tab.goto(self.origin.base)
        self.tab.wait_for_function("() => window.ready === true")
        options = {"silenceMs": silence_ms, "types": types.split()}
        self.tab.evaluate("([a, o]) => follow(a, o)", [{**address, "lastEventId": last}, options])
        return self

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.tab.evaluate("() => report()")
        return found

    def wait_for_state(self, state: str) -> dict[str, Any]:
        wait_until(lambda: self.report()["state"] == state, PATIENCE_SECONDS, f"the stream is {state}")
        return self.report()

    def wait_for_last(self, last: str) -> dict[str, Any]:
        wait_until(lambda: self.report()["last"] == last, PATIENCE_SECONDS, f"the last id is {last}")
        return self.report()


@contextmanager
def scripted_origin(*scripts: bytes, status: bytes = b"", log: Sequence[bytes] = (b"",)) -> Iterator[ScriptedOrigin]:
    """The origin in a thread of its own: Playwright's calls block the test's."""
    origin = ScriptedOrigin(scripts, status or refusal(404), log)
    started = threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        listening = await asyncio.start_server(origin.answer, "127.0.0.1", 0)
        origin.base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        started.set()
        async with listening:
            await stop.wait()
            await origin.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="scripted origin")
    thread.start()
    assert started.wait(10), "the scripted origin does not start"
    try:
        yield origin
    finally:
        loop, stop = stopping[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def found(kind: str, body: bytes) -> bytes:
    """An answer 200 with a body."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
