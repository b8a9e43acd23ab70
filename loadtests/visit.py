"""One guest's visit to one job: follow its stream, drop, resume, and at the end hold everything against the log."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import requests
from locust.clients import HttpSession

from loadtests.ledger import Irregularities, Ledger
from loadtests.sse import SseEvent, SseReader

# Longer than the heartbeat, so that a stream that says nothing for this long is broken.
READ_TIMEOUT_SECONDS = 40.0
LONGEST_VISIT_SECONDS = 120.0
LONGEST_RETRY_MS = 5000
LOG_PAGE_EVENTS = 1000
ENDINGS = frozenset({"job.completed", "job.completed_partial", "job.failed", "job.cancelled"})

# Reports a measurement: its name and milliseconds.
Measure = Callable[[str, float], None]


class VisitFailed(Exception):
    """The stream could not be followed to its end."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted job; `sent_at` is the monotonic time of its POST. `alone`: it is the only job of its session."""

    job_id: str
    session_id: str
    token: str
    events_url: str
    status_url: str
    sent_at: float
    alone: bool


@dataclass(frozen=True, slots=True)
class Habits:
    """How this guest watches. `drop_chance` is per chunk of bytes; `by_session` follows the whole session instead."""

    by_session: bool
    from_snapshot: bool
    drop_chance: float
    peek_chance: float


@dataclass(slots=True)
class Visit:
    """Follows one job. `follow` returns how many promises were broken; the clocks go to `measure`."""

    client: HttpSession
    job: Submitted
    habits: Habits
    measure: Measure
    _ledger: Ledger = field(default_factory=Ledger)
    _last_id: str = ""
    _live_after: int = 0
    _retry_ms: int = 0
    _results_before: int = 0
    _saw_first: bool = False
    _end: str | None = None

    def follow(self) -> Irregularities:
        """Watch until the job has ended, then check. Raises VisitFailed when the end does not come."""
        give_up = time.monotonic() + LONGEST_VISIT_SECONDS
        while self._end is None:
            if time.monotonic() > give_up:
                raise VisitFailed(f"no end of job {self.job.job_id} within {LONGEST_VISIT_SECONDS:g} s")
            try:
                self._connect()
            except requests.RequestException as error:  # the gateway went away: a browser comes back too
                self._retry_ms = self._retry_ms or 1000
                self.measure(f"connection lost: {type(error).__name__}", 0)
            if self._end is None:
                time.sleep(min(self._retry_ms, LONGEST_RETRY_MS) / 1000)
                self._retry_ms = 0
        return self._check()

    def _connect(self) -> None:
        url, name = self._address()
        headers = {"Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        response = self.client.get(url, name=name, headers=headers, stream=True, timeout=READ_TIMEOUT_SECONDS)
        with closing(response):  # closing a stream that is not at its end cuts the connection
            if response.status_code == 0:
                raise requests.ConnectionError("no answer")
            if response.status_code == 204:
                self._end = self._end or "204"
                return
            if response.status_code != 200:
                raise VisitFailed(f"the stream answered {response.status_code}")
            for event in self._read(response):
                if not self._take(event):
                    return

    def _address(self) -> tuple[str, str]:
        kind, url = "jobs", self.job.events_url
        if self.habits.by_session:
            kind, url = "sessions", f"/v1/sessions/{self.job.session_id}/events?token={self.job.token}"
        if self.habits.from_snapshot and not self._last_id:
            return f"{url}&from=snapshot", f"/v1/{kind}/[id]/events from=snapshot"
        return url, f"/v1/{kind}/[id]/events{' resumed' if self._last_id else ''}"

    def _read(self, response: requests.Response) -> Iterator[SseEvent]:
        reader = SseReader(self._last_id)
        # None: whatever has arrived, at once. Any number would wait until so many bytes are there.
        for chunk in response.iter_content(chunk_size=None):
            dropped = random.random() < self.habits.drop_chance
            # A network drops in the middle of a frame as well.
            events = reader.feed(chunk[: random.randrange(len(chunk) + 1)] if dropped else chunk)
            self._measure_delay(events)
            yield from events
            self._last_id = reader.last_event_id
            if dropped:
                self._retry_ms = random.choice([0, 50, 500])
                return
            if random.random() < self.habits.peek_chance:
                self._peek()
        self._retry_ms = reader.retry_ms or 0

    def _measure_delay(self, events: list[SseEvent]) -> None:
        for event in events:
            if event.type == "item.updated" and _number(event.id) > self._live_after:
                at = datetime.fromisoformat(orjson.loads(event.data)["at"]).timestamp()
                # The chunk's first live event stands for it: a thousand calls a second would be measured instead.
                self.measure("decided to received", max(0.0, (time.time() - at) * 1000))
                return

    def _take(self, event: SseEvent) -> bool:
        """Note one event; False when there is nothing more to wait for on this connection."""
        body = orjson.loads(event.data)
        if event.type.startswith("stream."):
            return self._take_control(event.type, body)
        mine = body["job_id"] == self.job.job_id
        result = (body["item_id"], body["stage"], body["attempt"]) if event.type == "item.updated" else None
        self._ledger.take(_number(event.id), result if mine else None)
        if mine and result is not None and not self._saw_first:
            self._saw_first = True
            self.measure("POST to first item.updated", self._elapsed_ms())
        if mine and event.type in ENDINGS:
            self.measure("POST to job end", self._elapsed_ms())
            if self.habits.by_session:  # a session's stream never ends by itself
                self._end = event.type.removeprefix("job.")
                return False
        return True

    def _take_control(self, name: str, body: dict[str, Any]) -> bool:
        if name == "stream.open":
            self._live_after = _number(body["head"])
        elif name == "stream.snapshot":
            self._take_snapshot(body)
        elif name == "stream.reset":
            raise VisitFailed(f"the stream was reset: {body['reason']}")
        elif name == "stream.end":
            self._end = body["status"]
        elif name in {"stream.busy", "stream.drain"}:
            self._retry_ms = body["retry_ms"]
        return name not in {"stream.end", "stream.busy", "stream.drain"}

    def _take_snapshot(self, body: dict[str, Any]) -> None:
        self._ledger.cover(_number(body["head"]))
        jobs = {job["job_id"]: job for job in body.get("jobs", [body])}
        snapshot = jobs[self.job.job_id]
        self._results_before = _done(snapshot)
        self._saw_first = self._results_before > 0
        # A job that had ended by then brings no further event, and a session's stream no end.
        if self.habits.by_session and snapshot["finished_at"] is not None:
            self._end = snapshot["status"]

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self.job.sent_at) * 1000

    def _peek(self) -> dict[str, Any]:
        response = self.client.get(self.job.status_url, name="/v1/jobs/[id]", headers=self._access())
        if response.status_code != 200:
            raise VisitFailed(f"the snapshot answered {response.status_code}")
        snapshot: dict[str, Any] = orjson.loads(response.content)
        return snapshot

    def _check(self) -> Irregularities:
        snapshot = self._peek()
        if self._end not in {snapshot["status"], "204"}:
            raise VisitFailed(f"the stream ended {self._end}, the snapshot says {snapshot['status']}")
        head = _number(snapshot["head"])
        numbers: Iterator[int] = iter(range(1, head + 1))
        if not self.job.alone:
            numbers = (seq for seq in self._poll_log(head))
        broken = self._ledger.close(numbers)
        results = self._results_before + self._ledger.results
        if not broken and results != _done(snapshot):
            raise VisitFailed(f"{results} results came, the snapshot has {_done(snapshot)}")
        return broken

    def _poll_log(self, head: int) -> Iterator[int]:
        """The numbers that the stream had to bring up to `head`, from the log itself."""
        after = 0
        while after < head:
            url = f"/v1/sessions/{self.job.session_id}/events.json?after={after}&limit={LOG_PAGE_EVENTS}"
            response = self.client.get(url, name="/v1/sessions/[id]/events.json", headers=self._access())
            if response.status_code != 200:
                raise VisitFailed(f"the log answered {response.status_code}")
            page = orjson.loads(response.content)
            for event in page["events"]:
                seq = _number(event["id"])
                if seq <= head and (self.habits.by_session or event["data"]["job_id"] == self.job.job_id):
                    yield seq
            if not page["events"]:
                return
            after = _number(page["next_after"])

    def _access(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.job.token}"}


def _number(event_id: str) -> int:
    return int(event_id.rpartition(".")[2])


def _done(snapshot: dict[str, Any]) -> int:
    return sum(stage["done"] for stage in snapshot["stages"].values())
