"""Locust's guests for growing load: what `loadtests/locustfile.py` does, with every event timed.

Orders and snapshots go through locust's FastHttpUser. The streams are read from bare sockets: FastHttpUser holds events
back until a block is full, and decoding the JSON of every event would cost more than its delivery. Measured: 3 ms of
processor time for a visit of 115 events, two thirds of them in the stream.
Importing this module makes gevent patch the process: only the client of a step may do so.
"""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import gevent
import orjson
from gevent import socket
from locust import FastHttpUser, between, task

from loadtests.knee.page import Page
from loadtests.knee.tally import Clock, Count, Tally
from loadtests.orders import draw_menu, draw_prompt

READ_BYTES = 262_144
# A poor mobile line: 50 kB/s.
SLOW_READ_BYTES, SLOW_PAUSE_SECONDS, SLOW_BUFFER_BYTES = 1024, 0.02, 4096
# Longer than the heartbeat, so that a stream that says nothing for this long is broken.
SILENCE_SECONDS = 40.0
LONGEST_VISIT_SECONDS = 120.0
LONGEST_PAUSE_MS = 5000
MOST_JOBS_IN_A_SESSION = 5
ENDED = frozenset({"completed", "completed_partial", "failed", "cancelled"})


class VisitFailed(Exception):
    """The visit could not come to its end as the contract says."""


class Guest(FastHttpUser):
    """A browser with one tab. Of the guests, counted in their order:

    every third is on a train: its connection is lost at 5 % of its reads, and resumed with Last-Event-ID (of those,
    every second one then reloads the page instead now and then: `from=snapshot`); every third reads the job's snapshot
    in between; every fourth follows the session and orders again in it; every tenth reads slowly.
    """

    abstract = True
    wait_time = between(0.2, 2)
    connection_timeout = network_timeout = 60.0
    tally: ClassVar[Tally]
    port: ClassVar[int]
    numbers: ClassVar[Iterator[int]]

    def on_start(self) -> None:
        number = next(self.numbers)
        self.drop_chance = 0.05 if number % 3 == 0 else 0.0
        self.reload_chance = 0.2 if number % 6 == 0 else 0.0
        self.peek_chance = 0.05 if number % 3 == 1 else 0.0
        self.by_session = number % 4 == 1
        self.slow = number % 10 == 5
        self._session: tuple[str, str] = ("", "")
        self._page: Page | None = None
        self._jobs = self._head = 0

    def on_stop(self) -> None:
        self._leave()

    @task(4)
    def bring_menu(self) -> None:
        self._visit(draw_menu())

    @task(1)
    def bring_prompt(self) -> None:
        self._visit(draw_prompt())

    def _visit(self, order: dict[str, Any]) -> None:
        # Locust stops whoever waits by an exception, which arrives in the visit when the wait ends in the same moment.
        if self.tally.is_over:
            return
        self.tally.begun += 1
        try:
            accepted, page = self._order(order)
            self._follow(page, accepted["status_url"])
            self._check(page, self._read_snapshot(accepted["status_url"]))
            if not self.by_session or self._jobs >= MOST_JOBS_IN_A_SESSION:
                self._leave()
            self.tally.count(Count.JOBS)
            self.tally.count(Count.SLOW_VISITS, int(self.slow))
        except Exception as error:  # an answer of the wrong shape breaks a promise too
            self.tally.trouble(f"{type(error).__name__}: {error}")
            self._page, self._jobs = None, 0  # without a head there is nothing to hold it against
        self.tally.judged += 1

    def _order(self, order: dict[str, Any]) -> tuple[dict[str, Any], Page]:
        headers = {"Content-Type": "application/json"}
        if self._page is not None:
            order = {**order, "session_id": self._session[0]}
            headers["Authorization"] = f"Bearer {self._session[1]}"
        self.client.cookiejar.clear()  # a new session is a new person; and the header is enough
        sent_at = time.time()
        answer = self.client.post("/v1/jobs", orjson.dumps(order), name=Clock.POST, headers=headers)
        if answer.status_code != 202:
            raise VisitFailed(f"the order was answered {answer.status_code}")
        accepted: dict[str, Any] = orjson.loads(answer.content)
        if self._page is None:
            self._session = (accepted["session_id"], accepted["session_token"])
            path = f"/v1/sessions/{self._session[0]}/events?token={self._session[1]}"
            path = path if self.by_session else accepted["events_url"]
            self._page = Page(path, self.tally, by_session=self.by_session, slow=self.slow)
        self._jobs += 1
        self._page.expect(accepted["job_id"], order["kind"], sent_at)
        return accepted, self._page

    def _follow(self, page: Page, status_url: str) -> None:
        give_up = time.monotonic() + LONGEST_VISIT_SECONDS
        while not page.is_done:
            if time.monotonic() > give_up:
                raise VisitFailed(f"no end within {LONGEST_VISIT_SECONDS:g} s")
            with closing(self._connect()) as line:
                pause_ms = self._read(page, line, status_url)
            if not page.is_done:
                gevent.sleep(min(pause_ms, LONGEST_PAUSE_MS) / 1000)
        if page.failure is not None:
            raise VisitFailed(page.failure)

    def _connect(self) -> socket.socket:
        line = socket.socket()
        line.settimeout(SILENCE_SECONDS)
        if self.slow:  # before the connection: the window is agreed on then
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        line.connect(("127.0.0.1", self.port))
        return line

    def _read(self, page: Page, line: socket.socket, status_url: str) -> int:
        """Read until the connection is over; returns how long the guest waits before the next one, in milliseconds."""
        clock = Clock.RESUMED if page.epoch else Clock.OPENED
        began = time.perf_counter()
        line.sendall(page.begin())
        first = True
        while not page.is_done and not page.is_closed:
            data = line.recv(SLOW_READ_BYTES if self.slow else READ_BYTES)
            if first and not self.slow:
                self.tally.time(clock, (time.perf_counter() - began) * 1000)
            first = False
            if not data:
                break
            if random.random() < self.drop_chance:
                # A network drops in the middle of a frame as well.
                page.feed(data[: random.randrange(len(data) + 1)])
                self.tally.count(Count.DROPS)
                if not page.by_session and random.random() < self.reload_chance:
                    self.tally.count(Count.RELOADS)
                    page.reload()
                return random.choice([0, 50, 500])
            page.feed(data)
            if random.random() < self.peek_chance:
                self._read_snapshot(status_url)
            if self.slow:
                gevent.sleep(SLOW_PAUSE_SECONDS)
        return page.pause_ms

    def _read_snapshot(self, status_url: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._session[1]}"}
        answer = self.client.get(status_url, name=Clock.SNAPSHOT, headers=headers)
        if answer.status_code != 200:
            raise VisitFailed(f"the snapshot was answered {answer.status_code}")
        snapshot: dict[str, Any] = orjson.loads(answer.content)
        return snapshot

    def _check(self, page: Page, snapshot: dict[str, Any]) -> None:
        self._head = int(snapshot["head"].rpartition(".")[2])
        if snapshot["status"] not in ENDED or page.ended not in {None, "204", snapshot["status"]}:
            raise VisitFailed(f"the stream ended {page.ended}, the snapshot says {snapshot['status']}")
        done = sum(stage["done"] for stage in snapshot["stages"].values())
        if not page.reloaded and page.results != done:
            self.tally.trouble(f"{page.results} results came, the snapshot has {done}")

    def _leave(self) -> None:
        """Hold everything that the page received against the session's log, 1 to its head, and close it."""
        page, self._page, self._jobs = self._page, None, 0
        if page is None:
            return
        # Nobody else orders in this session, so its log is its jobs' events: on the job's own stream as well.
        self.tally.judge(page.check(range(1, self._head + 1)))
        if page.resets or page.unproven:
            self.tally.trouble(f"{page.resets} resets, {page.unproven} heads of events that had not come")


def make_guests(tally: Tally, port: int) -> type[Guest]:
    """The guests of one step."""
    return type("Visitor", (Guest,), {"tally": tally, "port": port, "numbers": itertools.count()})
