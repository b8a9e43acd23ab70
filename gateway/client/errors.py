"""What can go wrong for a client of the gateway."""

import http
from typing import Any

import httpx
import msgspec


class ClientError(Exception):
    """The gateway could not be used."""


class Unreachable(ClientError):
    """Nobody answers at the gateway's address."""

    def __init__(self, base: str, reason: str) -> None:
        self.base = base
        self.reason = reason
        super().__init__(f"{base} does not answer: {reason}")


class ProtocolError(ClientError):
    """The answer is not what a gateway says."""


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field, by its path, such as `items[3].name`."""

    field: str = ""
    detail: str = ""


class Problem(msgspec.Struct, frozen=True):
    """The members of an RFC 9457 problem that a person wants to know."""

    title: str = ""
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()


class Refused(ClientError):
    """The gateway (or what stands before it) answered with an error status."""

    def __init__(self, status: int, problem: Problem, retry_after_seconds: float = 0.0) -> None:
        self.status = status
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        super().__init__("; ".join(self.lines()))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status in (408, 425, 429) or self.status >= 500

    def lines(self) -> list[str]:
        """A line for each field, or one for the whole."""
        if self.problem.errors:
            return [f"{error.field}: {error.detail}" for error in self.problem.errors]
        said = self.problem.detail or self.problem.title
        return [f"{said.rstrip('.')}." if said else f"The server answered {self.status} {_phrase(self.status)}."]


def refusal(response: httpx.Response) -> Refused:
    """The error that a response (read to its end) stands for, whether or not it is a problem+json."""
    return refused(response.status_code, response.headers, response.content)


def refused(status: int, headers: httpx.Headers, body: bytes) -> Refused:
    """The same from the parts of a response, of whose body perhaps only the beginning was read."""
    problem = Problem()
    if "json" in headers.get("content-type", ""):
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, RecursionError):
            problem = Problem()
    return Refused(status, problem, _seconds(headers.get("retry-after")))


def reason_of(error: httpx.TransportError) -> str:
    """Why a request got no answer, in a few words."""
    if isinstance(error, httpx.ReadTimeout):
        return "nothing came for too long"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        refused = "refused" in str(error).lower() or "attempts failed" in str(error).lower()
        return "connection refused" if refused else str(error) or "no connection"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke"
    return str(error) or type(error).__name__


def _seconds(retry_after: Any) -> float:
    text = str(retry_after or "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
