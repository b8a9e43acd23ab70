"""What is made at first start and kept in the database, the same for every process: secrets, and the log's identity."""

import secrets

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.database.engine import Database, unavailable_as_error
from infra.database.models import KEYRING


async def stored_secret(database: Database, name: str) -> str:
    """The secret of this name, made now if this is the first start. Raises DatabaseUnavailable."""
    stored = await _read(database, name)
    if stored is None:
        try:
            with unavailable_as_error():
                async with database.write() as connection:
                    await connection.execute(insert(KEYRING).values(name=name, value=secrets.token_urlsafe(32)))
        except IntegrityError:
            pass  # another process was faster
        stored = await _read(database, name)
    assert stored is not None
    return stored


async def _read(database: Database, name: str) -> str | None:
    async with database.read() as connection:
        return await read_entry(connection, name)


async def read_entry(connection: AsyncConnection, name: str) -> str | None:
    """The entry of this name, None when there is none."""
    value: str | None = await connection.scalar(select(KEYRING.c.value).where(KEYRING.c.name == name))
    return value


async def replace_entry(connection: AsyncConnection, name: str, value: str) -> None:
    """Write the entry, whether there is one or not. Whoever calls it keeps others from doing the same meanwhile."""
    if (await connection.execute(update(KEYRING).where(KEYRING.c.name == name).values(value=value))).rowcount == 0:
        await connection.execute(insert(KEYRING).values(name=name, value=value))
