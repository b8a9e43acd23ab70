"""What a browser makes of a stream's bytes, by the rules of the format: any of CRLF, LF and CR ends a line."""

import json
import re
from dataclasses import dataclass
from typing import Any

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Dispatched:
    """An event as a page gets it; `id` is None where the frame itself had none."""

    name: str
    data: Any
    id: str | None

    @property
    def seq(self) -> int:
        assert self.id is not None, f"{self.name} has no id"
        return int(self.id.rpartition(".")[2])


def dispatch(body: bytes) -> list[Dispatched]:
    """The events of a stream that ends after a whole frame, and fails where it does not."""
    events: list[Dispatched] = []
    fields: dict[str, list[str]] = {}
    lines = _LINE_END.split(body.decode())
    assert lines[-1] == "", f"cut inside a frame: {body[-80:]!r}"
    for line in lines[:-1]:
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            assert all(len(values) == 1 for values in fields.values()), f"a field twice: {fields}"
            event_id = fields.get("id", [None])[0]
            events.append(Dispatched(fields["event"][0], json.loads(fields["data"][0]), event_id))
        fields = {}
    assert not fields, f"a frame without its blank line: {fields}"
    return events
