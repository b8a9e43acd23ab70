"""What all channels and streams of a process may hold together, in bytes."""

from collections.abc import Iterator
from contextlib import contextmanager


class NoRoom(Exception):
    """The budget is used up for now."""


class Budget:
    """Counts bytes that are held. Who may do with less asks `scarce`; who can't asks for a share and is refused."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @property
    def scarce(self) -> bool:
        """Whether more is held than there should be."""
        return self.used > self.most

    @contextmanager
    def share(self, size: int) -> Iterator[None]:
        """Hold so many bytes. Raises NoRoom, but never for the only one, however large."""
        if self.used and self.used + size > self.most:
            raise NoRoom
        self.used += size
        try:
            yield
        finally:
            self.used -= size
