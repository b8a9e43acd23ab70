"""What a running gateway sends has exactly the fields that docs/protocol.md shows."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client import MENU, PROMPT, Client, SubmittedJob, menu_of
from tests.contract.wire.sse import Frame
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SHOWN = re.compile(
    r"^### (?P<name>[a-z._]+)\n(?:(?!^##).)*?^```json (?:event|control)\n(?P<json>.*?)^```$", re.MULTILINE | re.DOTALL
)
FIELDS = {found["name"]: list(orjson.loads(found["json"])) for found in SHOWN.finditer(PAGE)}


def shown(kind: str) -> dict[str, Any]:
    """The page's only example of this kind."""
    found = re.search(rf"^```json {kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    example: dict[str, Any] = orjson.loads(found[1])
    return example


def check_frames(frames: list[Frame], *expected: str) -> None:
    names = {frame.event for frame in frames if frame.event is not None}
    assert set(expected) <= names
    for frame in frames:
        if frame.event not in (None, "stream.snapshot"):
            assert list(frame.data) == FIELDS[frame.event], frame.event


def read_all(job: SubmittedJob) -> list[Frame]:
    with job.stream() as stream:
        return list(stream.read_all())


@pytest.mark.parametrize("submission", [MENU, PROMPT], ids=["menu", "prompt"])
def test_a_job_that_completes(gateway_on_each_database: GatewayProcess, submission: dict[str, Any]) -> None:
    with Client(gateway_on_each_database.url) as client:
        frames = read_all(client.submit(submission))
    lines = ("stage.started", "item.updated", "stage.completed", "job.completed", "stream.end")
    check_frames(frames, "stream.open", "job.accepted", "job.started", *lines)


def test_a_job_that_fails(start_gateway: StartGateway) -> None:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__FAILURE_RATE": "1", "PROCESSING__RETRY_DELAY_SECONDS": "0.01"}
    with Client(start_gateway(**settings).url) as client:
        frames = read_all(client.submit(MENU))
    check_frames(frames, "stage.retrying", "stage.failed", "job.failed")
    attempts = [frame.data["attempt"] for frame in frames if frame.event == "stage.retrying"]
    assert min(attempts) == 1, "the attempt that failed, not the next one"


def test_a_job_that_is_cancelled_and_a_heartbeat(start_gateway: StartGateway) -> None:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "100", "SSE__HEARTBEAT_SECONDS": "0.05"}
    with Client(start_gateway(**settings).url) as client:
        job = client.submit(menu_of(100))
        with job.stream() as stream:
            frames = stream.read_until("stream.head")
            assert job.cancel().status_code == 202
            frames += stream.read_all()
    check_frames(frames, "stream.head", "stage.cancelled", "job.cancelled")


def test_a_reset_names_a_reason_of_the_table(gateway_on_each_database: GatewayProcess) -> None:
    with Client(gateway_on_each_database.url) as client:
        job = client.submit(MENU)
        job.read_to_end()
        for position, reason in (("zzzzzzzz.1", "epoch_changed"), (job.id_of(10_000), "ahead_of_head")):
            with job.stream(position) as stream:
                frames = list(stream.read_all())
            check_frames(frames, "stream.open", "stream.reset", "stream.snapshot", "stream.end")
            (reset,) = [frame for frame in frames if frame.event == "stream.reset"]
            assert reset.data["reason"] == reason
            assert f"| `{reason}` |" in PAGE


def test_the_snapshots(gateway_on_each_database: GatewayProcess) -> None:
    with Client(gateway_on_each_database.url) as client:
        job = client.submit(MENU)
        job.read_to_end()
        snapshot, example = job.snapshot(), shown("job-snapshot")
        with job.session_stream(params={"from": "snapshot"}) as stream:
            session = stream.read_until("stream.snapshot")[-1].data
    assert set(snapshot) == set(example)
    assert list(snapshot["stages"]) == list(example["stages"])
    assert list(snapshot["stages"]["price"]) == list(example["stages"]["price"])
    assert set(snapshot["rows"][0]) == set(example["rows"][0])
    assert list(session) == list(shown("session-snapshot"))


def test_a_page_of_the_log(gateway_on_each_database: GatewayProcess) -> None:
    with Client(gateway_on_each_database.url) as client:
        job = client.submit(MENU)
        page = job.poll(limit=1).json()
    assert list(page) == list(shown("log-page"))
    assert list(page["events"][0]) == list(shown("log-page")["events"][0])
