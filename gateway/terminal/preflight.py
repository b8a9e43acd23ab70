"""What must be right before the server starts; what is wrong is said in words, with an exit code of its own."""

import re
import socket
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.terminal.exits import Exit, Stop
from infra.database.engine import Database, unavailable_as_error
from infra.database.migrate import current_revision, newest_revision
from infra.errors import DatabaseUnavailable
from infra.settings import Settings

# Their values hold passwords and keys.
_SECRET = frozenset({"url", "secret"})
# How long a database that can't be written yet is waited for before the start.
PATIENCE_SECONDS = 15.0
# What a connection may have in the kernel beyond what its network takes.
MOST_UNSENT_BYTES = 131_072
# compose.yaml's own, see .env.example.
_FOR_COMPOSE = frozenset({"STAGECAST_POSTGRES_PASSWORD", "STAGECAST_PUBLISHED_PORT"})


def load_settings() -> Settings:
    """The settings of the environment and of `.env`. Raises Stop with a line for each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise Stop(Exit.USAGE, "These settings are wrong:", *map(_describe, error.errors())) from None
    except SettingsError as error:
        raise Stop(Exit.USAGE, "These settings are wrong:", _describe_group(error)) from None


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A line for each STAGECAST_ variable that is no setting: a misspelt one would otherwise do nothing, silently."""
    known = set(_variables(Settings, "STAGECAST_")) | _FOR_COMPOSE
    lines = []
    for name in sorted(name for name in names if name.upper().startswith("STAGECAST_") and name.upper() not in known):
        similar = get_close_matches(name.upper(), known, n=1)
        lines.append(f"{name} is not a setting and has no effect." + (f" Is it {similar[0]}?" if similar else ""))
    return lines


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{prefix}{name.upper()}__")


def check_workers(settings: Settings, workers: int) -> None:
    """Several processes need a bus between them. Raises Stop."""
    if workers > 1 and settings.redis.url is None:
        raise Stop(
            Exit.USAGE,
            f"--workers {workers} needs Redis, and STAGECAST_REDIS__URL is not set.",
            "Each worker is a process of its own: without Redis between them, the browsers of one would not hear live",
            "what another commits. Start a Redis and set STAGECAST_REDIS__URL=redis://127.0.0.1:6379/0, or serve with",
            "one worker.",
        )


async def check_database(settings: Settings, *, to_write: bool) -> None:
    """The database answers and has the newest schema; `to_write`: and it can be written. Raises Stop."""
    current = await read_revision(settings)
    newest = newest_revision()
    if current is None:
        raise Stop(Exit.SCHEMA, f"{where(settings)} is empty: run `stagecast migrate` first.")
    if current != newest:
        raise Stop(
            Exit.SCHEMA,
            f"{where(settings)} has the schema {current}; this program needs {newest}: run `stagecast migrate`.",
        )
    if to_write:
        await _check_writable(settings)


async def _check_writable(settings: Settings) -> None:
    """Whoever can read a database may still not write it: somebody holds the file's lock, or it is read-only.

    What may pass by itself is waited for, fifteen seconds.
    """
    try:
        database = Database(settings.database)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(DatabaseUnavailable),
                stop=stop_after_delay(PATIENCE_SECONDS),
                wait=wait_random_exponential(multiplier=0.1, max=1),
                reraise=True,
            ):
                with attempt, unavailable_as_error():
                    async with database.write():
                        pass
                    await database.ping()
        finally:
            await database.close()
    except Exception as error:
        raise unreachable(settings, error) from error


async def read_revision(settings: Settings) -> str | None:
    """The revision that the database's schema has, None when it is empty. Raises Stop when it can't be reached."""
    try:
        database = Database(settings.database)
        try:
            return await current_revision(database)
        finally:
            await database.close()
    except Exception as error:  # whatever the driver says, the person needs the same three things
        raise unreachable(settings, error) from error


def unreachable(settings: Settings, error: BaseException) -> Stop:
    """Which database could not be reached, why, and what to check; never its password."""
    lines = [f"{where(settings)} can't be used: {_reason(error)}."]
    if settings.database.url.startswith("sqlite"):
        lines.append("Check that the folder exists and may be written, and that the file is a SQLite database.")
    else:
        lines.append("Check that PostgreSQL runs there, that the database exists, and its user and password.")
    return Stop(Exit.DATABASE, *lines, "The address is the setting STAGECAST_DATABASE__URL.")


def where(settings: Settings) -> str:
    """The database as a person knows it, without its password."""
    url = urlsplit(settings.database.url)
    if url.scheme.startswith("sqlite"):
        return f"The database {url.path.removeprefix('/')}"
    # What stands before the last @ is user and password, even where the password holds characters that it should not.
    return f"The database {url.path.removeprefix('/') or '(without a name)'} at {url.netloc.rpartition('@')[2]}"


def open_socket(host: str, port: int, send_timeout_seconds: float = 30) -> socket.socket:
    """A bound socket, not yet listening, so that nobody waits for a server that does not start. Raises Stop.

    Its connections inherit a limit on unacknowledged data: closing one that takes nothing would otherwise wait for it.
    And one on what the kernel keeps for a reader that has stopped: 0.25 MB instead of 2.9 MB (Linux 6, loopback).
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise Stop(Exit.ADDRESS, f"{host} is not an address of this machine: {_reason(error)}.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(send_timeout_seconds * 1000))
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT_BYTES)
        listener.bind(address)
    except OSError as error:
        listener.close()
        advice = "Stop what listens there, or choose another one with --port."
        raise Stop(Exit.ADDRESS, f"Can't listen on {host} port {port}: {_reason(error)}.", advice) from None
    listener.set_inheritable(True)
    return listener


def _describe(error: Any) -> str:
    name = "STAGECAST_" + "__".join(str(part).upper() for part in error["loc"]) if error["loc"] else "STAGECAST_*"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    show = isinstance(given, str | int | float) and error["loc"] and error["loc"][-1] not in _SECRET
    return f"  {name}: {message}" + (f" (it is {given!r})" if show else "")


def _describe_group(error: SettingsError) -> str:
    """A group of settings that was set as a whole, to something that is not JSON."""
    found = re.search(r'field "(\w+)"', str(error))
    name = f"STAGECAST_{found[1].upper()}" if found else "STAGECAST_*"
    return f"  {name}: is a group of settings; set its members, {name}__<MEMBER>"


def _reason(error: BaseException) -> str:
    """What the operating system or the driver said in the first place, on one line."""
    *_, first = _causes(error)
    if isinstance(first, OSError) and first.strerror:
        return first.strerror.rstrip(".")
    return (str(first).strip().splitlines() or [type(first).__name__])[0].rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__
