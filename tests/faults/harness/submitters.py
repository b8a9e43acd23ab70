"""Submitters: they order menus at a pace, and insist on each order until it is accepted."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from gateway.client.api import Accepted
from tests.faults.harness.history import Order
from tests.faults.harness.proxy import TcpProxy

# Generous: a machine that stands still for some seconds is not one of the faults.
ANSWER_SECONDS = 15.0
INSIST_SECONDS = 60.0
PAUSE_SECONDS = 0.2
DISHES = (8, 24)


class Submitter:
    """Orders one menu after the other. `doors` lead to all gateways: one that does not answer is left for the next.

    The same order is sent with the same Idempotency-Key and the same bytes until it gets 202: also after a lost answer,
    so that whether the job was made is unknown. Any other answer than 202 and 503 ends the order: it is a defect.
    """

    def __init__(self, name: str, doors: Sequence[TcpProxy], rng: random.Random) -> None:
        self.name = name
        self.orders: list[Order] = []
        self._doors = doors
        self._door = 0
        self._rng = rng
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def order(self, session: Accepted | None = None) -> Accepted | None:
        """Order a menu in a session, or in a new one. None when it was not accepted within a minute, or was refused."""
        name = f"{self.name} order {len(self.orders) + 1}"
        dishes = [{"name": name}, *({"name": f"dish {n}"} for n in range(2, self._rng.randint(*DISHES) + 1))]
        body: dict[str, Any] = {"kind": "menu", "target_language": "en", "items": dishes}
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        if session is not None:
            body["session_id"] = session.session_id
            headers["Authorization"] = f"Bearer {session.session_token}"
        self._door += 1  # each order begins at the next gateway, as behind a balancer
        began = time.monotonic()
        answers: list[str] = []
        accepted: Accepted | None = None
        while accepted is None and time.monotonic() - began < INSIST_SECONDS:
            answer = await self._send(msgspec.json.encode(body), headers)
            answers.append(answer if isinstance(answer, str) else str(answer.status_code))
            if isinstance(answer, httpx.Response) and answer.status_code == 202:
                accepted = msgspec.json.decode(answer.content, type=Accepted)
            elif isinstance(answer, httpx.Response) and answer.status_code != 503:
                break
            else:
                self._door += 1
                await asyncio.sleep(PAUSE_SECONDS)
        job_id, session_id = (accepted.job_id, accepted.session_id) if accepted else (None, None)
        seconds = time.monotonic() - began
        self.orders.append(Order(name, began, seconds, tuple(answers), job_id, session_id))
        return accepted

    async def _send(self, body: bytes, headers: dict[str, str]) -> httpx.Response | str:
        door = self._doors[self._door % len(self._doors)]
        try:
            return await self._client.post(f"http://127.0.0.1:{door.port}/v1/jobs", headers=headers, content=body)
        except httpx.TransportError as error:
            return type(error).__name__
