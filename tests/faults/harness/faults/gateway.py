"""A gateway dies, is told to stop, freezes for longer than its leases, or sees its clock jump."""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import psutil

from tests.faults.harness.faults.blow import Blow, seen
from tests.faults.harness.world import LEASE_SECONDS, Site, World

ASK_SECONDS = 1.0
SETTLE_SECONDS = 10.0
# How long gateways work under a wrong clock before they die.
WORK_SECONDS = 1.0


class _OfGateway(Blow):
    def __init__(self, site: int = 0) -> None:
        super().__init__()
        self._site = site
        self.part = f"gateway {site + 1}"
        self.name = f"{self.name}, gateway {site + 1}"

    def applies_to(self, world: World) -> bool:
        return world.stack.gateways > self._site

    def site(self, world: World) -> Site:
        return world.sites[self._site]

    async def start_again(self, world: World) -> None:
        """Start the gateway on what it left behind."""
        site = self.site(world)
        await asyncio.to_thread(site.gateway.revive)
        self.note(f"process {site.pid} took its place")


class GatewayKilled(_OfGateway):
    """kill -9 in the middle of whatever it does."""

    name = "kill -9"
    seconds = (0.5, 4)

    async def strike(self, world: World) -> None:
        site = self.site(world)
        pid = site.pid
        await asyncio.to_thread(site.gateway.kill)
        assert site.gateway.process is not None
        assert site.gateway.process.returncode == -signal.SIGKILL
        self.note(f"process {pid} ended with {site.gateway.process.returncode}")

    async def heal(self, world: World) -> None:
        await self.start_again(world)


class GatewayStopped(_OfGateway):
    """SIGTERM, as every deployment does it: it drains, hands its stages back and ends."""

    name = "SIGTERM"
    seconds = (0.5, 4)

    async def strike(self, world: World) -> None:
        site = self.site(world)
        pid, began = site.pid, time.monotonic()
        code = await asyncio.to_thread(site.gateway.terminate)
        assert code == 0, f"the gateway ended with {code} after SIGTERM"
        self.note(f"process {pid} ended with 0 after {time.monotonic() - began:.1f} s")

    async def heal(self, world: World) -> None:
        await self.start_again(world)


class GatewayPaused(_OfGateway):
    """SIGSTOP for longer than a lease: whoever took its stages meanwhile must not be disturbed when it wakes up."""

    name = "SIGSTOP"
    seconds = (LEASE_SECONDS + 1, LEASE_SECONDS + 4)

    async def strike(self, world: World) -> None:
        site = self.site(world)
        site.gateway.pause()
        stopped = await seen(lambda: psutil.Process(site.pid).status() == psutil.STATUS_STOPPED, SETTLE_SECONDS)
        assert stopped, "SIGSTOP had no effect"
        assert await world.ask(self._site, "/health/live") is None, "a stopped process answered"
        self.note(f"process {site.pid} was stopped and /health/live got no answer")

    async def heal(self, world: World) -> None:
        self.site(world).gateway.resume()
        deadline = time.monotonic() + SETTLE_SECONDS
        while await world.ask(self._site, "/health/live") is None:
            assert time.monotonic() < deadline, "the gateway does not wake up"


def find_faketime() -> Path | None:
    """The library that turns a process's wall clock while it runs; None where it is not installed."""
    # Debian's package `faketime`. The MT one is for programs with threads.
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class ClockJumped(Blow):
    """The wall clock of all gateways jumps by some hours while they run, and later back to the truth.

    The monotonic clock goes on as it does on a real machine whose clock is set. PostgreSQL keeps its own clock.
    """

    # Struck by itself, not while the first gateway is down: it is asked for the time.
    part = "gateway 1"
    seconds = (3, 6)

    def __init__(self, hours: int) -> None:
        super().__init__()
        self._hours = hours
        self.name = f"clock {hours:+d} h"

    def applies_to(self, world: World) -> bool:
        return find_faketime() is not None

    def prepare(self, world: World) -> None:
        library = find_faketime()
        assert library is not None
        self._turn(world, 0)
        world.environment.update(
            LD_PRELOAD=str(library),
            FAKETIME_TIMESTAMP_FILE=str(self._file(world)),
            FAKETIME_NO_CACHE="1",  # a jump is seen at once, in a process that runs
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            # The "fix" breaks waits with a timeout on the monotonic clock: threads of Python starve each other.
            FAKETIME_FORCE_MONOTONIC_FIX="0",
            DONT_FAKE_MONOTONIC="1",  # the same, in the words of an older release
            NO_FAKE_STAT="1",
        )

    async def strike(self, world: World) -> None:
        self._turn(world, self._hours)
        self.note(f"the gateway's Date was off by {await self._wait_for(world, self._hours):+.2f} h")

    async def heal(self, world: World) -> None:
        self._turn(world, 0)
        self.note(f"then by {await self._wait_for(world, 0):+.2f} h")

    def _file(self, world: World) -> Path:
        return world.directory / "clock"

    def _turn(self, world: World, hours: int) -> None:
        # Renamed into place: a half-written line would be a clock of its own.
        new = self._file(world).with_suffix(".new")
        new.write_text(f"{hours * 3600:+d}\n")
        os.replace(new, self._file(world))

    async def _wait_for(self, world: World, hours: int) -> float:
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            off = await self._hours_off(world)
            if off is not None and abs(off - hours) < 0.01:
                return off
            assert time.monotonic() < deadline, f"the clock of the gateway is off by {off} h, not {hours} h"
            await asyncio.sleep(0.1)

    async def _hours_off(self, world: World) -> float | None:
        url = f"{world.sites[0].gateway.url}/health/live"
        try:
            async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False, verify=False) as client:
                date = (await client.get(url)).headers["date"]
        except httpx.TransportError:
            return None
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() / 3600


class ClockCorrected(ClockJumped):
    """All gateways die while their clock is some hours ahead, and start again under the right one.

    What they left behind, leases and times of the next attempt, then lies hours in the future.
    """

    seconds = (0.5, 3)

    def __init__(self, hours: int = 3) -> None:
        super().__init__(hours)
        self.name = f"kill -9 while the clock is {hours:+d} h"

    def applies_to(self, world: World) -> bool:
        # PostgreSQL's own clock is right all the time; of several gateways each has its own faults at its own times.
        return super().applies_to(world) and not world.stack.postgres

    async def strike(self, world: World) -> None:
        await super().strike(world)
        await asyncio.sleep(WORK_SECONDS)
        for site in world.sites:
            await asyncio.to_thread(site.gateway.kill)
            self.note(f"process {site.pid} ended with -9")

    async def heal(self, world: World) -> None:
        self._turn(world, 0)
        for site in world.sites:
            await asyncio.to_thread(site.gateway.revive)
        self.note(f"started again, off by {await self._wait_for(world, 0):+.2f} h")
