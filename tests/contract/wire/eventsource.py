"""What a browser's EventSource makes of the bytes of a stream: the parsing rules of the HTML standard, and no more.

The browser tier feeds the same bytes to this and to a real browser (tests/browser/test_eventsource.py), so that what
the suite concludes from it about browsers rests on an observation.
"""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Dispatched:
    """An event as a page's listener gets it."""

    type: str
    data: str
    last_event_id: str


@dataclass(slots=True)
class Interpreter:
    """One EventSource: takes the chunks of its connections; `events` is what its page has seen."""

    last_event_id: str = ""
    retry_ms: int | None = None
    events: list[Dispatched] = field(default_factory=list)

    def connect(self, chunks: Iterable[bytes]) -> None:
        """One connection from its first byte to its last. An event without its final empty line is dropped."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = "".join(decoder.decode(chunk) for chunk in chunks) + decoder.decode(b"", final=True)
        # What follows the last line end is an unfinished line, which is dropped with its event.
        *lines, _ = _LINE_END.split(text.removeprefix("\ufeff"))
        type_, data, event_id = "", "", self.last_event_id
        for line in lines:
            if line == "":
                self.last_event_id = event_id
                if data:
                    self.events.append(Dispatched(type_ or "message", data.removesuffix("\n"), event_id))
                type_, data = "", ""
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                type_ = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                event_id = value
            elif name == "retry" and value.isascii() and value.isdigit():
                self.retry_ms = int(value)
