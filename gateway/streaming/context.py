"""What every stream of a process shares."""

import random
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse

from gateway.streaming.admission import Admission
from gateway.streaming.budget import Budget
from gateway.streaming.frames import control_frame, retry_frame
from gateway.streaming.hub import Hub
from infra.database.log import EventLog
from infra.database.repositories.snapshots import Snapshots
from infra.settings import SseSettings
from infra.telemetry.metrics import Metrics

# First frames, which may hold a snapshot, that are on their way to all browsers at once.
MOST_OPENING_BYTES = 268_435_456


HEADERS = {"Cache-Control": "no-store, no-transform", "Referrer-Policy": "no-referrer"}


class StreamContext:
    """What every stream of a process shares; `headers` are sse-starlette's with ours."""

    def __init__(
        self,
        hub: Hub,
        admission: Admission,
        event_log: EventLog,
        snapshots: Snapshots,
        settings: SseSettings,
        metrics: Metrics,
    ) -> None:
        self.hub = hub
        self.admission = admission
        self.log = event_log
        self.snapshots = snapshots
        self.settings = settings
        self.metrics = metrics
        self.openings = Budget(MOST_OPENING_BYTES)
        self.headers = EventSourceResponse(_no_content(), headers=HEADERS).raw_headers

    def retry_ms(self) -> int:
        """The base delay, 50 to 150 %: browsers that were cut off together must not come back together."""
        return round(self.settings.retry_ms * random.uniform(0.5, 1.5))

    def busy_frames(self) -> bytes:
        """The refusal that browsers come back from."""
        retry_ms = self.retry_ms()
        return retry_frame(retry_ms) + control_frame("stream.busy", {"retry_ms": retry_ms})


async def _no_content() -> AsyncIterator[bytes]:
    """The response wants an iterator; this one is never advanced."""
    yield b""
