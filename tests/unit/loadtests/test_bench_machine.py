"""What a process used is never less than it was: one that has ended is an error, not a zero."""

import os
import subprocess
import sys
import time

import pytest

from loadtests.bench.machine import ProcessEnded, cpu_of_each, cpu_seconds, cpu_spent, memory
from loadtests.bench.resuming import counted_pages

NOBODY = 2**22 + 1  # above the highest pid that Linux gives


@pytest.fixture
def zombie() -> subprocess.Popen[bytes]:
    """A process that has ended, and that nobody has waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


def test_processor_time_is_that_of_the_process() -> None:
    before = cpu_seconds([os.getpid()])
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert cpu_seconds([os.getpid()]) - before >= 0.05


def test_a_measured_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(ProcessEnded, match="ended while it was measured"):
        cpu_seconds([os.getpid(), NOBODY])
    with pytest.raises(OSError, match=str(NOBODY)):
        memory([os.getpid(), NOBODY])


def test_a_zombie_has_ended_as_well(zombie: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ProcessEnded):
        cpu_seconds([zombie.pid])
    zombie.wait()


def test_servers_whose_workers_come_and_go_are_counted_by_process() -> None:
    assert cpu_spent({1: 2.0, 2: 5.0}, {1: 2.5, 3: 0.25}) == 0.75
    assert set(cpu_of_each([os.getpid(), NOBODY])) == {os.getpid()}


def test_a_counter_that_is_not_there_is_an_error_and_not_a_zero() -> None:
    assert counted_pages("# TYPE x counter\nstagecast_log_reads_total 7.0\n") == 7
    with pytest.raises(KeyError):
        counted_pages("stagecast_other_total 1.0\n")
