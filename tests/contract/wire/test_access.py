"""Whoever holds a session's token may read it and add to it; for everybody else it does not exist."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .api import MENU, REQUEST_SECONDS, Job, Server
from .log_rules import check_ids, check_job

GET, POST = "GET", "POST"
PLACES = (
    (GET, "/v1/jobs/{job}"),
    (GET, "/v1/jobs/{job}/events"),
    (POST, "/v1/jobs/{job}/cancel"),
    (POST, "/v1/jobs/{job}/stages/translation/retry"),
    (POST, "/v1/jobs/{job}/stages/no-such-stage/retry"),
    (GET, "/v1/sessions/{session}"),
    (GET, "/v1/sessions/{session}/events"),
    (GET, "/v1/sessions/{session}/events.json"),
)
NOWHERE = "0" * 26


def by_bearer(job: Job, token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}".strip()}}


def by_lower_case_bearer(job: Job, token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"bearer {token}".strip()}}


def by_cookie(job: Job, token: str) -> dict[str, Any]:
    return {"headers": {"Cookie": f"other=1; stagecast_{job.session_id}={token}"}}


def by_query(job: Job, token: str) -> dict[str, Any]:
    return {"params": {"token": token}}


Way = Callable[[Job, str], dict[str, Any]]
WAYS: tuple[Way, ...] = (by_bearer, by_lower_case_bearer, by_cookie, by_query)


@pytest.mark.parametrize("way", WAYS)
def test_the_token_opens_its_session_in_every_form(server: Server, way: Way) -> None:
    job = server.submit(MENU)
    job.read_to_end()
    options = way(job, job.session_token)
    for url in (job.status_url, job.session_url, f"{job.session_url}/events.json"):
        answer = server.get(url, **options)
        assert answer.status_code == 200, f"{url}: {answer.text}"
    with server.http.stream(GET, f"{job.status_url}/events", **options) as response:
        assert response.status_code == 200


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_without_its_token_a_session_answers_as_if_it_did_not_exist(server: Server, method: str, path: str) -> None:
    job, other = server.submit(MENU), server.submit(MENU)
    url = path.format(job=job.job_id, session=job.session_id)
    nothing = server.request(method, path.format(job=NOWHERE, session=NOWHERE))
    wrong = job.session_token[:-1] + ("A" if job.session_token[-1] != "A" else "B")
    refused = [server.request(method, url)]
    for token in (other.session_token, wrong, job.session_token + "A", "", "é", job.session_id):
        for way in WAYS:
            options = way(job, token)
            headers = {name: value.encode("latin-1") for name, value in options.pop("headers", {}).items()}
            refused.append(server.request(method, url, headers=headers, **options))

    assert nothing.status_code == 404
    assert nothing.headers["content-type"] == "application/problem+json"
    for answer in refused:
        assert (answer.status_code, answer.content) == (404, nothing.content)
        assert "set-cookie" not in answer.headers
    events = job.read_to_end()
    check_ids(events)
    check_job(events, "menu")
    assert events[-1].event == "job.completed", "nothing was cancelled"
    session = job.session()
    assert session["head"] == events[-1].id, "nothing was added to the log"
    assert [one["job_id"] for one in session["jobs"]] == [job.job_id]


@pytest.mark.parametrize("token", ["none", "another's"])
def test_nobody_else_adds_a_job_to_a_session(server: Server, token: str) -> None:
    job, other = server.submit(MENU), server.submit(MENU)
    job.read_to_end()
    before = job.session()["head"]
    body = {**MENU, "session_id": job.session_id}
    answer = server.post_job(body, None if token == "none" else other.session_token)

    assert answer.status_code == 404
    for nowhere in (NOWHERE, "../etc", "", job.session_id.upper(), "é"):
        unknown = server.post_job({**MENU, "session_id": nowhere}, other.session_token)
        assert (unknown.status_code, unknown.content) == (404, answer.content)
    assert job.session()["head"] == before


def test_a_browser_keeps_the_cookies_of_its_newest_sessions_only(server: Server) -> None:
    browser = httpx.Client(base_url=server.http.base_url, trust_env=False, timeout=REQUEST_SECONDS)
    body = {"kind": "menu", "items": [{"name": "x"}]}
    with browser:
        jobs = [browser.post("/v1/jobs", json=body).json() for _ in range(20)]
        kept = {name for name in browser.cookies if name.startswith("stagecast_")}
        assert kept == {f"stagecast_{job['session_id']}" for job in jobs[-16:]}
        assert browser.get(jobs[-1]["status_url"]).status_code == 200
        assert browser.get(jobs[0]["status_url"]).status_code == 404


def test_a_job_for_the_oldest_kept_session_leaves_its_cookie_alone(server: Server) -> None:
    body = {"kind": "menu", "items": [{"name": "x"}]}
    with httpx.Client(base_url=server.http.base_url, trust_env=False, timeout=REQUEST_SECONDS) as browser:
        jobs = [browser.post("/v1/jobs", json=body).json() for _ in range(16)]
        again = browser.post("/v1/jobs", json={**body, "session_id": jobs[0]["session_id"]})

        assert again.status_code == 202
        assert all(browser.get(job["status_url"]).status_code == 200 for job in jobs)


def test_foreign_cookies_with_our_prefix_do_not_break_a_submission(server: Server) -> None:
    foreign = "; ".join(f"stagecast_/{number}=x" for number in range(20))
    answer = server.post("/v1/jobs", json={"kind": "menu", "items": [{"name": "x"}]}, headers={"Cookie": foreign})

    assert answer.status_code == 202
    assert "stagecast_/" not in ", ".join(answer.headers.get_list("set-cookie"))


def test_a_broken_cookie_header_lets_nobody_in_and_breaks_nothing(server: Server) -> None:
    job = server.submit(MENU)
    for cookie in ("=;;;", "stagecast_", f"stagecast_{job.session_id}", 'a="', "x" * 4000, "a=b\x80"):
        answer = server.get(job.status_url, headers={"Cookie": cookie.encode("latin-1")})
        assert answer.status_code == 404, cookie
    good = f"stagecast_{job.session_id}={job.session_token}"
    for cookie in (f"a b=1; {good}", f'json={{"a":1}}; {good}', f"ключ=1; {good}"):
        answer = server.get(job.status_url, headers={"Cookie": cookie.encode()})
        assert answer.status_code == 200, f"another application's cookie must not hide ours: {cookie}"
