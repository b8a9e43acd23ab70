"""Addresses, pauses and errors of the client."""

import re
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from gateway.client.address import JobAddress, is_loopback, parse_base, parse_job_url
from gateway.client.backoff import Backoff
from gateway.client.errors import refusal
from gateway.client.stream import SILENCE_SECONDS
from infra.settings import SseSettings

MODULE = Path(__file__).parents[3] / "gateway" / "static" / "stagecast.js"
JOB_ID = "01m7xy7df3rbb4chqygx6kdhnv"
BASE = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"/v1/jobs/{JOB_ID}/events?token=abc", JobAddress(BASE, JOB_ID, "abc")),
        (f"/v1/jobs/{JOB_ID}", JobAddress(BASE, JOB_ID, None)),
        (f"http://far.example:81/v1/jobs/{JOB_ID}", JobAddress("http://far.example:81", JOB_ID, None)),
        (f"https://far.example/below/v1/jobs/{JOB_ID}/events?x=1&token=a%2Bb",
         JobAddress("https://far.example/below", JOB_ID, "a+b")),
    ],
)  # fmt: skip
def test_a_job_is_found_by_any_of_its_urls(url: str, expected: JobAddress) -> None:
    assert parse_job_url(url, BASE) == expected


def test_a_given_token_wins_over_the_one_in_the_url() -> None:
    assert parse_job_url(f"/v1/jobs/{JOB_ID}?token=old", BASE, "new").token == "new"


def test_the_shareable_url_leads_back_to_the_same_job() -> None:
    address = JobAddress(BASE, JOB_ID, "tok-en_1")
    assert parse_job_url(address.shareable_url, "http://elsewhere") == address


@pytest.mark.parametrize("url", ["", "/", "/v1/jobs/", "/v1/jobs/short/events", f"/v1/sessions/{JOB_ID}/events"])
def test_what_is_no_job_is_refused_without_repeating_a_token(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a job") as caught:
        parse_job_url(f"{url}?token=geheim", BASE)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "localhost"])
def test_what_is_no_gateway_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a gateway"):
        parse_base(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://localhost", True), ("http://far.example", False)],
)
def test_this_machine_is_known(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


def test_pauses_grow_to_a_limit_and_start_again_after_progress() -> None:
    backoff = Backoff(1.0, 8.0)
    for ceiling in (1, 2, 4, 8, 8, 8):
        assert 0 <= backoff.next_seconds() <= ceiling
    backoff.succeed()
    assert backoff.next_seconds() <= 1


def test_pauses_are_spread_over_their_whole_range() -> None:
    pauses = [Backoff(1.0).next_seconds() for _ in range(200)]
    assert min(pauses) < 0.2
    assert max(pauses) > 0.8


def test_what_the_server_asks_for_counts_once() -> None:
    backoff = Backoff(0.001, 0.001)
    backoff.ask(5000)
    assert backoff.next_seconds() == 5.0
    assert backoff.next_seconds() <= 0.001


def test_a_server_that_asks_for_little_does_not_undo_the_growth_of_the_pauses() -> None:
    backoff = Backoff(1.0, 8.0)
    pauses = []
    for _ in range(100):
        backoff.ask(1)
        pauses.append(backoff.next_seconds())
    assert max(pauses) > 4


def test_a_thousand_failures_are_still_a_pause() -> None:
    backoff = Backoff(1.0, 8.0)
    assert all(backoff.next_seconds() <= 8 for _ in range(1000))


PROBLEM = {
    "title": "The request is not valid",
    "detail": "Expected `str`.",
    "errors": [{"field": "items[3].name", "pointer": "#/items/3/name", "detail": "Expected `str`."}],
}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(400, json=PROBLEM), ["items[3].name: Expected `str`."]),
        (httpx.Response(409, json={"title": "Conflict", "detail": "The job has ended."}), ["The job has ended."]),
        (httpx.Response(502, text="<html>"), ["The server answered 502 Bad Gateway."]),
        (httpx.Response(400, content=b"{", headers={"content-type": "application/json"}),
         ["The server answered 400 Bad Request."]),
    ],
)  # fmt: skip
def test_a_refusal_is_a_line_for_each_field(response: httpx.Response, expected: list[str]) -> None:
    assert refusal(response).lines() == expected


@pytest.mark.parametrize(("status", "may_pass"), [(400, False), (404, False), (409, False), (429, True), (503, True)])
def test_only_some_refusals_may_pass(status: int, may_pass: bool) -> None:
    assert refusal(httpx.Response(status)).may_pass is may_pass


def test_no_heartbeat_can_be_set_so_slow_that_a_client_takes_it_for_silence() -> None:
    (in_browser_ms,) = re.findall(r"^const SILENCE_MS = ([0-9_]+);$", MODULE.read_text(), re.MULTILINE)

    assert int(in_browser_ms) == SILENCE_SECONDS * 1000
    assert SseSettings(heartbeat_seconds=30).heartbeat_seconds < SILENCE_SECONDS
    with pytest.raises(ValidationError, match="less than or equal to 30"):
        SseSettings(heartbeat_seconds=30.1)
