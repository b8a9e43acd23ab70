"""What whoever runs the gateway sees: health, metrics, logs, and the description of the API."""

import json
import time
from typing import Any

from tests.client import MENU, PROMPT, Client, SubmittedJob, menu_of
from tests.contract.wire.fold import STAGES
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.servers import wait_until

LOG_SECONDS = 20.0


def test_a_healthy_gateway_says_so(gateway: GatewayProcess, client: Client) -> None:
    live, ready, database = (client.get(f"/health/{name}") for name in ("live", "ready", "database"))

    assert [answer.status_code for answer in (live, ready, database)] == [200, 200, 200]
    assert [answer.json()["status"] for answer in (live, ready, database)] == ["ok", "ok", "ok"]
    assert set(ready.json()["checks"]) >= {"database", "bus", "tasks"}
    assert {check["status"] for check in ready.json()["checks"].values()} == {"ok"}
    assert database.json()["checks"]["database"]["latency_ms"] > 0


MOVING = (
    "stagecast_events_delivered_total",
    "stagecast_events_committed_total",
    "stagecast_commit_batch_size_count",
    "stagecast_commit_batch_size_sum",
    "stagecast_commit_to_socket_seconds_count",
    'stagecast_jobs_submitted_total{kind="menu"}',
    *(f'stagecast_stage_attempts_total{{kind="menu",outcome="completed",stage="{stage}"}}' for stage in STAGES["menu"]),
    *(f'stagecast_stage_seconds_count{{kind="menu",stage="{stage}"}}' for stage in STAGES["menu"]),
)


def test_a_job_moves_the_metrics(slow_gateway: GatewayProcess, client: Client) -> None:
    wait_until(lambda: client.metrics()["stagecast_connections"] == 0, LOG_SECONDS, "the streams of others are over")
    before = client.metrics()
    job = client.submit(menu_of(100))
    with job.session_stream() as stream:  # which stays open, however late we look
        stream.read_until("job.started")
        during = client.metrics()
        stream.read_until("job.completed")
    after = client.metrics()
    events = len(stream.durable)

    assert during["stagecast_connections"] == before["stagecast_connections"] + 1
    assert {
        name: after.get(name, 0) - before.get(name, 0) for name in MOVING if after.get(name, 0) <= before.get(name, 0)
    } == {}
    assert after["stagecast_events_committed_total"] - before["stagecast_events_committed_total"] == events
    assert after["stagecast_events_delivered_total"] - before["stagecast_events_delivered_total"] == events
    for stage in STAGES["menu"]:
        name = f'stagecast_stage_attempts_total{{kind="menu",outcome="completed",stage="{stage}"}}'
        assert after[name] - before.get(name, 0) == 1


def test_the_metrics_say_what_they_measure(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    answer = client.get("/metrics")
    named = {line.split(" ", 3)[2] for line in answer.text.splitlines() if line.startswith("# HELP")}

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert named >= {
        "stagecast_connections",
        "stagecast_events_delivered_total",
        "stagecast_commit_batch_size",
        "stagecast_commit_to_socket_seconds",
        "stagecast_stage_seconds",
        "stagecast_stage_attempts_total",
        "stagecast_gap_repairs_total",
    }


def test_the_log_names_jobs_sessions_and_stages_and_never_a_token(start_gateway: StartGateway) -> None:
    gateway = start_gateway(TELEMETRY__LOG_LEVEL="debug")
    with Client(gateway.url) as client:
        jobs = {"menu": client.submit(MENU), "prompt": client.submit(PROMPT)}
        for job in jobs.values():
            token = {"token": job.session_token}
            with client.stream(job.events_url) as stream:
                stream.read_all()
            for url in (job.status_url, job.session_url, f"{job.session_url}/events.json", "/no-such-page"):
                client.http.get(url, params=token)
            client.http.get(f"{job.session_url}/events", params={**token, "last_event_id": "broken"})
            client.http.post(job.cancel_url, params=token)
            client.http.get(job.status_url, headers={"Cookie": f"stagecast_{job.session_id}={job.session_token}"})
        deadline = time.monotonic() + LOG_SECONDS
        while any(_stages_of(gateway, job) != set(STAGES[kind]) for kind, job in jobs.items()):
            assert time.monotonic() < deadline, "the log does not name the stages"
            time.sleep(0.02)

    log, lines = gateway.read_log(), _json_lines(gateway)
    for job in jobs.values():
        assert job.session_token not in log
        (accepted,) = (line for line in lines if line["event"] == "job_accepted" and line["job_id"] == job.job_id)
        assert (accepted["session_id"], accepted["level"]) == (job.session_id, "info")
    for line in lines:
        assert {"event", "level", "timestamp"} <= set(line)
        assert line["level"] in ("debug", "info"), line


def _json_lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """The log's lines; what `migrate` and `serve` say to a person is no log."""
    lines = gateway.read_log().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def _stages_of(gateway: GatewayProcess, job: SubmittedJob) -> set[str]:
    return {line["stage"] for line in _json_lines(gateway) if line.get("job_id") == job.job_id and line.get("stage")}


def test_the_api_describes_itself(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    document = client.get("/docs/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Stagecast"
    operations = {
        (path, method) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert operations == {
        ("/v1/jobs", "post"),
        ("/v1/jobs/{job_id}", "get"),
        ("/v1/jobs/{job_id}/cancel", "post"),
        ("/v1/jobs/{job_id}/stages/{stage}/retry", "post"),
        ("/v1/jobs/{job_id}/events", "get"),
        ("/v1/jobs/{job_id}/events", "head"),
        ("/v1/sessions/{session_id}", "get"),
        ("/v1/sessions/{session_id}/events", "get"),
        ("/v1/sessions/{session_id}/events", "head"),
        ("/v1/sessions/{session_id}/events.json", "get"),
        ("/health/live", "get"),
        ("/health/ready", "get"),
        ("/health/database", "get"),
        ("/metrics", "get"),
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (path, method)
            declared = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert operation["responses"], (path, method)
    events = document["paths"]["/v1/jobs/{job_id}/events"]["get"]
    assert {parameter["name"] for parameter in events["parameters"]} >= {
        "Last-Event-ID",
        "last_event_id",
        "lastEventId",
        "from",
    }
    assert "text/event-stream" in events["responses"]["200"]["content"]
    _check_references(document)


def test_the_description_of_a_submission_takes_what_the_gateway_takes(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    import jsonschema

    document = client.get("/docs/openapi.json").json()
    schema = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)

    for body in (MENU, PROMPT):
        assert validator.is_valid(body)
    for body in (
        {"kind": "wine"},
        {**MENU, "colour": 1},
        {"kind": "menu", "items": [{"name": ""}]},
        {"kind": "prompt"},
    ):
        assert not validator.is_valid(body), body


def _check_references(document: dict[str, Any]) -> None:
    """Every $ref of the document leads somewhere in it."""

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                target: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    target = target[part]
            for one in node.values():
                walk(one)

    walk(document)


def test_every_answer_has_the_security_headers(gateway_on_each_database: GatewayProcess, client: Client) -> None:
    job = client.submit({"kind": "menu", "items": [{"name": "x"}]})
    job.read_to_end()
    answers = [
        client.get("/nowhere"),
        client.get(job.status_url),
        client.get(job.status_url, job.session_token),
        client.post("/v1/jobs", content=b"no JSON"),
        client.get("/static/stagecast.js"),
        client.get(job.events_url),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 200, 400, 200, 200]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_reference_page_and_the_live_page_are_served_with_their_policy(
    gateway_on_each_database: GatewayProcess, client: Client
) -> None:
    for path in ("/", "/docs"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
