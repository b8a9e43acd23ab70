"""A submission that is sent twice with the same Idempotency-Key is one job."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from tests.client import MENU, PROMPT, Client
from tests.gateway_process import GatewayProcess


def test_the_same_key_and_body_give_the_same_job_again(gateway: GatewayProcess, client: Client) -> None:
    key = secrets.token_hex(8)
    first = client.post_job(MENU, key=key)
    second = client.post_job(MENU, key=key)

    assert first.status_code == second.status_code == 202
    changing = {"status": None, "head": None}
    assert {**second.json(), **changing} == {**first.json(), **changing}
    assert second.headers["location"] == first.headers["location"]
    job = client.get(f"/v1/sessions/{first.json()['session_id']}", first.json()["session_token"]).json()
    assert len(job["jobs"]) == 1


def test_the_same_key_after_the_job_has_ended_still_finds_it(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    key = secrets.token_hex(8)
    job = client.submit(MENU)
    body = {**MENU, "session_id": job.session_id}
    first = client.post_job(body, job.session_token, key).json()
    with client.stream(first["events_url"]) as stream:
        events = stream.read_until("stream.end")[:-1]
    again = client.post_job(body, job.session_token, key)

    assert again.status_code == 202
    assert again.json() == {**first, "status": "completed", "head": events[-1].id}


def test_the_same_key_with_another_body_is_a_conflict(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    key = secrets.token_hex(8)
    job = client.submit(MENU)
    client.post_job({**MENU, "session_id": job.session_id}, job.session_token, key)
    answer = client.post_job({**PROMPT, "session_id": job.session_id}, job.session_token, key)

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/idempotency-mismatch"
    assert len(client.get(job.session_url, job.session_token).json()["jobs"]) == 2


def test_a_key_is_known_only_within_its_session(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    key = secrets.token_hex(8)
    one, two = client.submit(MENU), client.submit(MENU)
    answers = [
        client.post_job({**MENU, "session_id": job.session_id}, job.session_token, key).json() for job in (one, two)
    ]
    outside = client.post_job(MENU, key=key).json()

    assert len({answer["job_id"] for answer in answers} | {outside["job_id"]}) == 3
    assert [answer["session_id"] for answer in answers] == [one.session_id, two.session_id]


def test_without_a_key_the_same_body_is_another_job(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    assert client.submit(MENU).job_id != client.submit(MENU).job_id


def test_ten_posts_at_the_same_time_with_the_same_key_make_one_job(gateway: GatewayProcess, client: Client) -> None:
    key = secrets.token_hex(8)
    session = client.submit(PROMPT)
    body = {**MENU, "session_id": session.session_id}
    with ThreadPoolExecutor(10) as pool:
        inside = list(pool.map(lambda _: client.post_job(body, session.session_token, key), range(10)))
        outside = list(pool.map(lambda _: client.post_job(MENU, key=key), range(10)))

    assert {answer.status_code for answer in (*inside, *outside)} == {202}
    assert len({answer.json()["job_id"] for answer in inside}) == 1
    assert len({answer.json()["job_id"] for answer in outside}) == 1
    assert len({answer.json()["session_id"] for answer in outside}) == 1
    listing = client.get(session.session_url, session.session_token).json()
    assert len(listing["jobs"]) == 2


def test_a_key_that_cannot_be_one_is_refused(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    for key in ("a b", "x" * 256, "\u00e9".encode()):
        answer = client.post("/v1/jobs", json=MENU, headers={"Idempotency-Key": key})
        assert answer.status_code == 400, key
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
