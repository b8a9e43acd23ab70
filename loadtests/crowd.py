"""People who submit without a pause, and people who watch what they get."""

import asyncio
import random
from dataclasses import dataclass, field

from loadtests.browser import Browser
from loadtests.orders import make_menu
from loadtests.sessions import Owner, Session

PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser's stay on one stream: a session's (`job_id` None) or a job's."""

    browser: Browser
    session: Session
    job_id: str | None


@dataclass(slots=True)
class Crowd:
    """Everybody who watches, and what they watch. `pause_seconds` lies between two submissions of `dishes` dishes."""

    port: int
    dishes: int
    pause_seconds: float
    sessions: list[Session] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, owner: Owner) -> None:
        """Submit into one session after the other until it is over."""
        while not self.over.is_set():
            for session in self.sessions:
                if self.over.is_set():
                    return
                await owner.submit(session, make_menu(self.dishes, random.randrange(20)))
                await asyncio.sleep(self.pause_seconds)

    async def watch_session(self, session: Session) -> None:
        """Follow a session from its first event until somebody says that it is over."""
        await self._visit(session, None)

    async def watch_jobs(self, session: Session) -> None:
        """Follow the session's newest job to its end, then the next one."""
        watched = ""
        while not self.over.is_set():
            if session.jobs[-1] == watched:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            watched = session.jobs[-1]
            await self._visit(session, watched)

    async def _visit(self, session: Session, job_id: str | None) -> None:
        path = session.stream if job_id is None else session.job_stream(job_id)
        visit = Visit(Browser(self.port, path), session, job_id)
        self.visits.append(visit)
        await visit.browser.follow()
