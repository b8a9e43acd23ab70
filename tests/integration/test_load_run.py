"""The locust run, short: its guests drop and resume, and no event is lost, doubled or reordered."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 8
SUMMARY = re.compile(
    r"jobs checked: (?P<jobs>\d+); lost events: 0; doubled events: 0; reordered events: 0; foreign events: 0; "
    r"visit failed: 0"
)


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "15", "SYNTHETIC__FAILURE_RATE": "0.01"}
    with GatewayProcess(settings=settings) as process:
        yield process


@pytest.mark.timeout(120)
def test_a_short_locust_run_finds_no_irregular_job(gateway: GatewayProcess) -> None:
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--host", gateway.url]
    limits = ["--users", "4", "--spawn-rate", "4", "--run-time", f"{RUN_SECONDS}s", "--stop-timeout", "40"]

    run = subprocess.run(
        [*command, *limits, "--only-summary"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )

    printed = run.stdout + run.stderr
    summary = SUMMARY.search(printed)
    assert summary, printed[-3000:]
    assert int(summary["jobs"]) >= 3
    assert run.returncode == 0, printed[-3000:]
