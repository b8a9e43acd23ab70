"""A Redis that resets every connection: the bus drops, counts and tries again, and none of its tasks dies of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from infra.bus.base import Entry, Message
from infra.bus.redis import RedisBus
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics

PINGS = 300


# A process of its own: its reset must be there before the client's first write, and threads take turns.
_RESETTER = """
import socket, struct, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
"""


@contextmanager
def resetting() -> Iterator[int]:
    """The port of a server that resets every connection as soon as it has accepted it."""
    with subprocess.Popen([sys.executable, "-c", _RESETTER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Nobody:
    """Hears nothing, because nothing comes."""

    def receive(self, message: Message) -> None:
        raise AssertionError("a message came from nowhere")

    def gap_possible(self) -> None:
        raise AssertionError("nobody was ever connected")


async def publish_into_resets(port: int) -> Metrics:
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    bus = RedisBus(f"redis://127.0.0.1:{port}/0", "sse", supervisor, metrics)
    await bus.start(Nobody())
    message = Message("s" * 26, "abcdefgh", 1, (Entry("j" * 26, "job.started", b"{}"),), 0)

    for _ in range(PINGS):
        bus.publish([message])
        assert not await bus.ping()
    await supervisor.stop()
    await bus.close()
    return metrics


def test_no_task_dies_of_a_reset_at_any_moment_of_a_connection() -> None:
    # On uvloop, as in production: there a write to a transport that was just reset raises a bare RuntimeError.
    with resetting() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        metrics = runner.run(publish_into_resets(port))
    for task in ("bus.publish", "bus.receive"):
        assert not metrics.registry.get_sample_value("stagecast_task_restarts_total", {"task": task}), task
    assert (metrics.registry.get_sample_value("stagecast_bus_dropped_total") or 0) > 0
