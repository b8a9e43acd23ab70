"""The commands of `stagecast`: arguments in, exit code out; the work is in `gateway.terminal` and `gateway.client`."""

import asyncio
import sys
from typing import Annotated

import typer
from alembic.util import CommandError

from gateway.terminal.exits import Exit, Stop
from gateway.terminal.preflight import (
    check_database,
    check_workers,
    load_settings,
    open_socket,
    read_revision,
    unreachable,
    where,
)
from infra.database.migrate import migrate as migrate_database
from infra.errors import DatabaseUnavailable

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
    check_workers(settings, workers)
    asyncio.run(check_database(settings))
    listener = open_socket(host, port)
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
