"""Session tokens: derived from the session's id with a key, so that checking one costs no look-up."""

import base64
import hashlib
import hmac

from infra.database.engine import Database
from infra.database.keyring import stored_secret
from infra.ids import is_id
from infra.settings import AccessSettings

COOKIE_PREFIX = "stagecast_"
# A browser that submits without end keeps the newest sessions; ids sort by time.
MOST_COOKIES = 16
_KEY_NAME = "session-tokens"


class Access:
    """Makes and checks the tokens of sessions. A token is 160 bits of HMAC-SHA-256 over the session's id."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def load(cls, settings: AccessSettings, database: Database) -> "Access":
        """With the configured key, else with the one in the database, made now if this is the first start."""
        if settings.secret is not None:
            return cls(settings.secret.get_secret_value().encode())
        return cls((await stored_secret(database, _KEY_NAME)).encode())

    def token(self, session_id: str) -> str:
        """The token of a session."""
        digest = hmac.digest(self._key, session_id.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:20]).rstrip(b"=").decode()

    def allows(self, session_id: str, credentials: "Credentials") -> bool:
        """Whether any of the presented tokens is this session's."""
        right = self.token(session_id).encode()
        presented = (*credentials.tokens, credentials.cookies.get(COOKIE_PREFIX + session_id, ""))
        return any(hmac.compare_digest(token.encode("utf-8", "replace"), right) for token in presented if token)


class Credentials:
    """What a request presents: `Authorization: Bearer`, `?token=`, and the cookies that earlier answers set."""

    __slots__ = ("cookies", "tokens")

    def __init__(self, authorization: str | None, query_token: str | None, cookie_header: str | None) -> None:
        scheme, _, bearer = (authorization or "").partition(" ")
        self.tokens = tuple(
            token for token in (bearer.strip() if scheme.lower() == "bearer" else "", query_token or "") if token
        )
        self.cookies = _our_cookies(cookie_header)

    def stale_cookies(self, session_id: str) -> list[str]:
        """The names of our oldest cookies, to be expired so that with the one of this session no more than 16 stay."""
        others = sorted(name for name in self.cookies if name != COOKIE_PREFIX + session_id)
        return others[: max(0, len(others) - MOST_COOKIES + 1)]


def _our_cookies(header: str | None) -> dict[str, str]:
    # By hand: the standard library's parser stops at the first cookie that it finds malformed, and cookies of other
    # applications on the same host (ports don't separate them) would hide ours.
    pairs = (part.strip().partition("=") for part in (header or "").split(";"))
    return {name: value for name, _, value in pairs if is_id(name.removeprefix(COOKIE_PREFIX))}
