"""Places and openings: nobody can take all, and browsers that resume never wait for those that are new."""

import asyncio
from contextlib import AsyncExitStack, ExitStack

import pytest

from gateway.streaming.admission import OPENING_SECONDS, Admission, Refused, network_of
from infra.settings import SseSettings
from infra.telemetry.metrics import Metrics
from tests.unit.streaming.simulated_time import run_simulated

SETTINGS = SseSettings(
    max_connections=6,
    max_connections_per_session=4,
    max_connections_per_address=3,
    max_openings_new=2,
    max_openings_resumed=2,
)


@pytest.fixture
def admission() -> Admission:
    return Admission(SETTINGS, Metrics())


def take(admission: Admission, places: ExitStack, session_id: str, client: str | None) -> str:
    """`taken`, or why not."""
    try:
        places.enter_context(admission.place(session_id, client))
    except Refused as refused:
        return refused.reason
    return "taken"


def test_one_session_can_not_take_every_place(admission: Admission) -> None:
    with ExitStack() as places:
        found = [take(admission, places, "a", f"192.0.2.{n}") for n in range(6)]
        assert found == ["taken"] * 4 + ["session"] * 2
        assert take(admission, places, "b", "192.0.2.9") == "taken"


def test_one_address_can_not_take_every_place(admission: Admission) -> None:
    with ExitStack() as places:
        assert [take(admission, places, f"s{n}", "192.0.2.1") for n in range(4)] == ["taken"] * 3 + ["address"]
        assert take(admission, places, "s9", "192.0.2.2") == "taken"


def test_a_process_has_only_so_many_places(admission: Admission) -> None:
    with ExitStack() as places:
        found = [take(admission, places, f"s{n}", None) for n in range(7)]
        assert found == ["taken"] * 6 + ["process"]


def test_a_place_that_is_left_is_free_again_for_session_address_and_process(admission: Admission) -> None:
    for _ in range(3):
        with ExitStack() as places:
            for _ in range(3):
                assert take(admission, places, "a", "192.0.2.1") == "taken"
            assert not admission.empty.is_set()
        assert admission.connections == 0
        assert admission.empty.is_set()
    assert not admission._of_session, "a session that left is still remembered"
    assert not admission._of_address, "an address that left is still remembered"


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("2001:db8:1:3::9", "2001:db8:1:3::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_customer_is_one_address(client: str, network: str) -> None:
    assert network_of(client) == network


@pytest.mark.parametrize("resuming", [True, False])
def test_openings_of_one_sort_wait_for_each_other_and_never_for_the_other_sort(resuming: bool) -> None:
    async def wave() -> None:
        admission = Admission(SETTINGS, Metrics())
        async with AsyncExitStack() as opening:
            for _ in range(2):
                await opening.enter_async_context(admission.opening(resuming))
            waiting = asyncio.create_task(opening.enter_async_context(admission.opening(resuming)))
            async with admission.opening(not resuming):
                await asyncio.sleep(1)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    run_simulated(wave())


def test_whoever_waits_too_long_to_be_opened_is_refused_and_takes_nothing_along() -> None:
    async def crowd() -> None:
        admission = Admission(SETTINGS, Metrics())

        async def visit() -> str:
            try:
                async with admission.opening(True):
                    await asyncio.sleep(OPENING_SECONDS - 1)
            except Refused as refused:
                return refused.reason
            return "opened"

        found = await asyncio.gather(*(visit() for _ in range(10)))
        assert found == ["opened"] * 2 + ["opening"] * 8
        assert asyncio.get_running_loop().time() == pytest.approx(OPENING_SECONDS)
        assert await asyncio.gather(visit(), visit()) == ["opened"] * 2, "all budgets are back"

    run_simulated(crowd())


def test_an_opening_that_takes_too_long_is_given_up() -> None:
    async def hang() -> None:
        admission = Admission(SETTINGS, Metrics())
        with pytest.raises(Refused, match="opening"):
            async with admission.opening(False):
                await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == pytest.approx(OPENING_SECONDS)

    run_simulated(hang())
