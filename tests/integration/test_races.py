"""Cancel, retry, claim, completion and submission at the same moment: one outcome, one last event for each run.

Every race runs on SQLite through one gateway and on PostgreSQL through two, and ends with `stagecast verify`.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import pytest

from tests.client import Client, SubmittedJob, menu_of, wait_for_end
from tests.contract.wire.fold import STAGES, blank, fold
from tests.contract.wire.log_rules import ENDINGS, check_ids, check_job
from tests.contract.wire.sse import Frame
from tests.gateway_process import GatewayProcess, find_stagecast
from tests.servers import PostgresServer, RedisServer, wait_until

WAIT_SECONDS = 30.0
FENCED = ("lease_lost", "released")
# Without delays and second attempts of its own, so that every stage.retrying is somebody's retry.
ONE_ATTEMPT = {"PROVIDER": "synthetic", "PROCESSING__MAX_ATTEMPTS": "1", "SSE__DRAIN_SECONDS": "0.2"}


@dataclass(frozen=True)
class Place:
    """Gateways over one database, and a client of each: `here` takes the job, `there` is another gateway, if any."""

    gateways: Sequence[GatewayProcess]
    clients: Sequence[Client]

    @property
    def here(self) -> Client:
        return self.clients[0]

    @property
    def there(self) -> Client:
        return self.clients[-1]

    def slow_down(self) -> None:
        """From now on no answer comes while the test lasts: what is done to a running attempt can't come too late."""
        for gateway in self.gateways:
            gateway.settings["SYNTHETIC__LATENCY_MS"] = "600000"
            gateway.kill()
            gateway.start()

    def elsewhere(self, job: SubmittedJob) -> SubmittedJob:
        """The same job through the other gateway."""
        return replace(job, client=self.there)

    def fenced_runs(self) -> float:
        """How many runs of stages, at all gateways, found that their lease was not theirs any more, or were stopped."""
        samples = [item for client in self.clients for item in client.metrics().items()]
        outcomes = tuple(f'stagecast_stage_attempts_total{{kind="menu",outcome="{one}"' for one in FENCED)
        return sum(value for sample, value in samples if sample.startswith(outcomes))

    def check_job(self, job: SubmittedJob) -> list[Frame]:
        """The whole story of an ended job of its own session obeys the rules, and its row agrees; returns the story."""
        snapshot = wait_for_end(job)
        events = job.read_to_end()
        check_ids(events)
        check_job(events, "menu", runs=snapshot["run"])
        assert fold(blank(snapshot), events) == snapshot
        assert self.elsewhere(job).snapshot() == snapshot
        return events

    def verify(self) -> None:
        process = self.gateways[0].spawn([find_stagecast(), "verify"])
        assert process.wait(60) == 0, self.gateways[0].read_log()[-3000:]


Start = Callable[..., Place]


@pytest.fixture(params=["sqlite", "postgres"])
def start(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, redis_server: RedisServer
) -> Iterator[Start]:
    """Starts the gateways with settings; at the end log and rows must agree."""
    with ExitStack() as stack:
        places: list[Place] = []

        def begin(**settings: str) -> Place:
            if request.param == "sqlite":
                processes = [GatewayProcess(settings={**ONE_ATTEMPT, **settings})]
            else:
                url = postgres_server.create_database()
                processes = [
                    GatewayProcess(url, redis_url=redis_server.url, settings={**ONE_ATTEMPT, **settings})
                    for _ in range(2)
                ]
            gateways = [stack.enter_context(process) for process in processes]
            clients = [stack.enter_context(Client(gateway.url)) for gateway in gateways]
            places.append(Place(gateways, clients))
            return places[-1]

        yield begin
        for place in places:
            place.verify()


def at_once(*actions: Callable[[], httpx.Response]) -> list[int]:
    """Do all of it in the same moment; returns the statuses."""
    gate = threading.Barrier(len(actions))

    def act(action: Callable[[], httpx.Response]) -> int:
        gate.wait(10)
        return action().status_code

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def names(events: Sequence[Frame]) -> list[str | None]:
    return [event.event for event in events]


@pytest.mark.timeout(90)
def test_what_a_batch_answers_after_the_cancel_never_appears(start: Start) -> None:
    place = start(SYNTHETIC__LATENCY_MS="20")
    job = place.here.submit(menu_of(300))
    with job.stream() as stream:
        stream.read_until(lambda frame: frame.event == "item.updated" and frame.seq > 60)
        assert place.elsewhere(job).cancel().status_code == 202
        after = job.session_head()
        stream.read_all()
    wait_until(lambda: place.fenced_runs() == 8, WAIT_SECONDS, "eight runs, in the middle of a batch, notice their end")
    assert job.session_head() == after == stream.durable[-1].id
    events = place.check_job(job)
    assert events[-1].event == "job.cancelled"
    assert names(events).count("stage.cancelled") == 8


@pytest.mark.timeout(120)
def test_a_cancel_and_the_completion_at_once_leave_one_last_event(start: Start) -> None:
    place = start(SYNTHETIC__LATENCY_MS="5")
    chance = random.Random(20261121)
    total = 1 + 1 + 8 * (2 + 6) + 1
    outcomes: set[int] = set()
    for tries in range(60):
        job = place.here.submit(menu_of(6))
        with job.stream() as stream:
            wanted = chance.randint(9, total - 1)
            stream.read_until(lambda frame, wanted=wanted: frame.id is not None and frame.seq >= wanted)
            time.sleep(chance.random() * 0.003)
            status = place.elsewhere(job).cancel().status_code
        events = place.check_job(job)
        assert events[-1].event == ("job.cancelled" if status == 202 else "job.completed")
        assert status in (202, 409)
        outcomes.add(status)
        if tries >= 15 and len(outcomes) == 2:
            break
    assert outcomes == {202, 409}, "the race was never won by both"


@pytest.mark.timeout(120)
def test_a_cancel_and_the_next_claim_at_once_leave_one_last_event(start: Start) -> None:
    """One stage at a time, 12 ms each: the cancel comes while some have been claimed and the next is about to be.

    Or, on a busy machine, too late: then it is refused, and the job has ended well.
    """
    place = start(SYNTHETIC__LATENCY_MS="4", PROCESSING__CONCURRENCY="1")
    chance = random.Random(3)
    claimed: set[int] = set()
    for _ in range(25):
        job = place.here.submit(menu_of(3))
        wanted = chance.randrange(8)
        with job.stream() as stream:
            stream.read_until(lambda _, wanted=wanted: names(stream.durable).count("stage.started") >= wanted)
            time.sleep(chance.random() * 0.012)
            status = place.elsewhere(job).cancel().status_code
        assert status in (202, 409)
        events = place.check_job(job)
        assert events[-1].event == ("job.cancelled" if status == 202 else "job.completed")
        if status == 202:
            claimed.add(names(events).count("stage.started"))
    assert len(claimed) >= 3, "the cancel always met the same claim"
    assert min(claimed) < 8


@pytest.mark.timeout(90)
def test_two_cancels_at_once_are_one(start: Start) -> None:
    place = start(SYNTHETIC__LATENCY_MS="100")
    for _ in range(8):
        job = place.here.submit(menu_of(50))
        assert sorted(at_once(job.cancel, place.elsewhere(job).cancel)) == [202, 409]
        assert names(place.check_job(job)).count("job.cancelled") == 1


@pytest.mark.timeout(180)
def test_two_retries_of_a_stage_at_once_begin_one_attempt(start: Start) -> None:
    place = start(SYNTHETIC__FAILURE_RATE="1.0")
    jobs = [place.here.submit(menu_of(2)) for _ in range(10)]
    for job in jobs:
        assert wait_for_end(job)["status"] == "failed"
    # Else the first one's attempt may have failed already, and be retried rightly, when the second one comes.
    place.slow_down()
    for job in jobs:
        there = place.elsewhere(job)
        statuses = at_once(partial(job.retry, "price"), partial(there.retry, "price"))
        assert sorted(statuses) == [202, 409]
        wait_until(lambda job=job: job.snapshot()["stages"]["price"]["status"] == "running", WAIT_SECONDS, "it runs")
        assert there.cancel().status_code == 202
        events = place.check_job(job)
        began = [event.data for event in events if event.event in ("stage.retrying", "stage.started")]
        assert [data["attempt"] for data in began if data["stage"] == "price"] == [1, 1, 2], "started, retried, started"
        assert names(events).count("stage.retrying") == 1
        assert [name for name in names(events) if name in ENDINGS] == ["job.failed", "job.cancelled"]


@pytest.mark.timeout(120)
def test_retries_of_all_failed_stages_at_once_are_one_run_or_more_and_each_ends(start: Start) -> None:
    place = start(SYNTHETIC__FAILURE_RATE="1.0", SYNTHETIC__LATENCY_MS="2")
    for _ in range(4):
        job = place.here.submit(menu_of(2))
        wait_for_end(job)
        both = (job, place.elsewhere(job))
        retries = [partial(both[n % 2].retry, stage) for n, stage in enumerate(STAGES["menu"])]
        assert at_once(*retries) == [202] * 8
        events = place.check_job(job)
        assert names(events).count("stage.retrying") == 8
        assert wait_for_end(job)["run"] <= 9


@pytest.mark.timeout(120)
def test_a_retry_while_a_sibling_ends_the_run_is_in_this_run_or_begins_the_next(start: Start) -> None:
    # Half of the stages at a time: what fails among the first is retried while the others run, or after the end.
    place = start(SYNTHETIC__FAILURE_RATE="0.5", SYNTHETIC__LATENCY_MS="30", PROCESSING__CONCURRENCY="4")
    chance = random.Random(11)
    runs: set[int] = set()
    for tries in range(60):
        job = place.here.submit(menu_of(2))
        with job.stream() as stream:
            seen = stream.read_until(lambda frame: frame.event == "stage.failed" or frame.event in ENDINGS)
            if seen[-1].event == "stage.failed":
                time.sleep(chance.choice((0, 0.12)) * chance.random())  # half of them while the siblings surely run
                assert place.elsewhere(job).retry(seen[-1].data["stage"]).status_code == 202
                events = place.check_job(job)
                assert names(events).count("stage.retrying") == 1
                runs.add(job.snapshot()["run"])
        if tries >= 12 and runs == {1, 2}:
            break
    assert runs == {1, 2}, "the race was never won by both"


@pytest.mark.parametrize("start", ["postgres"], indirect=True)  # it takes another gateway to take over
@pytest.mark.timeout(60)
def test_a_running_attempt_cannot_be_retried_even_when_its_process_is_frozen(start: Start) -> None:
    """The zombie: its lease expires while it sleeps, another run takes the stage, and it wakes with answers."""
    place = start(SYNTHETIC__LATENCY_MS="100", PROCESSING__LEASE_SECONDS="1", PROCESSING__MAX_ATTEMPTS="3")
    frozen, awake = place.gateways
    job = place.here.submit(menu_of(40))
    there = place.elsewhere(job)
    with there.stream() as stream:
        stream.read_until(lambda frame: frame.event == "item.updated" and frame.seq > 40)
        frozen.pause()
        try:
            assert {there.retry(stage).status_code for stage in STAGES["menu"]} == {409}
            stream.read_until("stage.recovering")
            assert there.retry(stream.durable[-1].data["stage"]).status_code == 409
            stream.read_until("job.completed")
        finally:
            frozen.resume()
    assert awake.is_running
    wait_until(lambda: place.fenced_runs() > 0, WAIT_SECONDS, "the zombie notices")
    events = place.check_job(job)
    assert events == stream.durable, "nothing of the zombie's came after the end"


@pytest.mark.timeout(60)
def test_a_job_that_waits_for_its_next_attempts_is_cancelled_for_good(start: Start) -> None:
    settings = {"PROCESSING__MAX_ATTEMPTS": "5", "PROCESSING__RETRY_DELAY_SECONDS": "1"}
    place = start(SYNTHETIC__FAILURE_RATE="1.0", **settings)
    job = place.here.submit(menu_of(2))

    def waits() -> bool:
        return {stage["status"] for stage in job.snapshot()["stages"].values()} == {"retry_wait"}

    wait_until(waits, WAIT_SECONDS, "all stages wait")
    assert place.elsewhere(job).cancel().status_code == 202
    head = job.snapshot()["head"]
    time.sleep(2.5)  # longer than the delay, and than the reconciler takes to look
    assert job.snapshot()["head"] == head
    events = place.check_job(job)
    assert names(events)[-9:] == ["stage.cancelled"] * 8 + ["job.cancelled"]


@pytest.mark.timeout(60)
def test_a_retry_and_then_a_cancel_end_the_new_run_as_cancelled(start: Start) -> None:
    place = start(SYNTHETIC__FAILURE_RATE="1.0")
    job = place.here.submit(menu_of(4))
    wait_for_end(job)
    place.slow_down()
    assert job.retry("image").status_code == 202
    assert place.elsewhere(job).cancel().status_code == 202
    assert job.retry("price").status_code == 409
    assert job.cancel().status_code == 409
    events = place.check_job(job)
    assert [name for name in names(events) if name in ENDINGS] == ["job.failed", "job.cancelled"]
    statuses = {name: stage["status"] for name, stage in job.snapshot()["stages"].items()}
    assert statuses == {**dict.fromkeys(STAGES["menu"], "failed"), "image": "cancelled"}


@pytest.mark.timeout(90)
def test_a_retry_and_a_cancel_at_once_have_one_order(start: Start) -> None:
    """Cancelled first: the job is over, the retry comes too late. Retried first: the cancel ends the new run."""
    place = start(SYNTHETIC__FAILURE_RATE="1.0", SYNTHETIC__LATENCY_MS="20")
    for _ in range(8):
        job = place.here.submit(menu_of(2))
        wait_for_end(job)
        there = place.elsewhere(job)
        retried, cancelled = at_once(partial(job.retry, "price"), there.cancel)
        events = place.check_job(job)
        endings = [name for name in names(events) if name in ENDINGS]
        assert retried == 202, "a failed job can't be cancelled, so that the retry always finds it"
        assert endings == ["job.failed", "job.cancelled" if cancelled == 202 else "job.failed"]


@pytest.mark.timeout(60)
def test_one_key_with_two_bodies_at_once_is_one_job_and_refusals(start: Start) -> None:
    place = start()
    bodies = [menu_of(1), menu_of(2)]
    for number in range(6):
        answers: list[httpx.Response] = []
        actions = [
            partial(_post, place.clients[one % len(place.clients)], bodies[one // 2 % 2], f"key-{number}", answers)
            for one in range(8)
        ]
        assert sorted(at_once(*actions)) == [202] * 4 + [409] * 4, "four posts of each body, and one of them won"
        accepted = [answer.json() for answer in answers if answer.status_code == 202]
        assert len({answer["job_id"] for answer in accepted}) == 1
        place.check_job(SubmittedJob(place.here, **accepted[0]))


def _post(client: Client, body: dict[str, Any], key: str, answers: list[httpx.Response]) -> httpx.Response:
    answers.append(client.post_job(body, key=key))
    return answers[-1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1, 2])
def test_any_mixture_of_retries_and_cancels_leaves_one_ending_for_each_run(start: Start, seed: int) -> None:
    """Whatever was answered 202 is in the log exactly once, whatever was answered 409 is not."""
    place = start(SYNTHETIC__FAILURE_RATE="0.4", SYNTHETIC__LATENCY_MS="10")
    chance = random.Random(seed)
    jobs = [place.clients[n % len(place.clients)].submit(menu_of(3)) for n in range(8)]
    plans = [(job, chance.randrange(2**32)) for job in jobs for _ in range(3)]
    with ThreadPoolExecutor(len(plans)) as pool:
        done = list(pool.map(lambda plan: _disturb(place, *plan), plans))
    retried = cancelled = refused = 0
    for job in jobs:
        mine = [act for (owner, _), acts in zip(plans, done, strict=True) if owner is job for act in acts]
        events = place.check_job(job)
        assert names(events).count("stage.retrying") == mine.count(("retry", 202))
        assert names(events).count("job.cancelled") == mine.count(("cancel", 202)) <= 1
        retried += mine.count(("retry", 202))
        cancelled += mine.count(("cancel", 202))
        refused += sum(status == 409 for _, status in mine)
    assert retried, "no retry hit"
    assert cancelled, "no cancel hit"
    assert refused, "nothing was refused"


def _disturb(place: Place, job: SubmittedJob, seed: int) -> list[tuple[str, int]]:
    """One restless client: retries what it likes, and now and then cancels."""
    chance = random.Random(seed)
    acts: list[tuple[str, int]] = []
    for _ in range(12):
        time.sleep(chance.random() * 0.03)
        to = replace(job, client=chance.choice(place.clients))
        if chance.random() < 0.03:
            acts.append(("cancel", to.cancel().status_code))
        else:
            acts.append(("retry", to.retry(chance.choice(STAGES["menu"])).status_code))
    return acts
