"""The commands of `stagecast`: arguments in, exit code out; the work is in `gateway.terminal` and `gateway.client`."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from alembic.util import CommandError
from rich.console import Console

from gateway.client.address import JobAddress, parse_base, parse_job_url
from gateway.client.api import Accepted, connected
from gateway.client.errors import ClientError, Refused, Unreachable
from gateway.terminal.exits import Exit, Stop
from gateway.terminal.following import follow, watch_command
from gateway.terminal.preflight import (
    check_database,
    check_workers,
    load_settings,
    open_socket,
    read_revision,
    unknown_variables,
    unreachable,
    where,
)
from gateway.terminal.source import Kind, read_body
from infra.database.continuity import change_all_epochs
from infra.database.engine import Database
from infra.database.migrate import migrate as migrate_database
from infra.errors import DatabaseUnavailable
from pipeline.verify import Verdict
from pipeline.verify import verify as verify_database

DEFAULT_URL = "http://127.0.0.1:8000"

T = TypeVar("T")

# No pretty tracebacks: they print local variables, and some of those are tokens.
app = typer.Typer(
    help="A job in, eight stages out, live in a browser.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; more than one needs Redis.")] = 1,
) -> None:
    """Run the gateway: the API, the streams, the live page, and the stages themselves."""
    # Only this command needs the server's modules, and they take a while to import.
    from gateway.terminal import server

    settings = load_settings()
    for line in unknown_variables(os.environ):
        print(f"warning: {line}", file=sys.stderr)
    check_workers(settings, workers)
    asyncio.run(check_database(settings, to_write=True))
    listener = open_socket(host, port, settings.sse.send_timeout_seconds)
    server.serve(settings, listener, server.page_url(listener), workers)


@app.command()
def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="Stages that run at once.")] = 64,
) -> None:
    """Run stages for a cluster (not built yet)."""
    raise Stop(
        Exit.USAGE,
        "There is no worker yet: STAGECAST_EXECUTION=cluster is not built.",
        "Stages run inside `stagecast serve`; with Redis, `stagecast serve --workers N` runs them in N processes.",
    )


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = load_settings()

    async def run() -> tuple[str | None, str | None]:
        before = await read_revision(settings)
        try:
            await migrate_database(settings.database)
        except DatabaseUnavailable as error:
            raise unreachable(settings, error) from error
        except CommandError as error:
            detail = f"{where(settings)} can't be migrated from {before}: {error}."
            raise Stop(Exit.SCHEMA, detail, "A newer Stagecast may have migrated it: use that one.") from error
        return before, await read_revision(settings)

    before, after = asyncio.run(run())
    if before == after:
        print(f"{where(settings)} is up to date: schema {after}.")
    else:
        print(f"{where(settings)} is migrated: schema {before or 'none'} -> {after}.")


@app.command()
def submit(
    file: Annotated[str, typer.Argument(help="A menu, a prompt, or a submission as JSON; - is standard input.")],
    kind: Annotated[Kind | None, typer.Option(help="What the text is; by default a menu.")] = None,
    target_language: Annotated[str | None, typer.Option(help="BCP 47 tag; by default en.")] = None,
    session: Annotated[str | None, typer.Option(help="Add the job to this session.")] = None,
    token: Annotated[str | None, typer.Option(help="The token of that session.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show the eight stages until the job ends.")] = False,
    url: Annotated[str, typer.Option(help="The gateway.")] = DEFAULT_URL,
) -> None:
    """Post a job."""
    body = read_body(file, kind, target_language, session)
    base = _valid(parse_base, url)
    console = Console(highlight=False)
    accepted = _from_gateway(_post(base, body, token))
    address = JobAddress(base, accepted.job_id, accepted.session_token)
    console.print(f"job     {address.job_id}\nstatus  {base}{address.status_path}", markup=False, soft_wrap=True)
    console.print(f"watch   {watch_command(address)}", markup=False, soft_wrap=True)
    if watch:
        _follow(address, console, insist=True)


@app.command()
def watch(
    job_url: Annotated[str, typer.Argument(help="The events_url or the status_url of a job, whole or as a path.")],
    token: Annotated[str | None, typer.Option(help="The session's token, when the URL has none.")] = None,
    url: Annotated[str, typer.Option(help="The gateway, when the URL names none.")] = DEFAULT_URL,
) -> None:
    """Follow a job to its end, through disconnects and restarts."""
    address = _valid(lambda job: parse_job_url(job, url, token), job_url)
    if address.token is None:
        raise Stop(Exit.USAGE, "The session's token is missing: give the events_url with its ?token=, or --token.")
    _follow(address, Console(highlight=False), insist=False)


@app.command()
def verify() -> None:
    """Prove that the log and the rows agree, or list where they do not."""
    settings = load_settings()

    async def run() -> Verdict:
        await check_database(settings, to_write=False)
        database = Database(settings.database)
        try:
            return await verify_database(database)
        except DatabaseUnavailable as error:
            raise unreachable(settings, error) from error
        finally:
            await database.close()

    verdict = asyncio.run(run())
    looked_at = f"{verdict.sessions} sessions, {verdict.jobs} jobs, {verdict.events} events"
    if not verdict.findings:
        print(f"ok: {looked_at}")
        return
    for finding in verdict.findings:
        job = f" job {finding.job_id}" if finding.job_id else ""
        print(f"{finding.rule}: session {finding.session_id}{job}: {finding.detail}")
    raise Stop(Exit.FAILED, f"{len(verdict.findings)} findings in {looked_at}.")


@app.command()
def restored() -> None:
    """Say that the database was restored where nobody could notice: every client starts over from a snapshot."""
    settings = load_settings()

    async def run() -> int:
        await check_database(settings, to_write=True)
        database = Database(settings.database)
        try:
            return await change_all_epochs(database)
        except DatabaseUnavailable as error:
            raise unreachable(settings, error) from error
        finally:
            await database.close()

    print(f"{where(settings)}: {asyncio.run(run())} sessions have new epochs.")


async def _post(base: str, body: bytes, token: str | None) -> Accepted:
    async with connected(base) as api:
        return await api.submit(body, token)


def _follow(address: JobAddress, console: Console, *, insist: bool) -> None:
    try:
        code = _from_gateway(follow(address, console, insist=insist))
    except KeyboardInterrupt:
        resume = f"To watch it again: {watch_command(address)}"
        raise Stop(Exit.INTERRUPTED, "stopped watching; the job goes on.", resume) from None
    if code is not Exit.OK:
        raise Stop(code)


def _from_gateway(work: Coroutine[Any, Any, T]) -> T:
    """Run a client's work; its errors are told in words."""
    try:
        return asyncio.run(work)
    except Unreachable as error:
        advice = "Is the gateway running? `stagecast serve` starts one here; --url names another one."
        raise Stop(Exit.FAILED, f"{error}.", advice) from None
    except Refused as error:
        raise Stop(Exit.FAILED, *error.lines()) from None
    except ClientError as error:
        raise Stop(Exit.FAILED, f"{error}.") from None


def _valid(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"{error}.") from None


def main() -> None:
    """Run the command of `sys.argv`; what stops it is said on stderr."""
    try:
        app()
    except Stop as stop:
        for index, line in enumerate(stop.lines):
            print(line if index else f"stagecast: {line}", file=sys.stderr)
        sys.exit(stop.code)


if __name__ == "__main__":
    main()
