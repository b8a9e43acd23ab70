"""Server-sent events as they stand on the wire. The reader is written in the wire suite."""

from tests.contract.wire.sse import Frame, StreamReader

__all__ = ["Frame", "StreamReader"]
