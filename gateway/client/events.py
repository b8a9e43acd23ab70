"""What a follower is handed: durable events and snapshots, and the ids by which they are numbered."""

import re
from typing import Any, Literal

import msgspec

_ID = re.compile(r"([a-z0-9]{8})\.(0|[1-9][0-9]{0,17})")


class EventId(msgspec.Struct, frozen=True):
    """The id of a durable event: a number in one life of a session's log."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class Event(msgspec.Struct, frozen=True):
    """A durable event; `data` is its JSON object, as the protocol describes it for each type."""

    id: EventId
    type: str
    data: dict[str, Any]


class Snapshot(msgspec.Struct, frozen=True):
    """The whole job (or session) at `position`, in place of events that are not to be had: forget what you knew."""

    position: EventId
    body: dict[str, Any]


class Link(msgspec.Struct, frozen=True):
    """The connection: live, or back in `seconds`; `renewing` is the server's routine, `waiting` has a reason."""

    state: Literal["live", "renewing", "waiting"]
    reason: str = ""
    seconds: float = 0.0


def parse_id(text: str) -> EventId:
    """The id `<epoch>.<seq>`. Raises ValueError."""
    found = _ID.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is not the id of an event")
    return EventId(found[1], int(found[2]))
