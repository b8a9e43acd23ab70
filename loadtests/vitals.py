"""What a gateway uses and counts: memory, CPU, descriptors and threads of its process, and the samples of /metrics."""

import resource
from dataclasses import dataclass

import httpx
import psutil  # type: ignore[import-untyped]

from tests.servers import Server

READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at a process. `metrics` are all samples of /metrics by name, labels included."""

    rss_bytes: int
    cpu_seconds: float
    descriptors: int
    threads: int
    metrics: dict[str, float]

    def total(self, name: str) -> float:
        """A metric over all its labels; 0 when it has not been counted yet."""
        return sum(value for sample, value in self.metrics.items() if sample.partition("{")[0] == name)


def read_metrics(text: str) -> dict[str, float]:
    """The samples of Prometheus' text format."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def look_at(gateway: Server) -> Vitals:
    """How the gateway is now."""
    assert gateway.process is not None
    url = f"http://127.0.0.1:{gateway.port}/metrics"
    # Nothing is verified over plain http, and reading the certificates takes 20 ms.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=READ_SECONDS) as client:
        text = (await client.get(url)).text
    process = psutil.Process(gateway.process.pid)
    times = process.cpu_times()
    return Vitals(
        process.memory_info().rss,
        times.user + times.system,
        process.num_fds(),
        process.num_threads(),
        read_metrics(text),
    )


def raise_descriptor_limit() -> int:
    """Allow this process, and those that it starts, as many open files as the system lets it; returns the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
