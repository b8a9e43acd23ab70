"""Follows a job on a terminal to its proven end, and shows what it found."""

import asyncio
import shlex
from typing import Any

from rich.console import Console

from gateway.client.address import JobAddress
from gateway.client.api import Api, connected
from gateway.client.backoff import Backoff
from gateway.client.errors import ClientError, Refused, Unreachable
from gateway.client.progress import JobProgress
from gateway.client.stream import JobStream
from gateway.terminal.exits import Exit
from gateway.terminal.results import result_table
from gateway.terminal.screen import open_screen

# The job has ended and is proven complete: a table is worth a few tries, not a long wait.
RESULT_TRIES = 6

_EXITS = {"completed": Exit.OK, "completed_partial": Exit.PARTIAL}


async def follow(address: JobAddress, console: Console, *, insist: bool) -> Exit:
    """Show the job until it ends; the exit code says how it did.

    A server that is away at the very start is an error, unless we `insist` because it was there a moment ago.
    """
    async with connected(address.base) as api:
        first = await _read_job(api, address, None if insist else 1)
        job = JobProgress.from_snapshot(first, empty=True)
        with open_screen(console, job) as screen:
            stream = JobStream(address, on_link=screen.link)
            async for item in stream.events():
                screen.show(item, job.apply(item))
        try:
            console.print(result_table(await _read_job(api, address, RESULT_TRIES)))
        except ClientError as error:
            console.print(f"The results can't be shown: {error}", markup=False)
        if job.status != "completed":
            console.print(outcome(job), markup=False, soft_wrap=True)
        console.print(prove(stream), markup=False, highlight=False, soft_wrap=True)
    return exit_of(job.status)


def exit_of(status: str) -> Exit:
    """The exit code that tells a script how a job ended."""
    return _EXITS.get(status, Exit.FAILED)


def prove(stream: JobStream) -> str:
    """The last line: whether we hold every event of the job, and what shows it."""
    if not stream.complete:
        return f"incomplete: the last event here is {stream.position}, the job's last is {stream.head}"
    if stream.snapshots:
        counted = f"a snapshot and the {stream.since_snapshot} events after it"
    elif stream.gapless:
        counted = f"{stream.received} of {stream.received} events"
    else:  # other jobs of the session have the numbers in between
        counted = f"all {stream.received} events"
    return f"complete: {counted}, head {stream.head}"


def outcome(job: JobProgress) -> str:
    """How a job that did not fully succeed has ended, with the stages that made it so."""
    others = [f"{stage.name} {stage.status}" for stage in job.stages.values() if stage.status != "completed"]
    return f"The job ended as {job.status.replace('_', ' ')}: {', '.join(others)}."


def watch_command(address: JobAddress) -> str:
    """The command that follows this job, ready to be pasted into a shell."""
    return f"stagecast watch {shlex.quote(address.shareable_url)}"


async def _read_job(api: Api, address: JobAddress, tries: int | None) -> dict[str, Any]:
    backoff = Backoff()
    while True:
        if tries is not None:
            tries -= 1
        try:
            return await api.snapshot(address)
        except Unreachable:
            if tries == 0:
                raise
        except Refused as error:
            if tries == 0 or not error.may_pass:
                raise
            backoff.ask(error.retry_after_seconds * 1000)
        await asyncio.sleep(backoff.next_seconds())
