"""Sessions with jobs, made over HTTP, and their logs read by polling: the truth that streams are held against."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

# A job is submitted again with its key while a gateway restarts.
SUBMIT_TRIES = 40
PAUSE_SECONDS = 0.25
PAGE_EVENTS = 1000
ENDED = frozenset({"completed", "completed_partial", "failed", "cancelled"})


class SessionError(Exception):
    """The gateway did not do what a session needs: an answer of another status, or none in time."""


@dataclass(slots=True)
class Session:
    """What its owner knows: the token, the jobs in the order of their submission, and how many POSTs were repeated."""

    session_id: str = ""
    token: str = ""
    jobs: list[str] = field(default_factory=list)
    retries: int = 0

    @property
    def stream(self) -> str:
        """The path of the session's stream."""
        return f"/v1/sessions/{self.session_id}/events?token={self.token}"

    def job_stream(self, job_id: str) -> str:
        """The path of the stream of one of its jobs."""
        return f"/v1/jobs/{job_id}/events?token={self.token}"


@dataclass(frozen=True, slots=True)
class SessionLog:
    """The whole log of a session: `jobs[seq - 1]` is the job of event `seq`."""

    epoch: str
    jobs: Sequence[str]

    @property
    def head(self) -> int:
        """The number of the last event."""
        return len(self.jobs)

    def numbers(self, job_id: str | None = None) -> list[int]:
        """The numbers of a job's events, or of all."""
        return [seq for seq, owner in enumerate(self.jobs, 1) if job_id in (None, owner)]


class Owner:
    """Submits jobs and reads logs, over a few connections. A submission waits until a server that restarts is back."""

    def __init__(self, port: int) -> None:
        limits = httpx.Limits(max_connections=16)
        url = f"http://127.0.0.1:{port}"
        # Nothing is verified over plain http, and reading the certificates takes 20 ms.
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=30, limits=limits)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(self, session: Session, order: dict[str, Any]) -> str:
        """Submit a job into the session, a new one at first; returns the job's id. Exactly one job comes of it."""
        body = {**order, "session_id": session.session_id} if session.session_id else order
        headers = {"Idempotency-Key": secrets.token_urlsafe(16), **self._bearer(session)}
        for _ in range(SUBMIT_TRIES):
            try:
                answer = await self._http.post("/v1/jobs", json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                accepted = answer.json()
                session.session_id, session.token = accepted["session_id"], accepted["session_token"]
                session.jobs.append(accepted["job_id"])
                return session.jobs[-1]
            if answer is not None and answer.status_code != 503:
                raise SessionError(f"a submission was answered {answer.status_code}: {answer.text[:300]}")
            session.retries += 1
            await asyncio.sleep(PAUSE_SECONDS)
        raise SessionError(f"a submission was not accepted in {SUBMIT_TRIES} tries")

    async def wait_for_end(self, session: Session, seconds: float) -> None:
        """Wait until all jobs of the session have ended."""
        async with asyncio.timeout(seconds):
            for job_id in session.jobs:
                await self._wait_for_job(session, job_id)

    async def _wait_for_job(self, session: Session, job_id: str) -> None:
        while True:
            job = await self._read(session, f"/v1/jobs/{job_id}")
            if job["status"] in ENDED:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def read_head(self, session: Session) -> int:
        """The number of the session's last event."""
        head: str = (await self._read(session, f"/v1/sessions/{session.session_id}"))["head"]
        return int(head.rpartition(".")[2])

    async def read_log(self, session: Session) -> SessionLog:
        """The whole log. Raises SessionError where a number is missing, also at its beginning."""
        jobs: list[str] = []
        while True:
            url = f"/v1/sessions/{session.session_id}/events.json?after={len(jobs)}&limit={PAGE_EVENTS}"
            page = await self._read(session, url)
            for event in page["events"]:
                if event["id"] != f"{page['epoch']}.{len(jobs) + 1}":
                    raise SessionError(f"the log has {event['id']} after number {len(jobs)}")
                jobs.append(event["data"]["job_id"])
            if page["next_after"] == page["head"]:
                if page["head"] != f"{page['epoch']}.{len(jobs)}":
                    raise SessionError(f"the log has nothing after number {len(jobs)}, and its head is {page['head']}")
                return SessionLog(page["epoch"], jobs)

    async def _read(self, session: Session, path: str) -> Any:
        answer = await self._http.get(path, headers=self._bearer(session))
        if answer.status_code != 200:
            raise SessionError(f"{path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _bearer(self, session: Session) -> dict[str, str]:
        self._http.cookies.clear()  # thousands of sessions: their cookies would pile up in every request
        return {"Authorization": f"Bearer {session.token}"} if session.token else {}
