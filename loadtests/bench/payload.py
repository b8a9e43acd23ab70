"""The event that every peer carries: 250 bytes of JSON that end in its number and a mark.

The mark is a byte that occurs nowhere else in what a hub sends, so that a client counts the events of a read at the
speed of memchr, and the number stands at a fixed place before it.
"""

import re

EVENT_BYTES = 250
EVENT_TYPE = "item.updated"
MARK = ord("~")
DIGITS = 10

_HEAD = b'{"job_id":"%b","at":"2026-01-01T00:00:00.000Z","item_id":"%b","stage":"translation","value":"'
_TAIL = b'","number":"%010d~"}'
# Nobody's bytes: an id of the right form for every event.
JOB_ID = "0" * 26

NUMBERS = re.compile(rb"(\d{10})~")


def payloads(first: int, count: int) -> list[bytes]:
    """The events numbered `first`, `first` + 1, ..."""
    return [_PREFIX + _TAIL % number for number in range(first, first + count)]


def _prefix() -> bytes:
    head = _HEAD % (JOB_ID.encode(), JOB_ID.encode())
    return head + b"x" * (EVENT_BYTES - len(head) - len(_TAIL % 0))


_PREFIX = _prefix()
