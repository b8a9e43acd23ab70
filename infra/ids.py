"""Identifiers: sortable by time for rows, random for epochs and lease tokens."""

import secrets
import time

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
EPOCH_LENGTH = 8


def new_id() -> str:
    """A 26 character id in the layout of ULID: 48 bits of milliseconds, then 80 random bits, in lower-case base 32.

    Ids made later sort later, so that inserts touch the end of an index.
    """
    return _id_of(time.time_ns() // 1_000_000)


def new_id_after(other: str) -> str:
    """A new id that sorts after the other one, even if the clock which that one comes from is ahead of ours."""
    made = new_id()
    if made > other or not is_id(other):
        return made
    milliseconds = 0
    for letter in other[:10]:
        milliseconds = milliseconds << 5 | _CROCKFORD.index(letter)
    return _id_of(milliseconds + 1)


def is_id(text: str) -> bool:
    """Whether the text has the form of an id."""
    return len(text) == 26 and all(letter in _CROCKFORD for letter in text)


def _id_of(milliseconds: int) -> str:
    number = milliseconds << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_epoch() -> str:
    """8 random characters of [a-z0-9] that name one life of a session's log."""
    return "".join(secrets.choice(_EPOCH_ALPHABET) for _ in range(EPOCH_LENGTH))


def new_token() -> str:
    """A lease token: 96 random bits, URL safe."""
    return secrets.token_urlsafe(12)
