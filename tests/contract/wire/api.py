"""The server under test and its jobs, over HTTP alone. No cookies are kept: every request shows what lets it in."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self

import httpx

from .sse import Frame, StreamReader

REQUEST_SECONDS = 15.0
# For a job of three dishes, which an idle server ends within a tenth of a second.
END_SECONDS = 30.0

JSON_HEADERS = {"Content-Type": "application/json"}
MENU: dict[str, Any] = {
    "kind": "menu",
    "target_language": "en",
    "items": [
        {"name": "親子丼", "price": "¥980", "category": "丼物"},
        {"name": "サーモンアボカド丼", "price": "1,280円"},
        {"name": "Zzyzx Qwrt"},
    ],
}
MENU_TEXT: dict[str, Any] = {
    "kind": "menu",
    "target_language": "en",
    "text": "丼物\n親子丼 ¥980\nカツ丼 ¥1,080\n\n麺類\n天ぷらうどん 1,100円(税込)\nざるそば ¥850",
}
PROMPT: dict[str, Any] = {
    "kind": "prompt",
    "title": "Support reply",
    "target_language": "ja",
    "content": "You are a support agent. Answer {{customer_name}} about {{topic}} in at most 100 words.",
    "test_cases": [
        {
            "name": "names the customer",
            "variables": {"customer_name": "Ada", "topic": "refunds"},
            "assertions": [{"type": "contains", "value": "Ada"}, {"type": "not_contains", "value": "{{"}],
        }
    ],
}
KINDS: dict[str, dict[str, Any]] = {"menu as items": MENU, "menu as text": MENU_TEXT, "prompt": PROMPT}


def menu_of(dishes: int) -> dict[str, Any]:
    """A menu with so many dishes."""
    return {"kind": "menu", "target_language": "en", "items": [{"name": f"Dish {n}"} for n in range(dishes)]}


class Server:
    """One server that speaks the contract."""

    def __init__(self, url: str, heartbeat_seconds: float | None = None) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        # Nothing is verified over plain http, and reading the certificates takes 20 ms.
        verify = url.startswith("https:")
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_SECONDS, verify=verify)
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer that is no stream; a stream fails at once, because reading one may never end."""
        with self.http.stream(method, path, **options) as response:
            is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
            assert not is_stream or method == "HEAD", f"{method} {path} answered a stream"
            response.read()
        return response

    def get(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """GET, with the token as `Authorization: Bearer`."""
        return self.request("GET", path, headers={**_bearer(token), **options.pop("headers", {})}, **options)

    def post(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        """POST, with the token as `Authorization: Bearer`."""
        return self.request("POST", path, headers={**_bearer(token), **options.pop("headers", {})}, **options)

    def post_job(self, body: Mapping[str, Any], token: str | None = None, key: str | None = None) -> httpx.Response:
        """POST /v1/jobs."""
        return self.post("/v1/jobs", token, json=body, headers={"Idempotency-Key": key} if key else {})

    def submit(self, body: Mapping[str, Any], token: str | None = None) -> "Job":
        """Post a job that must be accepted."""
        answer = self.post_job(body, token)
        assert answer.status_code == 202, answer.text
        return Job(self, **answer.json())

    @contextmanager
    def stream(
        self, path: str, token: str | None = None, last_event_id: str | None = None, **options: Any
    ) -> Iterator[StreamReader]:
        """Open a stream that must answer 200."""
        position = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        headers = {**_bearer(token), **position, **options.pop("headers", {})}
        with self.http.stream("GET", path, headers=headers, **options) as response:
            if response.status_code != 200:
                response.read()
                raise AssertionError(f"{path} answered {response.status_code}: {response.text}")
            yield StreamReader(response)


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted job: the members of the 202 and no others, and what one asks about it."""

    server: Server
    job_id: str
    session_id: str
    status: str
    session_token: str
    events_url: str
    status_url: str
    cancel_url: str
    head: str

    @property
    def stream_url(self) -> str:
        return f"{self.status_url}/events"

    @property
    def session_url(self) -> str:
        return f"/v1/sessions/{self.session_id}"

    @property
    def epoch(self) -> str:
        return self.head.partition(".")[0]

    def id_of(self, seq: int) -> str:
        """The event id of a number of this session."""
        return f"{self.epoch}.{seq}"

    def add(self, body: Mapping[str, Any]) -> "Job":
        """Another job of the same session."""
        return self.server.submit({**body, "session_id": self.session_id}, self.session_token)

    def snapshot(self) -> dict[str, Any]:
        """GET the job."""
        return self._body(self.status_url)

    def session(self) -> dict[str, Any]:
        """GET the session."""
        return self._body(self.session_url)

    def _body(self, url: str) -> dict[str, Any]:
        answer = self.server.get(url, self.session_token)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def stream(self, last_event_id: str | None = None, **options: Any) -> Any:
        """The job's stream."""
        return self.server.stream(self.stream_url, self.session_token, last_event_id, **options)

    def session_stream(self, last_event_id: str | None = None, **options: Any) -> Any:
        """The session's stream."""
        return self.server.stream(f"{self.session_url}/events", self.session_token, last_event_id, **options)

    def read_to_end(self, last_event_id: str | None = None) -> list[Frame]:
        """The durable events of the job's stream, read until the server closes it after `stream.end`.

        A server closes a connection that has reached its age; then this comes back from the last id, as a client does.
        """
        events: list[Frame] = []
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            with self.stream(events[-1].id if events else last_event_id) as stream:
                frames = stream.read_all()
            events += stream.durable
            if frames[-1].event == "stream.end":
                return events
        raise AssertionError(f"the job did not end within {END_SECONDS:g} s: {self.snapshot()['stages']}")

    def poll(self, **query: Any) -> httpx.Response:
        """GET the session's log by polling."""
        return self.server.get(f"{self.session_url}/events.json", self.session_token, params=query)

    def cancel(self) -> httpx.Response:
        return self.server.post(self.cancel_url, self.session_token)

    def retry(self, stage: str) -> httpx.Response:
        return self.server.post(f"{self.status_url}/stages/{stage}/retry", self.session_token)


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token is not None else {}
