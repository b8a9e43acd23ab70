"""What else answers: health, metrics, the API's description, the page."""

import pytest

from .api import Server


@pytest.mark.parametrize("part", ["live", "ready", "database"])
def test_a_healthy_server_says_so(server: Server, part: str) -> None:
    answer = server.get(f"/health/{part}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == "ok"


def test_metrics_are_in_the_text_format_of_prometheus(server: Server) -> None:
    answer = server.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for line in answer.text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or float(line.rpartition(" ")[2]) is not None


def test_the_description_of_the_api_names_every_path_of_the_contract(server: Server) -> None:
    document = server.get("/docs/openapi.json").json()

    assert {path for path in document["paths"] if path.startswith("/v1")} == {
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/stages/{stage}/retry",
        "/v1/jobs/{job_id}/events",
        "/v1/sessions/{session_id}",
        "/v1/sessions/{session_id}/events",
        "/v1/sessions/{session_id}/events.json",
    }
    assert server.get("/docs").headers["content-type"].startswith("text/html")


def test_the_page_is_a_page(server: Server) -> None:
    answer = server.get("/")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
