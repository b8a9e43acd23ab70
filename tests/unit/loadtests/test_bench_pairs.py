"""Pairs of runs and what follows from them: order, ratios, medians, and runs that fail or cannot take place."""

from collections.abc import Callable

from loadtests.bench.bars import Bar, Goal, Kind, Outcome, Run
from loadtests.bench.delivering import Sample, costs, percentile
from loadtests.bench.feed import Schedule
from loadtests.bench.pairs import in_turn, judge, take_turns
from loadtests.bench.peers.base import Absent

RATIO = Goal("cost", Kind.RATIO, 0.5, "peer")


def silent(_line: str) -> None:
    """Nobody has to hear it."""


def bar(measure: Callable[[str, int], float], **more: object) -> Bar:
    """A bar of ours and a peer whose cost is what `measure` says."""

    async def run(program: str, pair: int) -> Run:
        return Run(program, pair, {"cost": measure(program, pair)})

    return Bar("P0", "nothing", [RATIO], ("ours", "peer"), run, **more)  # type: ignore[arg-type]


def test_programs_take_turns_and_nobody_always_begins() -> None:
    assert [list(in_turn(("a", "b"), pair)) for pair in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


async def test_ratios_are_those_of_the_same_round() -> None:
    """Rounds of 1/10, 2/4 and 9/10: the median of the ratios, not the ratio of the medians."""
    costs_of = {"ours": [1.0, 2.0, 9.0], "peer": [10.0, 4.0, 10.0]}
    outcome = await take_turns(bar(lambda program, pair: costs_of[program][pair], pairs=3), tell=silent)
    (verdict,) = outcome.verdicts
    assert (verdict.measured, verdict.lowest, verdict.highest, verdict.reached) == (0.5, 0.1, 0.9, True)


async def test_one_failed_run_is_kept_and_no_goal_is_reached() -> None:
    def measure(program: str, pair: int) -> float:
        if (program, pair) == ("ours", 1):
            raise RuntimeError("event 3 where 2 was due")
        return 1.0 if program == "ours" else 10.0

    outcome = await take_turns(bar(measure, pairs=3), tell=silent)
    assert len(outcome.runs) == 5
    assert outcome.failures == ["ours, round 2: RuntimeError: event 3 where 2 was due"]
    assert (outcome.verdicts[0].measured, outcome.verdicts[0].reached) == (0.1, False)


async def test_an_absent_peer_is_named_once_and_its_goal_is_not_reached() -> None:
    asked = []

    def measure(program: str, pair: int) -> float:
        asked.append(program)
        if program == "peer":
            raise Absent("not installed")
        return 1.0

    outcome = await take_turns(bar(measure, pairs=2), tell=silent)
    assert asked.count("peer") == 1
    assert outcome.absent == {"peer": "not installed"}
    assert outcome.failures == []
    assert (outcome.verdicts[0].measured, outcome.verdicts[0].reached) == (None, False)


async def test_others_run_in_the_first_rounds_only() -> None:
    outcome = await take_turns(bar(lambda *_: 1.0, others=("other",), other_pairs=2, pairs=3), tell=silent)
    assert [run.pair for run in outcome.runs if run.program == "other"] == [0, 1]


def test_a_goal_may_ask_for_more_instead_of_less() -> None:
    goal = Goal("rate", Kind.RATIO, 30, "peer", at_least=True)
    runs = [Run("ours", 0, {"rate": 3100.0}), Run("peer", 0, {"rate": 100.0})]
    assert judge(goal, "ours", Outcome("P0", "", runs=runs)).reached
    assert not judge(goal, "ours", Outcome("P0", "", runs=[Run("ours", 0, {"rate": 2900.0}), runs[1]])).reached


def test_cost_is_processor_time_by_events_that_reached_a_browser() -> None:
    before, after = Sample(10.0, 1.0, 0.0, 1000, 100), Sample(12.0, 1.5, 1.0, 501_000, 50_100)
    figures = costs(before, after)
    assert figures["cpu_us_per_event"] == 1.0
    assert figures["delivered_per_s"] == 250_000
    assert (figures["hub_cores"], figures["client_cores"], figures["events_per_read"]) == (0.25, 0.5, 10)


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile(range(1, 101), share) for share in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7], 99) == 7


def test_a_schedule_serves_its_channels_in_turn_and_knows_its_totals() -> None:
    schedule = Schedule(tick_seconds=0.1, per_tick=3, channels=4, seconds=0.5)
    ticks = list(schedule.plan())
    assert [[burst.channel for burst in tick] for tick in ticks] == [
        [0, 1, 2],
        [3, 0, 1],
        [2, 3, 0],
        [1, 2, 3],
        [0, 1, 2],
    ]
    counted = [0] * 4
    for burst in (burst for tick in ticks for burst in tick):
        assert burst.first == counted[burst.channel] + 1
        counted[burst.channel] += len(burst.events)
    assert counted == schedule.totals() == [4, 4, 4, 3]


def test_a_burst_of_one_channel_leaves_together() -> None:
    (tick, *_) = Schedule(tick_seconds=0.02, per_tick=8, channels=1, seconds=0.1).plan()
    assert [(burst.first, len(burst.events)) for burst in tick] == [(1, 8)]
