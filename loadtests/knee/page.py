"""A page that follows a stream and looks at every event: EventSource's rules of `Browser`, fed with bytes by its owner.

No sockets in here: locust's guests read theirs with gevent, which asyncio's protocols do not know. All times are those
of the wall clock, because the events' `at` are: gateway and guests have to share a machine.
"""

import re
import time
from datetime import datetime

from loadtests.browser import Browser
from loadtests.chunks import take_chunks
from loadtests.knee.tally import Clock, Count, Tally

ENDINGS = frozenset({b"job.completed", b"job.completed_partial", b"job.failed", b"job.cancelled"})

# Every durable event begins with its job and its moment. The first "stage" is the event's own: quotes inside a value
# are escaped. About 1.5 µs an event.
_EVENT = re.compile(
    rb'^id: [a-z0-9]{8}\.(\d+)\nevent: ([a-z._]+)\ndata: \{"job_id":"([a-z0-9]+)","at":"([^"]+)"'
    rb'(?:.*?,"stage":"([a-z_]+)")?',
    re.MULTILINE,
)


class Page(Browser):
    """Follows a job's stream until its end, or a session's until the end of the job that it waits for.

    A `slow` page reads late on purpose: its times are no measurement of the gateway. `tally` gets the times of the
    jobs that `expect` names.
    """

    def __init__(self, path: str, tally: Tally, *, by_session: bool = False, slow: bool = False) -> None:
        super().__init__(0, path)
        self.by_session = by_session
        self.slow = slow
        self.results = 0
        self.reloaded = False
        self.is_closed = False
        self._tally = tally
        self._job_id = b""
        self._stages = ""
        self._sent_at = 0.0
        self._saw_event = self._saw_result = self._saw_end = False
        self._lines = 0
        self._live_after = 0
        self._buffer = self._rest = b""
        self._has_head = False

    def expect(self, job_id: str, kind: str, sent_at: float) -> None:
        """Wait for this job from now on; `sent_at` is when its POST was sent."""
        self._job_id = job_id.encode()
        self._stages = "" if kind == "menu" else f"{kind}: "
        self._sent_at = sent_at
        self.results = self._lines = 0
        self._saw_event = self._saw_result = self._saw_end = False

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.over or (self.by_session and self._saw_end)

    @property
    def pause_ms(self) -> int:
        """What the gateway asked for before the next connection."""
        return self._parting[1] if self._parting is not None else self._retry_ms

    def begin(self) -> bytes:
        """A new connection: the bytes to send."""
        self._lines += 1
        self._buffer = self._rest = b""
        self._has_head = self.is_closed = False
        return self.request()

    def reload(self) -> None:
        """Forget the position, as a page that is loaded anew does, and ask for a snapshot."""
        self.reloaded = True
        self.epoch = ""
        if "&from=snapshot" not in self.path:
            self.path += "&from=snapshot"

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection; `is_closed` says when the answer is over."""
        now = time.time()
        self._buffer += data
        if not self._has_head:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._has_head, self._buffer = True, rest
            if not self.take_status(int(head[9:12]), head):
                self.is_closed = True
                return
        chunks = take_chunks(self._buffer)
        self._buffer = chunks.rest
        frames, separator, self._rest = b"".join([self._rest, *chunks.parts]).rpartition(b"\n\n")
        if separator:
            self.take(frames)
            self._look_at(frames, now)
        self.is_closed = chunks.ended

    def _take_control(self, name: str, body: dict[str, object]) -> None:
        if name == "stream.open":
            self._live_after = int(str(body["head"]).rpartition(".")[2])
        super()._take_control(name, body)

    def _look_at(self, frames: bytes, now: float) -> None:
        events = results = 0
        moment, age_ms = b"", 0.0
        for number, name, job_id, at, stage in _EVENT.findall(frames):
            events += 1
            if at != moment:  # events of one commit share it
                moment, age_ms = at, max(0.0, (now - datetime.fromisoformat(at.decode()).timestamp()) * 1000)
            if name == b"item.updated":
                results += 1
                if not self.slow and int(number) > self._live_after:
                    self._tally.time_received(self._stages + stage.decode(), age_ms)
            if job_id == self._job_id:
                self._look_at_mine(name, stage, age_ms, (now - self._sent_at) * 1000)
        self._tally.count(Count.EVENTS, events)
        self._tally.count(Count.RESULTS, results)

    def _look_at_mine(self, name: bytes, stage: bytes, age_ms: float, since_post_ms: float) -> None:
        if name == b"item.updated":
            self.results += 1
        on_first_line = not self.slow and self._lines == 1
        if on_first_line and not self._saw_event:
            self._tally.time(Clock.FIRST_EVENT, since_post_ms)
        if on_first_line and not self._saw_result and name == b"item.updated":
            self._tally.time(Clock.FIRST_RESULT, since_post_ms)
        if not self.slow and name == b"stage.completed":
            self._tally.time_completed(self._stages + stage.decode(), since_post_ms)
        if name in ENDINGS:
            self._saw_end = True
            if self.slow:
                self._tally.time(Clock.SLOW_END, age_ms)
            else:
                self._tally.time(Clock.JOB_END, since_post_ms)
        self._saw_event = True
        self._saw_result = self._saw_result or name == b"item.updated"
