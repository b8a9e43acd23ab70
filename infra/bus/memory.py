"""The bus of one process: a published message reaches the hub in the same call."""

from collections.abc import Sequence

from infra.bus.base import BusListener, Message


class MemoryBus:
    """Delivers to the one listener of this process, for the sessions that it subscribed to."""

    def __init__(self) -> None:
        self._listener: BusListener | None = None
        self._sessions: set[str] = set()

    async def start(self, listener: BusListener) -> None:
        self._listener = listener

    def publish(self, messages: Sequence[Message]) -> None:
        """Hand the messages over at once; without a subscriber they are dropped, as pub/sub does."""
        for message in messages:
            if self._listener is not None and message.session_id in self._sessions:
                self._listener.receive(message)

    async def subscribe(self, session_id: str) -> None:
        self._sessions.add(session_id)

    async def unsubscribe(self, session_id: str) -> None:
        self._sessions.discard(session_id)

    async def ping(self) -> bool:
        return True

    async def close(self) -> None:
        self._listener = None
        self._sessions.clear()
