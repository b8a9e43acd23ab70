"""A TCP relay in front of PostgreSQL that breaks the connection at a COMMIT, before or after the server has it."""

import asyncio
from typing import Self

from sqlalchemy import make_url

from infra.settings import DatabaseSettings


class Relay:
    """Passes bytes both ways until it is told to break; after that it passes them again, unless it is `away`."""

    def __init__(self, target: DatabaseSettings) -> None:
        self._target = make_url(target.url)
        self._reached_server: bool | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.broken = False
        self.away = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._connections:
            writer.close()

    @property
    def settings(self) -> DatabaseSettings:
        """The settings that lead through the relay."""
        port = self._server.sockets[0].getsockname()[1]
        return DatabaseSettings(url=self._target.set(port=port).render_as_string(hide_password=False))

    def break_at_commit(self, reached_server: bool) -> None:
        """Break at the next COMMIT; with `reached_server` only its answer is lost."""
        self._reached_server = reached_server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.close()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:  # the server is away
            writer.close()
            return
        self._connections |= {writer, server_writer}
        back = asyncio.create_task(self._pass(server_reader, writer))
        while data := await reader.read(65536):
            if self._reached_server is not None and b"COMMIT" in data:
                reached, self._reached_server, self.broken = self._reached_server, None, True
                back.cancel()  # the answer will not arrive
                await asyncio.gather(back, return_exceptions=True)
                if reached:
                    server_writer.write(data)
                    await server_writer.drain()
                    await server_reader.read(65536)  # the server has committed
                break
            server_writer.write(data)
        for one in (writer, server_writer):
            one.close()
        await asyncio.gather(back, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
