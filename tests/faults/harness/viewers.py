"""The viewers of a world: in this process, or in one of their own, which can be stopped with SIGSTOP."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tests.faults.harness.history import History
from tests.faults.harness.proxy import TcpProxy
from tests.faults.harness.recorder import Record, Recorder

END_SECONDS = 10.0


class Viewer:
    """A viewer inside this process, behind a door of its own. With a `job_id` it follows that job alone."""

    def __init__(self, name: str, door: TcpProxy, session_id: str, token: str, job_id: str | None = None) -> None:
        self.name = name
        self.door = door
        self.token = token
        self._recorder = Recorder(History(name, session_id, job_id))
        self._following: asyncio.Task[None] | None = None

    @property
    def history(self) -> History:
        return self._recorder.history

    @property
    def is_following(self) -> bool:
        """Whether it still wants events: a job's viewer stops by itself at the job's end."""
        return self._following is not None and not self._following.done()

    @property
    def is_live(self) -> bool:
        """Whether its connection is open now."""
        return self._recorder.live and self.is_following

    @property
    def position(self) -> int:
        """The number of the last event that it was handed; 0 before the first."""
        return self.history.position

    def collect(self) -> None:
        """Bring the history up to date."""
        if self.is_following:
            self._recorder.settle()

    async def start(self) -> None:
        """Begin to follow."""
        follow = self._recorder.follow(f"http://127.0.0.1:{self.door.port}", self.token)
        self._following = asyncio.create_task(follow, name=f"viewer {self.name}")

    async def stop(self) -> None:
        """End it. A viewer that broke has a failure in its history."""
        if self._following is None:
            return
        self.collect()
        self._following.cancel()
        (error,) = await asyncio.gather(self._following, return_exceptions=True)
        if isinstance(error, Exception):
            self.history.failure = f"the viewer broke: {error!r}"


class ProcessViewer:
    """A viewer of a session in a process of its own, which writes what it is handed to a file, a line at a time."""

    def __init__(self, name: str, door: TcpProxy, session_id: str, token: str, directory: Path) -> None:
        self.name = name
        self.door = door
        self.token = token
        self.history = History(name, session_id)
        self._live = False
        self._path = directory / f"{name.replace(' ', '-')}.jsonl"
        self._log = self._path.with_suffix(".log")
        self._read_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_following(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_live(self) -> bool:
        """Whether its connection was open when it last wrote something."""
        self.collect()
        return self._live and self.is_following

    @property
    def position(self) -> int:
        """The number of the last event that it has written down."""
        self.collect()
        return self.history.position

    async def start(self) -> None:
        """Start the process; it connects about a second later."""
        self._path.touch()
        self.history.opened_at = time.monotonic()
        self._process = await asyncio.to_thread(self._spawn)

    def _spawn(self) -> subprocess.Popen[bytes]:
        url = f"http://127.0.0.1:{self.door.port}"
        command = [sys.executable, "-m", "tests.faults.harness.viewer_process"]
        command += ["--url", url, "--session", self.history.session_id, "--file", str(self._path)]
        environment = {**os.environ, "TOKEN": self.token}
        with self._log.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its socket stays open, and nothing is read."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> None:
        """End it and take down the rest of its file."""
        if self._process is None:
            return
        self.collect()
        if self.is_following:
            self.history.closed_at = time.monotonic()
            self.resume()
            self._process.terminate()
        try:
            code = await asyncio.to_thread(self._process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await asyncio.to_thread(self._process.wait)
        self.collect()
        if code != 0:
            self.history.failure = f"the viewer's process ended with code {code}: {self._log.read_text()[-500:]}"

    def collect(self) -> None:
        """Take in what the file has gained. A line that is still being written waits for the next time."""
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            gained = file.read()
        gained = gained[: gained.rfind(b"\n") + 1]
        self._read_bytes += len(gained)
        for line in gained.splitlines():
            self._take(msgspec.json.decode(line, type=Record))

    def _take(self, record: Record) -> None:
        history = self.history
        if record.seen is not None:
            history.add(record.seen)
        if record.replaced is not None:
            history.replaced.append(record.replaced)
        self._live = record.live
        history.connections, history.repeated = record.connections, record.repeated
        history.gaps, history.complete = record.gaps, record.complete


AnyViewer = Viewer | ProcessViewer
