"""The gateway's requests that have one answer: submit a job, look at it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from gateway.client.address import JobAddress, is_loopback
from gateway.client.backoff import Backoff
from gateway.client.errors import ProtocolError, Refused, Unreachable, reason_of, refusal

TIMEOUT_SECONDS = 30.0
SUBMIT_TRIES = 4


class Accepted(msgspec.Struct, frozen=True):
    """Where a submitted job is, and the token that opens its session. The URLs are paths."""

    job_id: str
    session_id: str
    session_token: str
    events_url: str
    status_url: str
    head: str


class Api:
    """Requests to one gateway. Raises Unreachable, Refused and ProtocolError."""

    def __init__(self, base: str, client: httpx.AsyncClient) -> None:
        self._base = base
        self._client = client

    async def submit(self, body: bytes, token: str | None = None) -> Accepted:
        """Post a job. A lost answer is asked for again with the same Idempotency-Key, so that there is one job."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16), **bearer(token)}
        backoff = Backoff()
        for tries_left in reversed(range(SUBMIT_TRIES)):
            try:
                response = await self._send("POST", "/v1/jobs", headers, body)
                return msgspec.json.decode(response.content, type=Accepted)
            except msgspec.DecodeError as error:
                raise ProtocolError(f"{self._base} is not a Stagecast gateway: {error}") from error
            except Unreachable as error:
                if not tries_left or isinstance(error.__cause__, httpx.ConnectError):
                    raise
            except Refused as error:
                if not tries_left or not error.may_pass:
                    raise
                backoff.ask(error.retry_after_seconds * 1000)
            await asyncio.sleep(backoff.next_seconds())
        raise AssertionError("the last try returns or raises")

    async def snapshot(self, address: JobAddress) -> dict[str, Any]:
        """The job with its stages and rows, as the protocol describes it."""
        response = await self._send("GET", address.status_path, bearer(address.token))
        try:
            return msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ProtocolError(f"{self._base} is not a Stagecast gateway: {error}") from error

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> httpx.Response:
        try:
            response = await self._client.request(method, self._base + path, headers=headers, content=body)
        except httpx.TransportError as error:
            raise Unreachable(self._base, reason_of(error)) from error
        if not response.is_success:
            raise refusal(response)
        return response


@asynccontextmanager
async def connected(base: str) -> AsyncIterator[Api]:
    """An Api with connections of its own."""
    async with new_client(base, httpx.Timeout(TIMEOUT_SECONDS, connect=10)) as client:
        yield Api(base, client)


def new_client(url: str, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """An HTTP client for this URL; the environment's proxies are used, except for this machine."""
    return httpx.AsyncClient(timeout=timeout, trust_env=not is_loopback(url), headers={"User-Agent": "stagecast"})


def bearer(token: str | None) -> dict[str, str]:
    """The header that opens a session. In a header, because URLs end up in the logs of proxies."""
    return {"Authorization": f"Bearer {token}"} if token else {}
