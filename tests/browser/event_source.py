"""The browser's own EventSource on a page, and what it tells the page: nothing of the project runs in between."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

CONNECTING, OPEN, CLOSED = 0, 1, 2
WATCH_MS = 20_000

# A string leaves the browser as JSON: it keeps lone surrogates and NULs, which the protocol of the debugger does not.
_WATCH = """
([url, types, last, milliseconds]) => new Promise((resolve) => {
    const source = new EventSource(url);
    const seen = { events: [], opened: 0, errors: [], ended: "late" };
    const finish = (why) => {
        clearTimeout(timer);
        seen.ended = why;
        seen.state = source.readyState;
        source.close();
        resolve(JSON.stringify(seen));
    };
    const timer = setTimeout(finish, milliseconds, "late");
    for (const type of types) {
        source.addEventListener(type, (event) => {
            // A failed connection is an event of the type "error", too, but one without data.
            if (!(event instanceof MessageEvent)) return;
            if (type === last) finish("last");
            else seen.events.push([type, event.data, event.lastEventId]);
        });
    }
    source.addEventListener("open", () => { seen.opened += 1; });
    source.addEventListener("error", (event) => {
        if (event instanceof MessageEvent) return;
        seen.errors.push(source.readyState);
        if (source.readyState === EventSource.CLOSED) finish("closed");
    });
})
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page saw: its events as (type, data, lastEventId), and the readyState at each `error`.

    `ended` is `last` (the event that was waited for came), `closed` (the browser gave up for good), or `late`.
    """

    events: list[tuple[str, str, str]]
    opened: int
    errors: list[int]
    ended: str
    state: int


def watch(page: Page, url: str, types: Sequence[str], last: str) -> Seen:
    """Open an EventSource on the page's own origin until the event `last` comes or the browser gives up."""
    found: dict[str, Any] = json.loads(page.evaluate(_WATCH, [url, [*types, last], last, WATCH_MS]))
    return Seen(
        [(kind, data, event_id) for kind, data, event_id in found["events"]],
        found["opened"],
        found["errors"],
        found["ended"],
        found["state"],
    )
