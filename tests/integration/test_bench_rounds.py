"""The end-to-end bars' client against a real gateway, in small: rounds, an even pace, and commit times from the bus."""

from collections.abc import AsyncIterator

import pytest

from loadtests.bench.commits import CommitListener, delays_ms
from loadtests.bench.rounds import STAGES, Crew, Load
from loadtests.bench.whole import one_after_the_other, submit_evenly
from loadtests.probe import STAGECAST
from tests.gateway_process import GatewayProcess
from tests.integration.conftest import StartGateway
from tests.servers import RedisServer
from tests.waiting import wait_for

LOAD = Load(sessions=4, dishes=3)
# job.accepted, job.started, a start and an end for each stage, and the job's end.
OTHER_EVENTS = 2 + 2 * STAGES + 1


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway("sqlite", "redis", PROVIDER="synthetic")


@pytest.fixture
async def crew(gateway: GatewayProcess) -> AsyncIterator[Crew]:
    assert gateway.process is not None
    crew = Crew(gateway.port, STAGECAST, [gateway.process.pid])
    yield crew
    crew.leave()


async def test_a_round_is_done_and_its_cost_is_the_gateways(crew: Crew) -> None:
    for _ in range(2):
        done = await crew.work(LOAD)
        assert done.results == LOAD.sessions * LOAD.dishes * STAGES
        assert done.cpu_seconds > 0
        assert done.seconds > 0


async def test_every_event_has_a_commit_before_its_arrival(crew: Crew, redis_server: RedisServer) -> None:
    listener = CommitListener()
    await listener.start(redis_server.port)
    paced = await submit_evenly(await crew.gather(LOAD.sessions), LOAD, pace_seconds=0.01)
    events = LOAD.results + LOAD.sessions * OTHER_EVENTS

    def all_heard() -> bool:
        heard = listener.times()
        return sum(len(heard.get(one.session_id, ())) for one in paced.seen) >= events

    await wait_for(all_heard, 20)
    await listener.close()
    delays = delays_ms(paced.seen, listener.times())
    assert len(delays) == events
    assert min(delays) >= 0
    assert max(delays) < paced.seconds * 1000
    assert paced.seconds >= 0.03
    assert min(paced.lateness_ms) >= -1  # a timer of uvloop may be a millisecond early


async def test_jobs_one_after_the_other_have_a_first_result_before_their_end(crew: Crew) -> None:
    waits = await one_after_the_other(crew, jobs=3)
    assert len(waits.firsts) == len(waits.ends) == 3
    assert 0 < waits.firsts[0] <= waits.ends[0]
    assert waits.client_share > 0
