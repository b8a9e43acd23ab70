"""A submission that is sent twice with the same Idempotency-Key is one job."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from .api import MENU, PROMPT, Job, Server
from .problems import check_problem


def test_the_same_key_and_body_give_the_same_job_again(server: Server) -> None:
    key = secrets.token_hex(8)
    first = server.post_job(MENU, key=key)
    second = server.post_job(MENU, key=key)

    assert first.status_code == second.status_code == 202
    changing = {"status": None, "head": None}
    assert {**second.json(), **changing} == {**first.json(), **changing}
    assert second.headers["location"] == first.headers["location"]
    job = server.get(f"/v1/sessions/{first.json()['session_id']}", first.json()["session_token"]).json()
    assert len(job["jobs"]) == 1


def test_the_same_key_after_the_job_has_ended_still_finds_it(server: Server) -> None:
    key = secrets.token_hex(8)
    job = server.submit(MENU)
    body = {**MENU, "session_id": job.session_id}
    first = server.post_job(body, job.session_token, key).json()
    end = Job(server, **first).read_to_end()[-1]
    again = server.post_job(body, job.session_token, key)

    assert again.status_code == 202
    assert again.json() == {**first, "status": "completed", "head": end.id}


def test_the_same_key_with_another_body_is_a_conflict(server: Server) -> None:
    key = secrets.token_hex(8)
    job = server.submit(MENU)
    server.post_job({**MENU, "session_id": job.session_id}, job.session_token, key)
    answer = server.post_job({**PROMPT, "session_id": job.session_id}, job.session_token, key)

    check_problem(answer, 409, kind="idempotency-mismatch")
    assert len(job.session()["jobs"]) == 2


def test_a_key_is_known_only_within_its_session(server: Server) -> None:
    key = secrets.token_hex(8)
    one, two = server.submit(MENU), server.submit(MENU)
    answers = [
        server.post_job({**MENU, "session_id": job.session_id}, job.session_token, key).json() for job in (one, two)
    ]
    outside = server.post_job(MENU, key=key).json()

    assert len({answer["job_id"] for answer in answers} | {outside["job_id"]}) == 3
    assert [answer["session_id"] for answer in answers] == [one.session_id, two.session_id]


def test_without_a_key_the_same_body_is_another_job(server: Server) -> None:
    assert server.submit(MENU).job_id != server.submit(MENU).job_id


def test_ten_posts_at_the_same_time_with_the_same_key_make_one_job(server: Server) -> None:
    key = secrets.token_hex(8)
    session = server.submit(PROMPT)
    body = {**MENU, "session_id": session.session_id}
    with ThreadPoolExecutor(10) as pool:
        inside = list(pool.map(lambda _: server.post_job(body, session.session_token, key), range(10)))
        outside = list(pool.map(lambda _: server.post_job(MENU, key=key), range(10)))

    assert {answer.status_code for answer in (*inside, *outside)} == {202}
    assert len({answer.json()["job_id"] for answer in inside}) == 1
    assert len({answer.json()["job_id"] for answer in outside}) == 1
    assert len({answer.json()["session_id"] for answer in outside}) == 1
    assert len(session.session()["jobs"]) == 2


def test_a_key_that_cannot_be_one_is_refused(server: Server) -> None:
    for key in ("a b", "x" * 256, "\u00e9".encode()):
        answer = server.post("/v1/jobs", json=MENU, headers={"Idempotency-Key": key})
        check_problem(answer, 400, "Idempotency-Key")
