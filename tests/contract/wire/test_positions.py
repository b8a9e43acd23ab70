"""Positions, pages and addresses that are none are refused by name, on every endpoint."""

import pytest

from .api import Job, Server
from .problems import check_problem

WRONG_EVENT_IDS = (
    "7",
    "x",
    "{epoch}",
    "{epoch}.",
    "{epoch}.-1",
    "{epoch}.1.2",
    "{epoch}.01",
    "{epoch}.1e3",
    "{epoch}.1x",
    "{upper}.1",
    "{epoch}x.1",
    "{epoch}.1000000000000000000",
    "a" * 5000,
)


def test_a_last_event_id_that_is_none_is_refused_where_it_came_from(server: Server, unmoved_session: Job) -> None:
    wrong = [form.format(epoch=unmoved_session.epoch, upper=unmoved_session.epoch.upper()) for form in WRONG_EVENT_IDS]
    for url in (f"{unmoved_session.status_url}/events", f"{unmoved_session.session_url}/events"):
        for value in wrong:
            by_header = server.get(url, unmoved_session.session_token, headers={"Last-Event-ID": value})
            check_problem(by_header, 400, "Last-Event-ID")
            for name in ("last_event_id", "lastEventId"):
                check_problem(server.get(url, unmoved_session.session_token, params={name: value}), 400, name)


def test_a_start_that_is_not_known_is_refused(server: Server, unmoved_session: Job) -> None:
    for url in (f"{unmoved_session.status_url}/events", f"{unmoved_session.session_url}/events"):
        check_problem(server.get(url, unmoved_session.session_token, params={"from": "yesterday"}), 400, "from")


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"limit": "0"}, 400, "limit"),
        ({"limit": "1001"}, 400, "limit"),
        ({"limit": "-1"}, 400, "limit"),
        ({"limit": "ten"}, 400, "limit"),
        ({"limit": "1.5"}, 400, "limit"),
        ({"after": "-1"}, 400, "after"),
        ({"after": "x"}, 400, "after"),
        ({"after": "x.1"}, 400, "after"),
        ({"after": ""}, 400, "after"),
        ({"after": "1" * 40}, 400, "after"),
        ({"after": "\u0663"}, 400, "after"),
        ({"after": "zzzzzzz9.1"}, 409, "after"),
        ({"after": "999999"}, 409, "after"),
    ],
    ids=str,
)
def test_polling_refuses_what_it_cannot_follow(
    server: Server,
    unmoved_session: Job,
    query: dict[str, str],
    status: int,
    field: str,
) -> None:
    check_problem(unmoved_session.poll(**query), status, field)


def test_polling_ahead_of_the_head_is_a_conflict(server: Server, unmoved_session: Job) -> None:
    check_problem(unmoved_session.poll(after=unmoved_session.id_of(10_000)), 409, "after")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007", 404),
        ("GET", "/v1/jobs/x", 404),
        ("GET", "/v1/jobs/%00", 404),
        ("GET", "/v1/jobs/0000000000000000000000000%00", 404),
        ("GET", "/v1/jobs/%ff%ed%a0%80/events", 404),
        ("GET", "/v1/sessions/%00/events.json", 404),
        ("GET", "/v1/sessions/%ff%ed%a0%80", 404),
        ("GET", f"/v1/jobs/{'x' * 3000}", 404),
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("HEAD", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("POST", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/cancel", 404),
        ("POST", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/stages/price/retry", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events", 404),
        ("GET", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events.json", 404),
        ("GET", "/v1", 404),
        ("GET", "/v2/jobs", 404),
        ("GET", "/static/no-such-file.js", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/v1/jobs", 405),
        ("PUT", "/v1/jobs", 405),
        ("DELETE", "/v1/jobs/01m7xy6231d2f2p8wptynmm007", 405),
        ("GET", "/v1/jobs/01m7xy6231d2f2p8wptynmm007/cancel", 405),
        ("POST", "/v1/sessions/01m7xy6231d2f2p8wptynmm007/events", 405),
        ("POST", "/metrics", 405),
    ],
)
def test_what_is_not_there_is_a_problem_too(server: Server, method: str, path: str, status: int) -> None:
    answer = server.request(method, path)
    if method == "HEAD":
        assert answer.status_code == status
    else:
        check_problem(answer, status, None)
    if status == 405:
        assert answer.headers["allow"]
