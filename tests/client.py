"""A client of the gateway's API for tests: it holds no cookies, so that every request shows what lets it in."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import httpx

from tests.contract.wire.api import KINDS, MENU, MENU_TEXT, PROMPT, menu_of
from tests.contract.wire.sse import Frame, StreamReader

__all__ = ["KINDS", "MENU", "MENU_TEXT", "PROMPT", "Client", "SubmittedJob", "menu_of", "wait_for_end"]

# Longer than any wait of the server's own (a heartbeat comes after 15 s): what takes this long hangs.
REQUEST_SECONDS = 40.0
WAIT_SECONDS = 20.0


class Client:
    """Speaks to one gateway."""

    def __init__(self, url: str) -> None:
        # Nothing is verified over plain http, and reading the certificates takes 20 ms.
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_SECONDS, verify=False)
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def get(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """GET, with the token as `Authorization: Bearer`."""
        return self.http.get(path, headers={**_bearer(token), **options.pop("headers", {})}, **options)

    def post(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """POST, with the token as `Authorization: Bearer`."""
        return self.http.post(path, headers={**_bearer(token), **options.pop("headers", {})}, **options)

    def post_job(self, body: Mapping[str, Any], token: str | None = None, key: str | None = None) -> httpx.Response:
        """POST /v1/jobs."""
        return self.post("/v1/jobs", token, json=body, headers={"Idempotency-Key": key} if key else {})

    def submit(self, body: Mapping[str, Any], token: str | None = None) -> "SubmittedJob":
        """Post a job that must be accepted."""
        answer = self.post_job(body, token)
        assert answer.status_code == 202, answer.text
        return SubmittedJob(self, **answer.json())

    @contextmanager
    def stream(
        self, path: str, token: str | None = None, last_event_id: str | None = None, **options: Any
    ) -> Iterator[StreamReader]:
        """Open a stream that must answer 200."""
        headers = {**_bearer(token), **({"Last-Event-ID": last_event_id} if last_event_id is not None else {})}
        with self.http.stream("GET", path, headers=headers, **options) as response:
            if response.status_code != 200:
                response.read()
            assert response.status_code == 200, response.text
            yield StreamReader(response)

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name with its labels."""
        lines = self.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """An accepted job: the members of the 202, and what one asks about it."""

    client: Client
    job_id: str
    session_id: str
    status: str
    session_token: str
    events_url: str
    status_url: str
    cancel_url: str
    head: str

    @property
    def session_url(self) -> str:
        return f"/v1/sessions/{self.session_id}"

    @property
    def epoch(self) -> str:
        return self.head.partition(".")[0]

    def id_of(self, seq: int) -> str:
        """The event id of a number of this session."""
        return f"{self.epoch}.{seq}"

    def snapshot(self) -> dict[str, Any]:
        """GET the job."""
        answer = self.client.get(self.status_url, self.session_token)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def stream(self, last_event_id: str | None = None, **options: Any) -> Any:
        """The job's stream."""
        return self.client.stream(f"{self.status_url}/events", self.session_token, last_event_id, **options)

    def session_stream(self, last_event_id: str | None = None, **options: Any) -> Any:
        """The session's stream."""
        return self.client.stream(f"{self.session_url}/events", self.session_token, last_event_id, **options)

    def read_to_end(self, last_event_id: str | None = None) -> list[Frame]:
        """The durable events of the job's stream, read until the server closes it."""
        with self.stream(last_event_id) as stream:
            frames = stream.read_all()
        assert frames[-1].event == "stream.end", [frame.event for frame in frames[-3:]]
        return list(stream.durable)

    def poll(self, **query: Any) -> httpx.Response:
        """GET the session's log by polling."""
        return self.client.get(f"{self.session_url}/events.json", self.session_token, params=query)

    def session_head(self) -> str:
        """The id of the session's last event."""
        head: str = self.client.get(self.session_url, self.session_token).json()["head"]
        return head

    def cancel(self) -> httpx.Response:
        return self.client.post(self.cancel_url, self.session_token)

    def retry(self, stage: str) -> httpx.Response:
        return self.client.post(f"{self.status_url}/stages/{stage}/retry", self.session_token)


def wait_for_end(job: SubmittedJob) -> dict[str, Any]:
    """The job's snapshot once it has ended, asked for by polling."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (snapshot := job.snapshot())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, f"the job is still {snapshot['status']}: {snapshot['stages']}"
        time.sleep(0.05)
    return snapshot


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token is not None else {}
