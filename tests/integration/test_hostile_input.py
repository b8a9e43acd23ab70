"""Bytes that are meant to break something: refused with a problem document, and no log and no stream takes them in."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.client import MENU, PROMPT, Client, SubmittedJob
from tests.gateway_process import GatewayProcess
from tests.raw_http import RawAnswer, RawConnection

LARGEST_BODY = 1_048_576
NOWHERE = "0" * 26
HOSTILE_IDS = (
    "%00",
    f"{NOWHERE}%00",
    f"{NOWHERE}%0d%0aSet-Cookie:%20a=b",
    f"{NOWHERE}%0Aid:%20k3v9x0ab.1%0A%0A",
    "%0d%0a%0d%0a",
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "..%5c..%5c",
    "%252e%252e%252f",
    "%ff%fe",
    "%ed%a0%80",
    "%c0%af",
    "%",
    "%zz",
    "%u0000",
    "*",
    "'%20OR%20'1'='1",
    "01m7xy6231d2f2p8wptynmm007'--",
    "%f0%9f%8d%9c" * 6,
    "%e2%80%a8%e2%80%ae%ef%bb%bf",
    NOWHERE.upper() + "A",
    "{job_id}",
    "$%7Bjndi:ldap:x%7D",
    "%1b%5b31m",
    "-1",
    "null",
    "a" * 10_000,
    "%00" * 3_000,
)
PLACES = (
    ("GET", "/v1/jobs/{}"),
    ("GET", "/v1/jobs/{}/events"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("POST", "/v1/jobs/{}/stages/price/retry"),
    ("GET", "/v1/sessions/{}"),
    ("GET", "/v1/sessions/{}/events"),
    ("GET", "/v1/sessions/{}/events.json"),
)
HOSTILE_POSITIONS = (
    "%0d%0aevent:%20job.completed%0d%0a%0d%0a",
    "{epoch}.1%0aid:%20{epoch}.9",
    "{epoch}.1%00",
    "{epoch}.1%20",
    "%20{epoch}.1",
    "{epoch}.%D9%A3",
    "{epoch}.1%E2%80%A8",
    "{epoch}.-0",
    "{epoch}.1e1",
    "{epoch}.0x1",
    "{epoch}.9999999999999999999999999999",
    "{epoch}" * 1_250 + ".1",
    "%EF%BB%BF{epoch}.1",
    "%ff",
    "../{epoch}.1",
)


def in_test_case(value: bytes) -> bytes:
    """A prompt with this value among the variables of its test case."""
    return b'{"kind":"prompt","title":"t","content":"c","test_cases":[{"name":"n","variables":{"a":' + value + b"}}]}"


def filled(piece: bytes, size: int = LARGEST_BODY) -> bytes:
    return (piece * (size // len(piece) + 1))[:size]


REFUSED_BODIES: dict[str, bytes] = {
    "a MiB of brackets": filled(b"["),
    "a MiB of objects": filled(b'{"a":'),
    "a MiB of quotes": filled(b'"'),
    "a MiB of backslashes": filled(b"\\"),
    "a string of a MiB of backslashes": b'"' + filled(b"\\", LARGEST_BODY - 1),
    "a MiB of escapes": b'"' + filled(rb"\u0022", LARGEST_BODY - 7),
    "a MiB of digits": filled(b"1"),
    "a MiB of spaces": filled(b" "),
    "a MiB of NUL": filled(b"\x00"),
    "a MiB of continuation bytes": filled(b"\x80"),
    "an integer of a million digits": in_test_case(b"1" * 1_000_000),
    "an integer of 4301 digits": in_test_case(b"-" + b"9" * 4301),
    "a float of a million digits": in_test_case(b"9" * 1_000_000 + b".5"),
    "1e999": in_test_case(b"1e999"),
    "-1e999": in_test_case(b"-1e999"),
    "an exponent of a million digits": in_test_case(b"1e" + b"9" * 1_000_000),
    "Infinity": in_test_case(b"Infinity"),
    "leading zeros": in_test_case(b"007"),
    "two kinds": b'{"kind":"menu","kind":"prompt","items":[{"name":"x"}]}',
    "a dish with two names of which one is none": b'{"kind":"menu","items":[{"name":"x","name":7}]}',
    "60,000 dishes": json.dumps({"kind": "menu", "items": [{"name": "x"}] * 60_000}).encode(),
    "a dish of a million letters": json.dumps({"kind": "menu", "text": "x" * 1_000_000}).encode(),
    "UTF-16": json.dumps(MENU).encode("utf-16-le"),
    "UTF-32": json.dumps(MENU).encode("utf-32"),
    "an overlong slash": b'{"kind":"menu","items":[{"name":"\xc0\xaf"}]}',
    "surrogates in the wrong order": rb'{"kind":"menu","items":[{"name":"\udf5c\ud83c"}]}',
    "a lone surrogate as a key": in_test_case(rb'{"\ud800":1}'),
    "an escape that is none": rb'{"kind":"menu","items":[{"name":"\x41"}]}',
    "half an escape": rb'{"kind":"menu","items":[{"name":"\u00"}]}',
    "a comment": b'{"kind":"menu",/* */"items":[{"name":"x"}]}',
    "two documents": b'{"kind":"menu","items":[{"name":"x"}]}{"kind":"menu"}',
}
ACCEPTED_BODIES: dict[str, bytes] = {
    "the same key twice, the last one counts": b'{"kind":"menu","items":[{"name":"x"}],"items":[{"name":"y"}]}',
    "the smallest float": in_test_case(b"-5e-324"),
    "a float that is nothing": in_test_case(b"1e-999999"),
    "a million digits behind the point": in_test_case(b"0." + b"1" * 1_000_000),
    "60,000 variables": in_test_case(b"{" + b",".join(b'"%d":1' % number for number in range(60_000)) + b"}"),
    "a pair of surrogates": rb'{"kind":"menu","items":[{"name":"\ud83c\udf5c"}]}',
    "exactly a MiB": b'{"kind":"menu","items":[{"name":"x"}]}'.ljust(LARGEST_BODY),
}


@pytest.fixture
def job(client: Client) -> Iterator[SubmittedJob]:
    """A finished job, whose log must be the same afterwards."""
    submitted = client.submit(MENU)
    submitted.read_to_end()
    before = submitted.poll(limit=1000).json()
    yield submitted
    assert submitted.poll(limit=1000).json() == before, "the log moved"


@pytest.fixture
def raw(gateway_on_each_database: GatewayProcess) -> Iterator[RawConnection]:
    """A connection on which nothing breaks anything, and of which the process's own log takes in nothing foreign."""
    before = len(gateway_on_each_database.read_log())
    with RawConnection(gateway_on_each_database.url) as connection:
        yield connection
    check_log(gateway_on_each_database.read_log()[before:])


def check_log(written: str) -> None:
    """Every line of the process's log is one of its own JSON objects, and none of them tells of an error."""
    for line in written.splitlines():
        assert json.loads(line)["level"] in ("info", "warning", "debug"), line


def check_refusal(answer: RawAnswer, *statuses: int) -> None:
    assert answer.status in statuses, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("method", "place"), PLACES)
def test_a_hostile_id_in_a_path_is_not_found(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, method: str, place: str
) -> None:
    nothing = raw.request(method, place.format(NOWHERE))
    check_refusal(nothing, 404)
    for hostile in HOSTILE_IDS:
        answer = raw.request(method, place.format(hostile))
        check_refusal(answer, 404, 405)
        if "/" not in hostile and "%2f" not in hostile:
            assert answer == RawAnswer(404, {**nothing.headers, "date": answer.headers["date"]}, nothing.body), hostile


def test_a_hostile_stage_is_not_found(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client, job: SubmittedJob
) -> None:
    for hostile in HOSTILE_IDS:
        answer = raw.request(
            "POST", f"{job.status_url}/stages/{hostile}/retry", f"Authorization: Bearer {job.session_token}"
        )
        check_refusal(answer, 404, 405)


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_a_hostile_position_is_refused_by_name(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client, job: SubmittedJob, name: str
) -> None:
    for form, url in itertools.product(HOSTILE_POSITIONS, (job.status_url, job.session_url)):
        position = form.format(epoch=job.epoch)
        answer = raw.request("GET", f"{url}/events?{name}={position}&token={job.session_token}")
        check_refusal(answer, 400)
        assert answer.json()["errors"][0]["field"] == name
    for form in HOSTILE_POSITIONS:
        after = raw.request(
            "GET", f"{job.session_url}/events.json?after={form.format(epoch=job.epoch)}&token={job.session_token}"
        )
        check_refusal(after, 400, 409)
        assert after.json()["errors"][0]["field"] == "after"


@pytest.mark.parametrize(
    "value",
    ["{epoch}.1 id: {epoch}.9", "{epoch}.1\t", "\x80\xff", "{epoch}.\xb2", "é", "{epoch}.1, {epoch}.2", "x" * 10_000],
)
def test_a_hostile_last_event_id_is_refused(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client, job: SubmittedJob, value: str
) -> None:
    bearer = f"Authorization: Bearer {job.session_token}"
    answer = raw.request("GET", f"{job.session_url}/events", bearer, f"Last-Event-ID: {value.format(epoch=job.epoch)}x")
    check_refusal(answer, 400)
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


def test_headers_and_fields_that_come_twice_break_nothing(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, client: Client, job: SubmittedJob
) -> None:
    bearer, end = f"Authorization: Bearer {job.session_token}", job.snapshot()["head"]
    twice = raw.request("GET", f"{job.status_url}/events", bearer, f"Last-Event-ID: {end}", f"Last-Event-ID: {end}")
    assert twice.status in (204, 400)
    different = raw.request("GET", f"{job.status_url}/events", bearer, f"Last-Event-ID: {end}", "Last-Event-ID: x.1")
    assert different.status in (204, 400)
    for query in (f"last_event_id={end}&last_event_id={end}", f"last_event_id={end}&last_event_id=x&lastEventId=y"):
        assert raw.request("GET", f"{job.status_url}/events?{query}", bearer).status in (204, 400)
    for query in ("limit=1&limit=2", "limit=1&limit=x", "after=0&after=1", "after=0&after=%00", "limit=", "limit[]=1"):
        assert raw.request("GET", f"{job.session_url}/events.json?{query}", bearer).status in (200, 400)
    for header in ("Idempotency-Key: a", "Content-Type: application/json", "Accept: text/plain"):
        doubled = raw.request("POST", "/v1/jobs", header, header, "Content-Length: 1", body=b"x")
        check_refusal(doubled, 400)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (("Idempotency-Key: a b",), "Idempotency-Key"),
        (("Idempotency-Key: \xe9",), "Idempotency-Key"),
        (("Idempotency-Key: " + "k" * 10_000,), "Idempotency-Key"),
        (("Idempotency-Key:",), "Idempotency-Key"),
    ],
)
def test_a_hostile_idempotency_key_is_refused(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, headers: tuple[str, ...], field: str
) -> None:
    body = json.dumps(MENU).encode()
    answer = raw.request("POST", "/v1/jobs", *headers, f"Content-Length: {len(body)}", body=body)
    check_refusal(answer, 400)
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "headers",
    [
        ("Accept: application/xml;q=\xff, ;;;",),
        ("Content-Type: \x80\xff;;charset==",),
        ("Content-Type: multipart/form-data",),
        ("Content-Encoding: gzip",),
        ("X-Forwarded-For: %00, not an address, " + "1.2.3.4, " * 1000, "X-Forwarded-Proto: \xff"),
        ("X-Forwarded-For: ::1%0d%0a", "X-Forwarded-Proto: javascript"),
        ("Forwarded: for=\x80",),
        ("Cookie: " + "a=b; " * 5_000,),
        ("Host: evil.example",),
        ("Host: a\xffb:99999999",),
        ("Origin: null", "Sec-Fetch-Site: cross-site"),
        ("Range: bytes=0-" + "9" * 400,),
        ("If-None-Match: " + "*" * 1000, "If-Modified-Since: never"),
        ("Transfer-Encoding: gzip, chunked",),
        ("TE: trailers", "Trailer: Authorization"),
    ],
    ids=lambda headers: headers[0][:30],
)
def test_hostile_headers_break_nothing(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, headers: tuple[str, ...]
) -> None:
    body = b'{"kind":"menu","items":[]}'
    chunked = b"%x\r\n%b\r\n0\r\nAuthorization: Bearer x\r\n\r\n" % (len(body), body)
    sends_chunks = any(header.startswith(("Transfer-Encoding", "TE")) for header in headers)
    framing = ("Transfer-Encoding: chunked",) if headers[0].startswith("TE") else ()
    length = () if sends_chunks else (f"Content-Length: {len(body)}",)
    answer = raw.request("POST", "/v1/jobs", *headers, *framing, *length, body=chunked if sends_chunks else body)
    check_refusal(answer, 400)
    with RawConnection(gateway_on_each_database.url) as another:
        for target in ("/health/live", "/docs/openapi.json", "/", "/static/stagecast.js", "/metrics"):
            assert another.request("GET", target, *(one for one in headers if not one.startswith("Tr"))).status < 500


@pytest.mark.parametrize("body", REFUSED_BODIES.values(), ids=REFUSED_BODIES.keys())
def test_a_hostile_body_is_refused(gateway_on_each_database: GatewayProcess, raw: RawConnection, body: bytes) -> None:
    assert len(body) <= LARGEST_BODY
    answer = raw.request("POST", "/v1/jobs", f"Content-Length: {len(body)}", body=body)
    check_refusal(answer, 400)
    assert answer.json()["errors"][0]["field"]
    assert len(answer.body) < 2_000, "a refusal does not give the body back"


@pytest.mark.parametrize("body", ACCEPTED_BODIES.values(), ids=ACCEPTED_BODIES.keys())
def test_an_odd_but_valid_body_is_worked_off(
    gateway_on_each_database: GatewayProcess, client: Client, raw: RawConnection, body: bytes
) -> None:
    assert len(body) <= LARGEST_BODY
    answer = raw.request("POST", "/v1/jobs", f"Content-Length: {len(body)}", body=body)
    assert answer.status == 202, answer.body
    assert SubmittedJob(client, **answer.json()).read_to_end()[-1].event == "job.completed"


@pytest.mark.parametrize("chunk_size", [1_000, 65_536, LARGEST_BODY + 1])
def test_a_byte_more_than_a_mib_is_too_large_in_chunks_as_well(
    gateway_on_each_database: GatewayProcess, raw: RawConnection, chunk_size: int
) -> None:
    body = ACCEPTED_BODIES["exactly a MiB"] + b" "
    with_length = raw.request("POST", "/v1/jobs", f"Content-Length: {len(body)}", body=body)
    check_refusal(with_length, 413)
    pieces = (body[start : start + chunk_size] for start in range(0, len(body), chunk_size))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    check_refusal(raw.request("POST", "/v1/jobs", "Transfer-Encoding: chunked", body=chunks), 413)


def test_giant_bodies_do_not_hold_up_others(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    bodies = [body for body in REFUSED_BODIES.values() if len(body) > 900_000] * 2

    def post(body: bytes) -> int:
        with RawConnection(gateway_on_each_database.url) as connection:
            return connection.request("POST", "/v1/jobs", f"Content-Length: {len(body)}", body=body).status

    with ThreadPoolExecutor(len(bodies)) as threads:
        posted = [threads.submit(post, body) for body in bodies]
        worked_off = 0
        while not all(one.done() for one in posted) or not worked_off:
            assert client.submit(PROMPT).read_to_end()[-1].event == "job.completed"
            worked_off += 1
    assert {one.result() for one in posted} == {400}


ODD_TEXTS = (
    "a\nid: k3v9x0ab.1\nevent: job.completed\ndata: {}\n\n",
    "data: x\n\nevent: stream.end\n\n",
    "\u2028event: job.failed\u2029\u2029",
    "\ufeffid: 1",
    '"},"at":"2000-01-01T00:00:00.000Z","job_id":"x"}',
    "\\n\\nevent: stream.end\\n\\n",
    "\u202e\u2066\ufffe\U0010ffff\u0300",
)


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_no_text_becomes_a_line_of_the_stream(
    gateway_on_each_database: GatewayProcess, client: Client, text: str
) -> None:
    # The reader of the tests fails at any field that comes twice and at any line that is none of the four fields.
    submission = {"kind": "menu", "items": [{"name": f"x{text}", "price": text[:100], "category": text[:200]}]}
    job = client.submit(submission)
    events = job.read_to_end()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert job.snapshot()["rows"][0]["name"] == f"x{text}"
    title = client.submit({**PROMPT, "title": text})
    accepted = title.read_to_end()[0]
    assert accepted.data["title"] == text


def test_a_line_of_the_process_log_cannot_be_forged(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit(MENU)
    forged = quote('x\n{"event":"forged","level":"error"}\x1b[2J')
    client.post(f"{job.status_url}/stages/{forged}/retry", job.session_token)
    client.get(f"/v1/jobs/{forged}", headers={"User-Agent": "a\tb", "X-Forwarded-For": "forged"})
    assert "forged" not in gateway_on_each_database.read_log()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_control_characters_in_a_value_do_not_reach_the_terminal(log_format: str) -> None:
    program = (
        "import structlog\nfrom infra.settings import TelemetrySettings\n"
        "from infra.telemetry.logs import configure_logs\n"
        f"configure_logs(TelemetrySettings(log_format={log_format!r}))\n"
        r"structlog.stdlib.get_logger('x').error('failed', path='/a\nforged line\r\x1b[2J\u2028\x9b')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    (line,) = done.stderr.removesuffix("\n").split("\n")
    assert "forged line" in line
    for character in ("\r", "\x1b[2J", "\u2028", "\x9b"):
        assert character not in line
