"""Many single look-ups by few queries: those that ask while a query runs share the next one.

Two thousand browsers that come back in one second ask two thousand times where their jobs stand; the database sees a
handful of queries. An answer is never older than its question: a query answers only what was asked before it began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from infra.errors import Overloaded

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_KEYS = 500
MOST_WAITING = 20_000


class Batched(Generic[Key, Value]):
    """Answers `get` through `read`, which finds many keys at once."""

    def __init__(self, read: Callable[[Sequence[Key]], Awaitable[dict[Key, Value]]]) -> None:
        self._read = read
        self._asked: dict[Key, asyncio.Future[Value | None]] = {}
        self._answering: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """The value, or None when there is none. Raises what `read` raises, and Overloaded past 20,000 keys."""
        answer = self._asked.get(key)
        if answer is None:
            if len(self._asked) >= MOST_WAITING:
                raise Overloaded
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._answering is None:
                self._answering = asyncio.create_task(self._answer(), name="batched look-ups")
        # Shielded: one that stops waiting must not take the answer from the others.
        return await asyncio.shield(answer)

    async def _answer(self) -> None:
        try:
            while self._asked:
                keys = list(self._asked)[:MOST_KEYS]
                answers = {key: self._asked.pop(key) for key in keys}
                try:
                    found = await self._read(keys)
                except BaseException as error:
                    _refuse(answers.values(), error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    for key, answer in answers.items():
                        if not answer.done():
                            answer.set_result(found.get(key))
        finally:
            self._answering = None
            _refuse(self._asked.values(), asyncio.CancelledError())
            self._asked.clear()


def _refuse(answers: Iterable[asyncio.Future[Value | None]], error: BaseException) -> None:
    for answer in answers:
        if answer.done():
            continue
        if isinstance(error, Exception):
            answer.set_exception(error)
            answer.exception()  # looked at: perhaps nobody waits any more
        else:
            answer.cancel()
