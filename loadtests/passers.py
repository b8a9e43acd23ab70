"""People who come and go: they join a session, drop, resume, read nothing, come back after the log was trimmed.

Every visit is checked when it ends: against the head that the session has then, or the log of the job. Nothing is kept
of a visit but its figures, so that the program can run for hours.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from loadtests.browser import Browser
from loadtests.orders import make_menu
from loadtests.sessions import Owner, Session, SessionError
from tests.waiting import wait_for

JOBS_PER_SESSION = 6
# A session this old may have been trimmed: whoever comes for the first time then starts with a snapshot.
FRESH_SECONDS = 20.0
SHORTEST_VISIT_SECONDS, LONGEST_VISIT_SECONDS = 3.0, 25.0
CATCH_UP_SECONDS = 60.0
DROP_CHANCE = 0.35
# Some leave early and come back after the log was trimmed: so many, one in so many, are some minutes of visits.
MOST_REMEMBERED = 200
REMEMBERED_CHANCE = 0.05
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stood when leaving; `job_id` None: on the session's stream."""

    session: Session
    job_id: str | None
    position: str


@dataclass(slots=True)
class Town:
    """The sessions that are alive, the places that people remember, and the figures of all visits so far."""

    port: int
    owner: Owner
    dishes: int
    most_sessions: int
    sessions: list[tuple[float, Session]] = field(default_factory=list)
    remembered: deque[Place] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, pause_seconds: float) -> None:
        """Submit jobs until it is over; a session that has had its share makes room for a new one."""
        while not self.over.is_set():
            if len(self.sessions) < self.most_sessions:
                session = Session()
                await self.owner.submit(session, make_menu(self.dishes))
                self.sessions.append((time.monotonic(), session))
            else:
                chosen = random.choice(self.sessions)
                await self.owner.submit(chosen[1], make_menu(self.dishes, random.randrange(20)))
                if len(chosen[1].jobs) >= JOBS_PER_SESSION:
                    self.sessions.remove(chosen)
            self.counts["jobs"] += 1
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause_seconds)

    async def pass_by(self) -> None:
        """One person, visit after visit, until it is over."""
        while not self.over.is_set():
            visit = random.choices([self._follow, self._return, self._stare], [6, 3, 1])[0]
            try:
                await visit()
            except (SessionError, TimeoutError, OSError) as error:
                self._trouble(f"{type(error).__name__}: {error}")

    async def _follow(self) -> None:
        """Follow a session or its newest job from its first event, or from a snapshot when it is no longer fresh."""
        born, session = random.choice(self.sessions)
        job_id = session.jobs[-1] if random.random() < 0.4 else None
        late = time.monotonic() - born > FRESH_SECONDS
        await self._visit(Place(session, job_id, ""), from_snapshot=late or random.random() < 0.2)

    async def _return(self) -> None:
        """Come back to where somebody left, perhaps long ago."""
        if self.remembered:
            await self._visit(random.choice(self.remembered), from_snapshot=False)
        else:
            await asyncio.sleep(1)

    async def _stare(self) -> None:
        """Open a stream and read nothing."""
        _, session = random.choice(self.sessions)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, starer = await loop.create_connection(lambda: _Starer(session.stream), "127.0.0.1", self.port)
        await self._stay()
        starer.leave()
        self.counts["visits that read nothing"] += 1

    async def _visit(self, place: Place, from_snapshot: bool) -> None:
        session, job_id = place.session, place.job_id
        path = session.stream if job_id is None else session.job_stream(job_id)
        browser = Browser(self.port, path + ("&from=snapshot" if from_snapshot else ""), place.position)
        following = asyncio.create_task(browser.follow())
        try:
            await self._stay(browser)
            if job_id is None:
                await self._check_session(session, browser)
            else:
                await self._check_job(session, job_id, browser)
        finally:
            browser.leave()
            await following
        self._count(browser)
        if browser.epoch and (random.random() < REMEMBERED_CHANCE or not self.remembered):
            left_at = random.choice([browser.last, random.randint(0, browser.last)])
            self.remembered.append(Place(session, job_id, f"{browser.epoch}.{left_at}"))

    async def _stay(self, browser: Browser | None = None) -> None:
        until = time.monotonic() + random.uniform(SHORTEST_VISIT_SECONDS, LONGEST_VISIT_SECONDS)
        while time.monotonic() < until and not self.over.is_set() and not (browser and browser.over):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), random.uniform(0.5, 3))
            if browser is not None and random.random() < DROP_CHANCE:
                browser.drop()

    async def _check_session(self, session: Session, browser: Browser) -> None:
        head = await self.owner.read_head(session)
        await self._wait_until(browser, lambda: browser.last >= head, f"session {session.session_id} at {head}")
        # Contiguous up to there. Nobody who comes without a position comes after a trim, so that 1 is the first.
        self._take(browser, range(1, max(head, browser.last) + 1))

    async def _check_job(self, session: Session, job_id: str, browser: Browser) -> None:
        await self._wait_until(browser, lambda: browser.ended is not None, f"the end of job {job_id}")
        try:
            log = await self.owner.read_log(session)
        except SessionError:  # trimmed in the meantime: there is nothing to compare with
            self.counts["visits not compared: the log was trimmed"] += 1
            return
        self._take(browser, log.numbers(job_id))

    async def _wait_until(self, browser: Browser, condition: Callable[[], bool], what: str) -> None:
        try:
            await wait_for(lambda: condition() or browser.over, CATCH_UP_SECONDS)
        except TimeoutError:
            self._trouble(f"at {browser.last} and not at {what} within {CATCH_UP_SECONDS:g} s")

    def _take(self, browser: Browser, numbers: Iterable[int]) -> None:
        broken = browser.check(numbers)
        self.counts["visits checked"] += 1
        for kind in ("lost", "doubled", "reordered", "foreign"):
            self.counts[kind] += getattr(broken, kind)

    def _count(self, browser: Browser) -> None:
        if browser.failure is not None:
            self._trouble(browser.failure)
        self.counts["visits"] += 1
        self.counts["connections"] += browser.connections
        self.counts["resets"] += browser.resets
        self.counts["unproven"] += browser.unproven
        for parting in browser.partings:
            self.counts[f"parting: {parting.kind}"] += 1

    def _trouble(self, text: str) -> None:
        self.counts["troubles"] += 1
        if len(self.troubles) < 20:
            self.troubles.append(text[:300])


class _Starer(asyncio.Protocol):
    """A connection whose answer nobody reads: the kernel's buffers fill, then the gateway's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % self._path.encode())
        self._transport.pause_reading()

    def leave(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()
