"""Pairs of runs and what follows from them: order, ratios, medians, and runs that fail or cannot take place."""

from collections.abc import Callable

import pytest

from loadtests.bench.__main__ import all_bars, whole_outcomes
from loadtests.bench.bars import Bar, Goal, Kind, Outcome, Run
from loadtests.bench.delivering import Sample, Saturated, Work, check_load, costs, percentile
from loadtests.bench.feed import Schedule
from loadtests.bench.pairs import in_turn, judge, lacks, take_turns
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

    outcome = await take_turns(bar(measure, pairs=3), 4, tell=silent)  # three rounds are whole, which would be enough
    assert len(outcome.runs) == 7
    assert outcome.failures == ["ours, round 2: RuntimeError: event 3 where 2 was due"]
    assert (outcome.verdicts[0].measured, outcome.verdicts[0].reached) == (0.1, False)


async def test_an_absent_peer_is_named_once_and_its_goal_is_not_reached() -> None:
    asked = []

    def measure(program: str, pair: int) -> float:
        asked.append(program)
        if program == "peer":
            raise Absent("not installed")
        return 1.0

    rated = bar(measure, pairs=2)
    outcome = await take_turns(rated, tell=silent)
    assert asked.count("peer") == 1
    assert outcome.absent == {"peer": "not installed"}
    assert outcome.failures == []
    assert (outcome.verdicts[0].measured, outcome.verdicts[0].reached) == (None, False)
    assert lacks(outcome, 2) == ["cost: 0 of 2 rounds (peer: not installed)"]
    assert whole_outcomes([rated], [outcome], None, silent) == []


@pytest.mark.parametrize(("pairs", "reached"), [(4, False), (5, True), (6, True)])
async def test_a_goal_is_reached_by_as_many_rounds_as_its_bar_asks_for_and_not_by_fewer(
    pairs: int, reached: bool
) -> None:
    rated = bar(lambda program, _: 1.0 if program == "ours" else 10.0)
    outcome = await take_turns(rated, pairs, tell=silent)
    (verdict,) = outcome.verdicts
    assert (verdict.rounds, verdict.measured, verdict.reached) == (pairs, 0.1, reached)
    assert bool(lacks(outcome, rated.pairs)) is not reached
    assert whole_outcomes([rated], [outcome], pairs, silent) == ([outcome] if reached else [])


async def test_a_round_without_a_value_does_not_count() -> None:
    """A peer's figure of 0 makes no ratio: nothing was measured."""
    outcome = await take_turns(bar(lambda program, pair: 0.0 if (program, pair) == ("peer", 2) else 1.0), tell=silent)
    assert (outcome.verdicts[0].rounds, outcome.verdicts[0].reached) == (4, False)


async def test_a_failed_run_is_reported_unless_the_call_was_for_fewer_rounds() -> None:
    def measure(program: str, pair: int) -> float:
        if pair == 0:
            raise RuntimeError("lost")
        return 1.0

    rated = bar(measure)
    for pairs, written in ((None, 1), (2, 0)):
        outcome = await take_turns(rated, pairs, tell=silent)
        assert len(outcome.failures) == 2
        assert len(whole_outcomes([rated], [outcome], pairs, silent)) == written


async def test_a_failure_of_ours_does_not_let_a_bar_without_its_peer_replace_a_row() -> None:
    def measure(program: str, _pair: int) -> float:
        raise Absent("not installed") if program == "peer" else RuntimeError("lost")

    rated = bar(measure)
    outcome = await take_turns(rated, tell=silent)
    assert outcome.failures
    assert whole_outcomes([rated], [outcome], None, silent) == []


async def test_a_figure_without_a_limit_is_shown_and_never_reached_or_missed() -> None:
    shown = Goal("cost", Kind.RATIO, peer="peer")
    outcome = Outcome("P0", "", runs=[Run("ours", 0, {"cost": 3.0}), Run("peer", 0, {"cost": 1.0})])
    outcome.verdicts = [judge(shown, "ours", outcome, 5)]
    assert (outcome.verdicts[0].measured, outcome.verdicts[0].reached) == (3.0, None)
    assert judge(shown, "ours", Outcome("P0", ""), 5).reached is None
    assert lacks(outcome, 5) == []


async def test_what_a_peer_may_fail_at_is_told_and_is_no_failure() -> None:
    def measure(program: str, pair: int) -> float:
        if program in ("frail", "ours at the full load"):
            error = RuntimeError("closed")
            error.add_note("handler: out of sequence")
            raise error
        return 1.0

    rated = bar(measure, others=("frail",), may_fail=("frail",), attempts=("ours at the full load", "peer at more"))
    outcome = await take_turns(rated, 1, tell=silent)
    assert outcome.failures == []
    assert outcome.attempts == {
        "frail": "closed; handler: out of sequence",
        "ours at the full load": "closed; handler: out of sequence",
        "peer at more": "held: cost 1",
    }
    assert {run.program for run in outcome.runs} == {"ours", "peer"}


def test_no_bar_forgives_those_of_whom_a_goal_is_about_and_all_ask_for_five_rounds() -> None:
    for rated in all_bars():
        about = {rated.programs[0], *(goal.peer for goal in rated.goals)}
        assert not about & set(rated.may_fail)
        assert rated.pairs >= 5
        with_limit = {goal.peer for goal in rated.goals if goal.limit is not None} - {""}
        assert with_limit <= set(rated.programs), "a goal's peer runs in every round"


async def test_others_run_in_the_first_rounds_only() -> None:
    outcome = await take_turns(bar(lambda *_: 1.0, others=("other",), other_pairs=2, pairs=3), tell=silent)
    assert [run.pair for run in outcome.runs if run.program == "other"] == [0, 1]


def test_a_goal_may_ask_for_more_instead_of_less() -> None:
    goal = Goal("rate", Kind.RATIO, 30, "peer", at_least=True)
    runs = [Run("ours", 0, {"rate": 3100.0}), Run("peer", 0, {"rate": 100.0})]
    assert judge(goal, "ours", Outcome("P0", "", runs=runs), 1).reached
    assert not judge(goal, "ours", Outcome("P0", "", runs=[Run("ours", 0, {"rate": 2900.0}), runs[1]]), 1).reached


def test_cost_is_processor_time_by_events_that_reached_a_browser() -> None:
    before, after = Sample(10.0, 1.0, 0.0, 1000, 100, 3.0), Sample(12.0, 1.5, 1.0, 501_000, 50_100, 3.25)
    figures = costs(before, after, tick_seconds=0.02)
    assert figures["cpu_us_per_event"] == 1.0
    assert figures["cpu_with_helpers_us_per_event"] == 1.5
    assert figures["client_ms_per_tick"] == 10
    assert figures["delivered_per_s"] == 250_000
    assert (figures["hub_cores"], figures["client_cores"], figures["events_per_read"]) == (0.25, 0.5, 10)


def test_a_hub_that_delivers_less_than_half_of_its_load_has_not_done_the_work() -> None:
    work = Work(channels=1, browsers=500, tick_seconds=0.1, per_tick=8)
    assert work.rate == "80 events/s"
    before = Sample(10.0, 0.0, 0.0, 1000, 0)
    check_load(before, Sample(20.0, 0.0, 0.0, 1000 + 40_000 * 9, 0), work)
    with pytest.raises(Saturated, match=r"16,000 of 40,000 events/s"):
        check_load(before, Sample(20.0, 0.0, 0.0, 1000 + 16_000 * 10, 0), work)


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
