"""A viewer as a process of its own; `viewers.ProcessViewer` starts it."""

import argparse
import asyncio
import os
import signal
from io import FileIO

import msgspec

from tests.faults.harness.history import History
from tests.faults.harness.recorder import Record, Recorder


async def view(url: str, session_id: str, token: str, file: FileIO) -> None:
    """Follow the session until SIGTERM; each record is in the file before the next event is asked for."""
    encoder = msgspec.json.Encoder()

    def write(record: Record) -> None:
        file.write(encoder.encode(record) + b"\n")

    recorder = Recorder(History(f"process {os.getpid()}", session_id), write)
    following = asyncio.create_task(recorder.follow(url, token))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    try:
        await following
    except asyncio.CancelledError:
        recorder.report()
    if recorder.history.failure:
        raise SystemExit(recorder.history.failure)


def main() -> None:
    """Read the arguments, and the token from the environment: arguments are seen by everybody."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--session", required=True)
    parser.add_argument("--file", required=True)
    given = parser.parse_args()
    with FileIO(given.file, "a") as file:
        asyncio.run(view(given.url, given.session, os.environ["TOKEN"], file))


if __name__ == "__main__":
    main()
