"""Guests who submit menus and prompts, watch them live, drop, resume, and count what was lost (README.md).

`requests` with `iter_content(chunk_size=None)` and not `FastHttpUser`: that one reads in blocks of 1024 bytes, so that
an event waits for the next ones and the latencies are wrong.
"""

import random
import time
from typing import Any

from locust import HttpUser, between, events, task
from locust.env import Environment

from loadtests.ledger import Irregularities
from loadtests.orders import draw_menu, draw_prompt
from loadtests.visit import Habits, Submitted, Visit

BROKEN = ("lost events", "doubled events", "reordered events", "foreign events", "visit failed")
CHECKED = "jobs checked"
MOST_JOBS_IN_A_SESSION = 5


class Guest(HttpUser):
    """A browser with one tab open at a time."""

    host = "http://127.0.0.1:8000"
    wait_time = between(0.2, 2)

    def on_start(self) -> None:
        self._session: Submitted | None = None
        self._jobs_in_session = 0

    @task(4)
    def bring_menu(self) -> None:
        self._visit(draw_menu())

    @task(1)
    def bring_prompt(self) -> None:
        self._visit(draw_prompt())

    def _visit(self, order: dict[str, Any]) -> None:
        job = self._submit(order)
        if job is None:
            return
        try:
            broken = Visit(self.client, job, draw_habits(), self._measure).follow()
        except Exception as error:  # an answer of the wrong shape breaks a promise too
            self._report("visit failed", error)
            return
        report_broken(self.environment, broken)
        self._measure(CHECKED, (time.monotonic() - job.sent_at) * 1000)

    def _submit(self, order: dict[str, Any]) -> Submitted | None:
        headers = {}
        session = self._session
        if session is not None and self._jobs_in_session < MOST_JOBS_IN_A_SESSION and random.random() < 0.4:
            order = {**order, "session_id": session.session_id}
            headers["Authorization"] = f"Bearer {session.token}"
        else:
            self._jobs_in_session = 0
            # A new session is a new person: without this the cookies of all sessions would pile up.
            self.client.cookies.clear()
        sent_at = time.monotonic()
        response = self.client.post("/v1/jobs", json=order, headers=headers, timeout=30)
        if response.status_code != 202:
            return None
        body = response.json()
        self._jobs_in_session += 1
        self._session = job = Submitted(
            body["job_id"],
            body["session_id"],
            body["session_token"],
            body["events_url"],
            body["status_url"],
            sent_at,
            alone=self._jobs_in_session == 1,
        )
        return job

    def _measure(self, name: str, milliseconds: float) -> None:
        report(self.environment, name, milliseconds)

    def _report(self, name: str, error: Exception) -> None:
        report(self.environment, name, 0, error)


def draw_habits() -> Habits:
    """Most guests stay on the line; every third is on a train."""
    return Habits(
        by_session=random.random() < 0.25,
        from_snapshot=random.random() < 0.15,
        drop_chance=random.choice([0, 0, 0.1]),
        peek_chance=random.choice([0, 0, 0.05]),
    )


def report(environment: Environment, name: str, milliseconds: float, error: Exception | None = None) -> None:
    """Give a measurement to locust's statistics; with an error it counts as a failure, on any worker."""
    environment.events.request.fire(  # type: ignore[no-untyped-call]
        request_type="SSE", name=name, response_time=milliseconds, response_length=0, exception=error, context={}
    )


def report_broken(environment: Environment, broken: Irregularities) -> None:
    """One failure for each event that broke a promise."""
    for kind in ("lost", "doubled", "reordered", "foreign"):
        for _ in range(getattr(broken, kind)):
            report(environment, f"{kind} events", 0, AssertionError(f"{kind} event"))


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: Any) -> None:
    """The run fails when a promise was broken, and when nothing was checked at all."""
    counts = {name: environment.stats.get(name, "SSE").num_failures for name in BROKEN}
    checked = environment.stats.get(CHECKED, "SSE").num_requests
    print(f"{CHECKED}: {checked}; " + "; ".join(f"{name}: {count}" for name, count in counts.items()))
    if any(counts.values()) or not checked:
        environment.process_exit_code = 1
