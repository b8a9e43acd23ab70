"""Where a client says it stands: `<epoch>.<seq>`, as Last-Event-ID or in the query."""

import re

import msgspec

from infra.errors import InvalidInput

_ID = re.compile(r"([a-z0-9]{8})\.(0|[1-9][0-9]{0,17})")


class Position(msgspec.Struct, frozen=True):
    """A place in one life of a session's log; seq 0 is before the first event."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


def parse_position(text: str, field: str) -> Position:
    """The position that a client sent. Raises InvalidInput naming the field it came in."""
    found = _ID.fullmatch(text)
    if found is None:
        raise InvalidInput("Expected the id of an event, <epoch>.<seq>, for example k3v9x0ab.17.", field=field)
    return Position(found[1], int(found[2]))
