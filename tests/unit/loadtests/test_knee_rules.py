"""Where the knee is and by which rule, on steps that are written down; and which steps are measured to find it."""

from collections.abc import Callable

import pytest

from loadtests.knee.__main__ import Plan, climb
from loadtests.knee.rules import Knee, Limit, Rule, find_knee, find_limit, plan_refinement
from loadtests.knee.steps import Core, Step, slowest
from loadtests.knee.tally import Clock
from tests.unit.loadtests.written_steps import BUSY, GROWING, IDLE, make_step, quantiles

FELT = [clock for clock in Clock if clock is not Clock.SLOW_END]


def knee_of(*steps: Step) -> Knee:
    knee = find_knee(steps)
    assert knee is not None
    return knee


def rules_of(knee: Knee) -> list[Rule]:
    return [breach.rule for breach in knee.breaches]


def test_load_that_pays_has_no_knee() -> None:
    assert find_knee(GROWING) is None
    assert find_knee(GROWING[:1]) is None
    assert find_knee([]) is None


def test_past_the_knee_more_guests_bring_less_than_half_their_number_in_jobs() -> None:
    assert find_knee([*GROWING, make_step(80, 53)]) is None  # 51 % more jobs for 100 % more guests
    knee = knee_of(*GROWING, make_step(80, 52))
    assert (knee.at, knee.past, rules_of(knee)) == (40, 80, [Rule.YIELD])
    assert knee.breaches[0].words == "+100% guests (from 40) brought +49% finished jobs"


def test_jobs_are_compared_with_a_step_that_is_far_enough_for_noise_not_to_decide() -> None:
    # Measured against 40 guests, 44 would have had to bring 5 % more: too little to tell from noise.
    assert find_knee([*GROWING, make_step(44, 35)]) is None
    knee = knee_of(*GROWING, make_step(44, 35), make_step(50, 35))
    assert (knee.at, knee.past) == (44, 50)
    assert knee.breaches[0].words == "+25% guests (from 40) brought +0% finished jobs"


@pytest.mark.parametrize("clock", FELT)
def test_past_the_knee_a_time_that_guests_feel_is_three_times_as_long_and_no_longer_immediate(clock: Clock) -> None:
    assert find_knee([*GROWING, make_step(80, 70, {clock: 100})]) is None
    knee = knee_of(*GROWING, make_step(80, 70, {clock: 101}))
    assert (knee.at, knee.past, rules_of(knee)) == (40, 80, [Rule.WAITING])
    slow_from_the_start = [make_step(10, 10, {clock: 90}), make_step(20, 20, {clock: 270})]
    assert find_knee(slow_from_the_start) is None
    assert find_knee([slow_from_the_start[0], make_step(20, 20, {clock: 271})]) is not None


def test_the_way_from_the_decision_to_the_receipt_is_felt_too() -> None:
    late = make_step(80, 70, received={"price": quantiles(20), "image": quantiles(150)})
    assert slowest(late).p95 == 150
    assert rules_of(knee_of(*GROWING, late)) == [Rule.WAITING]


def test_slow_readers_wait_on_purpose() -> None:
    assert find_knee([*GROWING, make_step(80, 70, {Clock.SLOW_END: 5000})]) is None


def test_a_long_wait_names_the_knee_though_the_jobs_still_grow() -> None:
    # The figures of a run of 21 November 2026, which was said to have its knee at 160 guests: 54 % more jobs.
    waits = {10: 12.7, 20: 17.3, 40: 22.4, 80: 39.2, 160: 435.6, 320: 2248.7}
    jobs = {10: 5.8, 20: 12.3, 40: 24.2, 80: 47.8, 160: 73.7, 320: 65.0}
    knee = knee_of(*(make_step(guests, jobs[guests], {Clock.FIRST_RESULT: waits[guests]}) for guests in jobs))
    assert (knee.at, knee.past, rules_of(knee)) == (80, 160, [Rule.WAITING])
    assert knee.breaches[0].words == (
        "by the p95 (in brackets that with 10 guests), the first result took 436 ms (13 ms)"
    )


def test_every_rule_that_is_broken_is_named() -> None:
    knee = knee_of(*GROWING, make_step(80, 36, {Clock.FIRST_RESULT: 500, Clock.SNAPSHOT: 200}))
    assert rules_of(knee) == [Rule.WAITING, Rule.YIELD]
    assert "a snapshot took 200 ms (0 ms), the first result took 500 ms (10 ms)" in knee.breaches[0].words


def test_a_wait_that_larger_steps_do_not_have_is_noise() -> None:
    noisy = make_step(50, 43, {Clock.FIRST_RESULT: 150})
    assert find_knee([*GROWING, noisy, make_step(80, 70)]) is None
    assert knee_of(*GROWING, noisy, make_step(80, 70, {Clock.FIRST_RESULT: 200})).past == 50


def test_larger_steps_confirm_a_step_by_whichever_rule_they_break() -> None:
    knee = knee_of(*GROWING, make_step(50, 43, {Clock.SNAPSHOT: 150}), make_step(80, 44))
    assert (knee.at, knee.past, rules_of(knee)) == (40, 50, [Rule.WAITING])


def test_the_knee_breaks_no_rule_in_whatever_order_the_steps_ran() -> None:
    steps = [make_step(80, 44), make_step(50, 43), *GROWING, make_step(64, 45)]
    knee = knee_of(*steps)
    assert (knee.at, knee.past) == (50, 64)


@pytest.mark.parametrize(
    ("gateway", "client", "limit"),
    [
        (BUSY, IDLE, Limit.GATEWAY),
        (BUSY, BUSY, Limit.CLIENT),
        (IDLE, BUSY, Limit.CLIENT),
        (IDLE, IDLE, Limit.NEITHER),
        (Core(0.7, 0.98), IDLE, Limit.OTHERS),
        (BUSY, Core(0.1, 0.99), Limit.OTHERS),
    ],
)
def test_what_gave_out_is_named_and_the_client_is_never_taken_for_the_gateway(
    gateway: Core, client: Core, limit: Limit
) -> None:
    assert find_limit(make_step(10, 10, gateway=gateway, client=client)) is limit


def test_what_fills_up_a_little_past_the_knee_is_what_gave_out() -> None:
    nearly = make_step(80, 36, gateway=Core(0.9, 0.91))
    knee = knee_of(*GROWING, nearly, make_step(160, 36))
    assert (knee.past, knee.limit, knee.full_at) == (80, Limit.GATEWAY, 160)
    knee = knee_of(*GROWING, nearly)
    assert (knee.limit, knee.full_at) == (Limit.NEITHER, 80)


def measuring(jobs: Callable[[int], float], patience: float, asked: list[int]) -> Callable[[int], Step]:
    """A gateway that lets guests wait for half a second when there are more than `patience`."""

    def measure(guests: int) -> Step:
        asked.append(guests)
        return make_step(guests, jobs(guests), {Clock.FIRST_RESULT: 500 if guests > patience else 10})

    return measure


def test_the_climb_doubles_until_past_the_knee_and_then_halves_the_way_back_to_it() -> None:
    asked: list[int] = []
    steps = climb(Plan(first=10, most=1000), measuring(lambda guests: min(guests, 120), 113, asked))
    assert asked == [10, 20, 40, 80, 160, 320, 120, 100, 110]
    assert [step.guests for step in steps] == sorted(asked)
    knee = knee_of(*steps)
    assert (knee.at, knee.past) == (110, 120)


@pytest.mark.parametrize("patience", range(10, 640, 7))
@pytest.mark.parametrize("rule", [Rule.WAITING, Rule.YIELD])
def test_the_climb_never_looks_above_the_step_past_the_knee_and_comes_close(patience: int, rule: Rule) -> None:
    asked: list[int] = []
    jobs, bound = (float, patience) if rule is Rule.WAITING else (lambda guests: min(guests, patience), 2000)
    steps = climb(Plan(first=10, most=2560), measuring(jobs, bound, asked))
    doubled = [guests for guests in asked if guests in {10 * 2**power for power in range(9)}]
    assert asked[: len(doubled)] == doubled
    below, above = doubled[-3], doubled[-2]
    assert all(below < guests < above for guests in asked[len(doubled) :])
    assert len(asked) - len(doubled) <= 4
    knee = knee_of(*steps)
    assert knee.past - knee.at <= max(1, 0.15 * knee.at)
    assert rules_of(knee)[0] is rule
    if rule is Rule.WAITING:
        assert knee.at <= patience < knee.past


def test_the_climb_goes_on_when_a_larger_step_does_not_confirm_the_knee() -> None:
    jobs = {10: 10, 20: 20, 40: 22, 80: 80, 160: 90, 320: 91, 120: 88, 100: 92, 110: 91}
    steps = climb(Plan(first=10, most=1000), lambda guests: make_step(guests, jobs[guests]))
    assert [step.guests for step in steps] == sorted(jobs)
    assert knee_of(*steps).at == 100


def test_the_climb_ends_at_the_most_guests_when_there_is_no_knee() -> None:
    steps = climb(Plan(first=10, most=50), lambda guests: make_step(guests, guests))
    assert [step.guests for step in steps] == [10, 20, 40]


def test_nothing_lies_between_neighbours_and_what_is_close_is_close_enough() -> None:
    assert plan_refinement(Knee(1, 2, [], Limit.GATEWAY, 2)) is None
    assert plan_refinement(Knee(100, 115, [], Limit.GATEWAY, 115)) is None
    assert plan_refinement(Knee(100, 116, [], Limit.GATEWAY, 116)) == 108
