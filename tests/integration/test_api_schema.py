"""What schemathesis makes of our own description of the API, right and wrong, is answered as that description says.

The examples are the same in every run: a failure is one of the code, not of the day.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks

from tests.client import Client, SubmittedJob
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway

EXAMPLES = 12
CALL_SECONDS = 20.0
OPERATIONS = (
    "POST /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "POST /v1/jobs/{job_id}/cancel",
    "POST /v1/jobs/{job_id}/stages/{stage}/retry",
    "GET /v1/sessions/{session_id}",
    "GET /v1/sessions/{session_id}/events.json",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/database",
    "GET /metrics",
)
STREAMS = (
    "GET /v1/jobs/{job_id}/events",
    "HEAD /v1/jobs/{job_id}/events",
    "GET /v1/sessions/{session_id}/events",
    "HEAD /v1/sessions/{session_id}/events",
)
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway()


@pytest.fixture(scope="module")
def api(gateway: GatewayProcess) -> Any:
    load_all_checks()
    return schemathesis.openapi.from_url(f"{gateway.url}/docs/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.fixture(scope="module")
def job(gateway: GatewayProcess) -> Iterator[SubmittedJob]:
    """A finished job: with its ids and its token a request gets behind the door."""
    with Client(gateway.url) as client:
        submitted = client.submit({"kind": "menu", "items": [{"name": "親子丼"}]})
        submitted.read_to_end()
        yield submitted


def check_cases(
    api: Any, label: str, mode: GenerationMode, check: Callable[[Case], None], examples: int = EXAMPLES, **fixed: Any
) -> None:
    """Run a check on the generated requests of one operation."""
    method, path = label.split(" ")
    cases = api[path][method].as_strategy(generation_mode=mode, **fixed)
    checked = 0

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Case) -> None:
        nonlocal checked
        checked += 1
        check(case)

    run()
    assert checked > 0, "nothing was generated"


def known_to(job: SubmittedJob, label: str) -> dict[str, Any]:
    """The path and the token of what exists."""
    ids = {"job_id": job.job_id, "session_id": job.session_id}
    return {
        "path_parameters": {name: value for name, value in ids.items() if f"{{{name}}}" in label},
        "headers": {"Authorization": f"Bearer {job.session_token}"},
    }


def test_no_operation_is_left_out(api: Any) -> None:
    assert {found.ok().label for found in api.get_all_operations()} == {*OPERATIONS, *STREAMS}


@pytest.mark.parametrize(
    ("label", "mode"),
    # An operation without parameters has nothing that could be wrong.
    [(label, mode) for label in OPERATIONS for mode in MODES if mode is MODES[0] or "/v1" in label],
    ids=str,
)
def test_any_request_is_answered_as_described(
    gateway: GatewayProcess, api: Any, session: requests.Session, label: str, mode: GenerationMode
) -> None:
    def check(case: Case) -> None:
        case.call_and_validate(base_url=gateway.url, session=session, timeout=CALL_SECONDS, checks=CHECKS)

    check_cases(api, label, mode, check)


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_edge_of_what_is_described_is_answered_as_described(
    gateway: GatewayProcess, api: Any, session: requests.Session, label: str
) -> None:
    method, path = label.split(" ")
    operation = api[path][method]
    generation = api.config.generation_for(operation=operation)
    cases = list(api.iter_coverage_cases(operation, generation_modes=list(MODES), generation_config=generation))
    assert {case.method for case in cases} > {method}, "other methods are tried as well"
    for case in cases:
        case.call_and_validate(
            base_url=gateway.url,
            session=session,
            timeout=CALL_SECONDS,
            checks=[*CHECKS, openapi_checks.unsupported_method, openapi_checks.allow_header_conformance],
        )


def test_a_submission_that_is_right_is_worked_off(
    gateway: GatewayProcess, api: Any, session: requests.Session, job: SubmittedJob
) -> None:
    accepted: list[SubmittedJob] = []

    def check(case: Case) -> None:
        # Which languages there are is not in the description, nor which session is one's own, nor which keys are used.
        case.headers.pop("Idempotency-Key", None)
        case.body = {**case.body, "target_language": "en", "source_language": None, "session_id": None}
        answer = case.call(base_url=gateway.url, session=session, timeout=CALL_SECONDS)
        assert answer.status_code in (202, 400), answer.text
        if answer.status_code == 202:
            accepted.append(SubmittedJob(job.client, **answer.json()))

    check_cases(api, "POST /v1/jobs", GenerationMode.POSITIVE, check, examples=4 * EXAMPLES)
    assert len(accepted) > EXAMPLES
    assert {one.read_to_end()[-1].event for one in accepted} == {"job.completed"}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", [label for label in OPERATIONS if "{" in label])
def test_a_request_about_a_job_that_exists_is_answered_as_described(
    gateway: GatewayProcess,
    api: Any,
    session: requests.Session,
    job: SubmittedJob,
    label: str,
    mode: GenerationMode,
) -> None:
    def check(case: Case) -> None:
        case.call_and_validate(base_url=gateway.url, session=session, timeout=CALL_SECONDS, checks=CHECKS)

    check_cases(api, label, mode, check, **known_to(job, label))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", STREAMS)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_stream_begins_as_described_and_its_client_may_leave(
    gateway: GatewayProcess,
    api: Any,
    session: requests.Session,
    job: SubmittedJob,
    known: bool,
    label: str,
    mode: GenerationMode,
) -> None:
    described = api.raw_schema["paths"][label.split(" ")[1]][label.split(" ")[0].lower()]["responses"]
    seen: set[int] = set()

    def check(case: Case) -> None:
        request = case.as_transport_kwargs(base_url=gateway.url)
        # The body never ends, so that only its beginning is looked at.
        with session.request(**request, stream=True, timeout=CALL_SECONDS) as answer:
            seen.add(answer.status_code)
            assert str(answer.status_code) in described, (answer.status_code, request)
            media_type = answer.headers.get("content-type", "").partition(";")[0]
            expected = described[str(answer.status_code)].get("content", {})
            assert not expected or media_type in expected, (media_type, request)
            if answer.status_code == 200 and label.startswith("GET"):
                assert next(answer.iter_content(7)) == b"retry: "

    check_cases(api, label, mode, check, **(known_to(job, label) if known else {}))
    if not known:
        assert seen <= {404, 400}
    elif mode is GenerationMode.POSITIVE:
        assert seen & {200, 204}
    else:
        assert 400 in seen


def test_the_gateway_has_seen_no_error(gateway: GatewayProcess, session: requests.Session) -> None:
    assert session.get(f"{gateway.url}/health/ready", timeout=CALL_SECONDS).status_code == 200
    assert "Traceback" not in gateway.read_log()
    assert "request_broke" not in gateway.read_log()
