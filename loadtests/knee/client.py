"""One step: locust as a library in a process of its own, which prints its `Step` as JSON.

A process for each step, because locust patches whatever process it is imported into, and so that no step begins with
the garbage of the one before.
"""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import gevent
import msgspec
import psutil  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import LocalRunner

from loadtests.knee.guest import make_guests
from loadtests.knee.steps import Core, Rest, Step, measure_step
from loadtests.knee.tally import Tally
from loadtests.vitals import raise_descriptor_limit

RAMP_SECONDS = 2.0
# Locust warns above this.
FASTEST_RAMP = 100
# A visit that has begun may come to its end.
STOP_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Look:
    """CPU seconds of processes, and busy seconds of cores, since some moment in the past."""

    at: float
    gateway: float
    client: float
    redis: float
    gateway_core: float
    client_core: float


class Watch:
    """Looks at the processes and cores of a step. A core of None: nothing is pinned, and all cores are one."""

    def __init__(self, gateway: int, redis: int | None, cores: Sequence[int] | None) -> None:
        self.gateway = psutil.Process(gateway)
        self._redis = psutil.Process(redis) if redis else None
        self._cores = cores
        self._client = psutil.Process()

    def look(self) -> Look:
        """Now."""
        busy = [_busy_seconds(core) for core in psutil.cpu_times(percpu=True)]
        gateway_core, client_core = (busy[core] for core in self._cores) if self._cores else (sum(busy), sum(busy))
        redis = _cpu_seconds(self._redis) if self._redis else 0.0
        return Look(
            perf_counter(), _cpu_seconds(self.gateway), _cpu_seconds(self._client), redis, gateway_core, client_core
        )


def run_step(port: int, guests: int, settle_seconds: float, seconds: float, watch: Watch) -> Step:
    """Let the guests come, measure while they are at it, let them finish and judge every visit."""
    tally = Tally()
    environment = Environment(
        user_classes=[make_guests(tally, port)], host=f"http://127.0.0.1:{port}", stop_timeout=STOP_SECONDS
    )
    listen(environment, tally)
    runner = environment.create_local_runner()
    runner.start(guests, spawn_rate=min(FASTEST_RAMP, max(1, guests / RAMP_SECONDS)))
    _wait_for_guests(runner, guests)
    gevent.sleep(settle_seconds)
    before, tally.is_open = watch.look(), True
    gevent.sleep(seconds)
    after, tally.is_open = watch.look(), False
    rss_mb = watch.gateway.memory_info().rss / 1e6
    tally.is_over = True
    runner.stop()
    passed = after.at - before.at
    return measure_step(
        guests,
        passed,
        tally,
        Core((after.gateway - before.gateway) / passed, (after.gateway_core - before.gateway_core) / passed),
        Core((after.client - before.client) / passed, (after.client_core - before.client_core) / passed),
        Rest((after.redis - before.redis) / passed, rss_mb),
    )


def listen(environment: Environment, tally: Tally) -> None:
    """Take what locust measures: every request's time, and whatever went wrong."""

    def take_request(name: str, response_time: float, exception: Exception | None = None, **_: Any) -> None:
        tally.time(name, response_time)
        if exception is not None:
            tally.trouble(f"{name}: {exception}")

    def take_error(exception: Exception, **_: Any) -> None:
        tally.trouble(f"{type(exception).__name__}: {exception}")

    environment.events.request.add_listener(take_request)
    environment.events.user_error.add_listener(take_error)


def _wait_for_guests(runner: LocalRunner, guests: int) -> None:
    with gevent.Timeout(STOP_SECONDS):
        while runner.user_count < guests:
            gevent.sleep(0.05)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _busy_seconds(core: Any) -> float:
    return float(sum(core) - core.idle - getattr(core, "iowait", 0.0) - getattr(core, "guest", 0.0))


def main() -> None:
    """Run the step and print it. It exits with 0 also when events were lost: the step says so."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.knee.client", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway-pid", type=int, required=True)
    parser.add_argument("--redis-pid", type=int)
    parser.add_argument("--cores", type=int, nargs=2, help="the gateway's and the client's")
    parser.add_argument("--guests", type=int, required=True)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before the window")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the window")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # locust warns of a busy CPU: that is in the figures
    raise_descriptor_limit()
    if options.cores:
        os.sched_setaffinity(0, {options.cores[1]})
    gc.freeze()  # what was imported is here to stay: collections need not look at it
    watch = Watch(options.gateway_pid, options.redis_pid, options.cores)
    step = run_step(options.port, options.guests, options.settle, options.seconds, watch)
    sys.stdout.buffer.write(msgspec.json.encode(step) + b"\n")


if __name__ == "__main__":
    main()
