"""Gateways die, stop, freeze, or have their clock turned, in the middle of running jobs."""

import pytest

from tests.faults.harness.faults.gateway import (
    ClockCorrected,
    ClockJumped,
    GatewayKilled,
    GatewayPaused,
    GatewayStopped,
)
from tests.faults.harness.scene import Scene
from tests.faults.harness.world import SQLITE_ALONE, TWO_GATEWAYS
from tests.faults.scenario import (
    account,
    add_quiet_viewer,
    at_work,
    eventually,
    read_events,
    streams_go_on,
    strike,
    types_of,
)
from tests.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)


async def nobody_serves(scene: Scene) -> None:
    assert await scene.world.ask(0, "/health/live") is None


async def test_a_killed_gateway_goes_on_where_it_was() -> None:
    fault = GatewayKilled()
    async with at_work(SQLITE_ALONE, fault) as scene:
        await add_quiet_viewer(scene)
        await strike(scene, fault, nobody_serves)
        outcome, truth = await account(scene)
        assert "stage.recovering" in types_of(truth), "no stage was running when it was killed"
        assert outcome.total("connections") > len(outcome.verdicts), "no viewer had to come back"


async def test_a_stopped_gateway_hands_its_stages_back_and_goes_on() -> None:
    fault = GatewayStopped()
    async with at_work(SQLITE_ALONE, fault) as scene:
        await add_quiet_viewer(scene)
        await strike(scene, fault, nobody_serves)
        outcome, truth = await account(scene)
        assert "stage.retrying" in types_of(truth), "no running stage was handed back"
        assert "stage.recovering" not in types_of(truth), "a stage had to wait for its lease to expire"
        assert outcome.total("connections") > len(outcome.verdicts), "no viewer had to come back"


async def test_a_gateway_that_wakes_up_after_its_leases_writes_nothing_twice(postgres_server: PostgresServer) -> None:
    async def others_take_over(scene: Scene) -> None:
        async def is_taken() -> bool:
            return "stage.recovering" in types_of(await scene.ledger.read())

        await eventually(is_taken, "the other gateway takes a stage over")

    fault = GatewayPaused(0)
    async with at_work(TWO_GATEWAYS, fault, postgres=postgres_server) as scene:
        await add_quiet_viewer(scene)
        await strike(scene, fault, others_take_over)
        _, truth = await account(scene)
        assert "stage.recovering" in types_of(truth), "nobody took a stage of the gateway that slept"
        lost = [line for line in read_events(scene) if line["event"] == "stage_lease_lost"]
        print(f"  {len(lost)} of its attempts were refused when it woke up")


async def test_a_clock_that_jumps_by_hours_takes_no_lease_and_loses_no_job() -> None:
    forward, back = ClockJumped(3), ClockJumped(-5)
    async with at_work(SQLITE_ALONE, forward, back) as scene:
        await strike(scene, forward, streams_go_on)
        await strike(scene, back, streams_go_on)
        outcome, truth = await account(scene)
        assert "stage.recovering" not in types_of(truth), "a stage was taken from a run that was alive"
        assert set(outcome.answers) == {"202"}


async def test_what_a_crash_leaves_behind_under_a_clock_hours_ahead_is_taken_up_under_the_right_one() -> None:
    fault = ClockCorrected(3)
    async with at_work(SQLITE_ALONE, fault) as scene:
        await add_quiet_viewer(scene)
        await strike(scene, fault, nobody_serves)
        _, truth = await account(scene)
        assert "stage.recovering" in types_of(truth), "no stage was running when it was killed"
