"""One small step of the growing load against a real gateway: its guests drop, resume, peek and read slowly."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadtests.knee.steps import Step
from loadtests.knee.tally import Clock, Count
from tests.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[2]
# The sixth of every ten reads slowly.
GUESTS = 8


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "5", "SYNTHETIC__FAILURE_RATE": "0.01"}
    with GatewayProcess(settings=settings) as process:
        yield process


@pytest.mark.timeout(180)
def test_guests_of_a_step_miss_nothing_and_everything_is_measured(gateway: GatewayProcess) -> None:
    assert gateway.process is not None
    command = [sys.executable, "-m", "loadtests.knee.client", "--port", str(gateway.port)]
    command += ["--gateway-pid", str(gateway.process.pid), "--guests", str(GUESTS), "--settle", "0", "--seconds", "6"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=150, check=False)

    assert run.returncode == 0, run.stderr[-3000:]
    step = msgspec.json.decode(run.stdout, type=Step)
    assert step.passed, step
    assert step.visits >= GUESTS
    assert step.counts[Count.JOBS] > 0
    assert step.counts[Count.DROPS] > 0
    assert all(step.clocks[clock].count for clock in (Clock.POST, Clock.SNAPSHOT, Clock.FIRST_EVENT, Clock.RESUMED))
    assert {"translation", "allergens", "price"} <= set(step.received)
    assert step.gateway.process > 0
