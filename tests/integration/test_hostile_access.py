"""Whoever holds no right token sees what they would see if nothing were there; and no token reaches a log."""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.client import MENU, Client, SubmittedJob
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.raw_http import RawAnswer, RawConnection

NOWHERE = "0" * 26
PLACES = (
    ("GET", "/v1/jobs/{job}"),
    ("GET", "/v1/jobs/{job}/events"),
    ("HEAD", "/v1/jobs/{job}/events"),
    ("POST", "/v1/jobs/{job}/cancel"),
    ("POST", "/v1/jobs/{job}/stages/price/retry"),
    ("GET", "/v1/sessions/{session}"),
    ("GET", "/v1/sessions/{session}/events"),
    ("HEAD", "/v1/sessions/{session}/events"),
    ("GET", "/v1/sessions/{session}/events.json"),
)


@pytest.fixture
def talkative_gateway(start_gateway: StartGateway) -> GatewayProcess:
    """Writes everything that it can into its log."""
    return start_gateway(TELEMETRY__LOG_LEVEL="debug", HTTP__REQUEST_TIMEOUT_SECONDS="1")


@pytest.fixture
def raw(gateway_on_each_database: GatewayProcess) -> Iterator[RawConnection]:
    with RawConnection(gateway_on_each_database.url) as connection:
        yield connection


def forged_tokens(job: SubmittedJob, other: SubmittedJob) -> dict[str, str]:
    """Tokens that are not the job's, by what they are."""
    right = job.session_token
    random = base64.urlsafe_b64encode(secrets.token_bytes(20)).rstrip(b"=").decode()
    return {
        "another session's": other.session_token,
        "of the right shape": random,
        "all of one letter": "A" * len(right),
        "with its last letter changed": right[:-2] + ("A" if right[-2] != "A" else "B") + right[-1],
        "without its last letter": right[:-1],
        "twice": right + right,
        "in the other case": right.swapcase(),
        "padded": right + "=",
        "in the other alphabet": right.replace("-", "+").replace("_", "/") + "+/",
        "with a NUL": right + "%00",
        "its session's id": job.session_id,
        "its job's id": job.job_id,
        "a word": "null",
        "a star": "*",
        "10,000 letters": right * 370,
        "not ASCII": "\xe9\xff",
    }


def wrong_places(job: SubmittedJob, other: SubmittedJob) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The right token where it does not count: what follows the path, and the headers."""
    right = job.session_token
    basic = base64.b64encode(f"{job.session_id}:{right}".encode()).decode()
    return {
        "nowhere": ("", ()),
        "as another's cookie": ("", (f"Cookie: stagecast_{other.session_id}={right}",)),
        "another session's cookie": ("", (f"Cookie: stagecast_{other.session_id}={other.session_token}",)),
        "under another name": ("", (f"Cookie: {job.session_id}={right}; token={right}; session_token={right}",)),
        "another's under its name": ("", (f"Cookie: stagecast_{job.session_id}={other.session_token}",)),
        "as a password": ("", (f"Authorization: Basic {basic}",)),
        "without a scheme": ("", (f"Authorization: {right}",)),
        "as another scheme": ("", (f"Authorization: Token {right}",)),
        "in a header of its own": ("", (f"X-Token: {right}", f"Token: {right}", f"X-Session-Token: {right}")),
        "as the position": ("", (f"Last-Event-ID: {right}",)),
        "in another field": (f"?access_token={right}&session_token={right}&Token={right}", ()),
        "in a field of a field": (f"?x=%26token={right}", ()),
        "in the fragment": (f"#?token={right}", ()),
        "behind another question mark": (f"?a=b?token={right}", ()),
        "with a space": (f"?token=%20{right}%00", ()),
        "in a path": (f"/{right}", ()),
        "as a referrer": ("", (f"Referer: http://x/?token={right}",)),
    }


@pytest.mark.parametrize(("method", "place"), PLACES)
def test_every_wrong_token_gets_the_answer_of_what_is_not_there(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client, method: str, place: str
) -> None:
    job, other = client.submit(MENU), client.submit(MENU)
    events = job.read_to_end()
    path = place.format(job=job.job_id, session=job.session_id)
    nothing = raw.request(method, place.format(job=NOWHERE, session=NOWHERE))
    assert nothing.status == 404

    answers: dict[str, RawAnswer] = {}
    for what, token in forged_tokens(job, other).items():
        answers[f"{what}, as bearer"] = raw.request(method, path, f"Authorization: Bearer {token}")
        answers[f"{what}, as cookie"] = raw.request(method, path, f"Cookie: stagecast_{job.session_id}={token}")
        query = token.replace("\xe9\xff", "%C3%A9")
        answers[f"{what}, in the query"] = raw.request(method, f"{path}?token={query}")
    for where, (suffix, headers) in wrong_places(job, other).items():
        answers[where] = raw.request(method, path + suffix, *headers)
    for what, answer in answers.items():
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json"), what
        if what != "in a path":
            assert answer.body == nothing.body, what
            assert set(answer.headers) == set(nothing.headers), what
    assert job.poll(limit=1000).json()["events"][-1]["id"] == events[-1].id, "the log moved"


def test_nobody_adds_a_job_with_a_wrong_token(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client
) -> None:
    job, other = client.submit(MENU), client.submit(MENU)
    events = job.read_to_end()

    def post(session_id: str, suffix: str, *headers: str) -> RawAnswer:
        body = json.dumps({**MENU, "session_id": session_id}).encode()
        return raw.request("POST", f"/v1/jobs{suffix}", *headers, f"Content-Length: {len(body)}", body=body)

    nothing = post(NOWHERE, "")
    assert nothing.status == 404
    answers = [
        post(job.session_id, "", f"Authorization: Bearer {token}", "Idempotency-Key: a")
        for token in forged_tokens(job, other).values()
    ]
    answers += [
        post(job.session_id, suffix, *headers)
        for where, (suffix, headers) in wrong_places(job, other).items()
        if where != "in a path"
    ]
    for answer in answers:
        assert (answer.status, answer.body) == (404, nothing.body)
        assert "set-cookie" not in answer.headers
    assert job.poll(limit=1000).json()["events"][-1]["id"] == events[-1].id, "the log moved"


def test_of_two_tokens_one_right_one_is_enough_or_none_counts(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client
) -> None:
    job, other = client.submit(MENU), client.submit(MENU)
    right, wrong = job.session_token, other.session_token
    nothing = raw.request("GET", f"/v1/jobs/{NOWHERE}")
    for query in (f"token={right}&token={wrong}", f"token={wrong}&token={right}", f"token={right}&token="):
        answer = raw.request("GET", f"{job.status_url}?{query}")
        assert answer.status == 200 or (answer.status, answer.body) == (404, nothing.body)
    for first, second in ((right, wrong), (wrong, right)):
        answer = raw.request("GET", job.status_url, f"Authorization: Bearer {first}", f"Authorization: Bearer {second}")
        assert answer.status == 200 or (answer.status, answer.body) == (404, nothing.body)
    both = raw.request("GET", f"{job.status_url}?token={right}", f"Authorization: Bearer {wrong}")
    assert both.status == 200


def test_no_token_reaches_the_log_however_the_request_breaks(talkative_gateway: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    token = job.session_token
    query, bearer = f"?token={token}", f"Authorization: Bearer {token}"
    good_targets = (
        f"{job.status_url}/events{query}&last_event_id=x",
        f"{job.status_url}/nowhere{query}",
        f"/v1/jobs/{token}{query}",
        f"/{token}",
        f"/static/{token}{query}",
        f"{job.session_url}/events.json{query}&limit={token}&after={token}",
    )
    with RawConnection(talkative_gateway.url) as connection:
        for target in good_targets:
            for method in ("GET", "POST", "PUT", "OPTIONS"):
                connection.request(method, target, bearer, f"Cookie: stagecast_{job.session_id}={token}")
        body = json.dumps({**MENU, "session_id": token, "token": token, token: token}).encode()
        assert connection.request("POST", "/v1/jobs", bearer, f"Content-Length: {len(body)}", body=body).status == 400
        large = connection.request("POST", f"/v1/jobs{query}", bearer, "Content-Length: 2000000")
        assert large.status == 413
    broken = (
        f"GET {job.status_url}{query} HTTP/9.9\r\n{bearer}\r\n\r\n",
        f"GET {job.status_url}{query} x HTTP/1.1\r\n{bearer}\r\n\r\n",
        f"GET {job.status_url}{query} HTTP/1.1\r\n{bearer}\x00\r\n\r\n",
        f"GET {job.status_url}{query} HTTP/1.1\r\n {bearer}\r\n\r\n",
        f"GET {job.status_url}{query} HTTP/1.1\r\n{bearer}\r\nX: {token * 3_000}\r\n\r\n",
        f"POST /v1/jobs{query} HTTP/1.1\r\n{bearer}\r\nContent-Length: x\r\n\r\n{token}",
        f"POST /v1/jobs{query} HTTP/1.1\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n{token}",
        f"POST /v1/jobs{query} HTTP/1.1\r\n{bearer}\r\nContent-Length: 500\r\n\r\n{token}",
        f"GET {job.status_url}{query} HTTP/1.1\r\n{bearer}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{token}",
        f"{token}\r\n\r\n",
    )
    with ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(talkative_gateway.url)) for _ in broken]
        for connection, request in zip(connections, broken, strict=True):
            connection.send(request.encode("latin-1"))
        for connection in connections:
            assert connection.read_answer().status in (200, 400, 404, 408, 431)
    written = talkative_gateway.read_log()
    assert '"level": "debug"' in written, "it writes what it can"
    assert token not in written
    assert token[1:] not in written
