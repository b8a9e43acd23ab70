"""The bytes on the wire: durable events with an id, control frames without (design: the stream)."""

from typing import Any

import orjson

from infra.bus.base import Entry
from infra.database.status import JOB_TERMINAL

# The last event of each run of a job, and the status it leaves; a retry may begin another run on the same stream.
TERMINAL_TYPES = {f"job.{status}": status.value for status in JOB_TERMINAL}


def event_frame(epoch: str, seq: int, entry: Entry) -> bytes:
    """The frame of a durable event. Its JSON holds no raw newline, so that it is one `data:` line."""
    return b"id: %b.%d\nevent: %b\ndata: %b\n\n" % (epoch.encode(), seq, entry.type.encode(), entry.data)


def control_frame(name: str, data: Any) -> bytes:
    """A named event without an id; a comment would be invisible to a page."""
    encoded = data if isinstance(data, bytes) else orjson.dumps(data)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encoded)


def retry_frame(milliseconds: int) -> bytes:
    """Tells the browser how long to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds
