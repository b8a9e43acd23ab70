"""The end-to-end bars' arithmetic: what a round asks for, what its figures are, and what is not a round."""

from dataclasses import replace

import pytest

from loadtests.bench.growth import growth_figures
from loadtests.bench.rounds import Load, Round, check
from loadtests.bench.whole import better_of, percentile, throughput_figures
from loadtests.probe import ProbeError, Watched

SEEN = Watched(0.0, 1.0, 2.0, 2.0, 160, 179, "completed", "s", ())


def test_a_load_asks_for_eight_results_of_every_dish() -> None:
    assert Load(sessions=50, dishes=20).results == 8000


def test_a_round_tells_its_rate_and_its_cost() -> None:
    done = Round(results=8000, seconds=0.5, cpu_seconds=0.4, client_seconds=0.1)
    assert (done.results_per_s, done.cpu_us_per_result, done.wall_us_per_result) == (16_000, 50, 62.5)


def test_figures_are_medians_of_the_rounds() -> None:
    rounds = [Round(1000, seconds, cpu, 0.05) for seconds, cpu in ((0.1, 0.09), (0.2, 0.03), (9.0, 0.06))]
    figures = throughput_figures(rounds)
    assert figures == pytest.approx({"results_per_s": 5000, "cpu_us_per_result": 60, "client_share": 0.25})


def test_growth_is_held_against_the_plain_rounds() -> None:
    plain = [Round(1000, 0.10, cpu, 0) for cpu in (0.04, 0.05, 0.90)]
    figures = growth_figures(plain, {"sessions": [Round(10_000, 1.5, 0.6, 0.36)]})
    assert figures["client_share"] == pytest.approx(0.2)
    assert figures["sessions_cpu_x"] == pytest.approx(1.2)
    assert figures["sessions_wall_x"] == pytest.approx(1.5)


@pytest.mark.parametrize(("of_10", "of_50"), [(700.0, 800.0), (800.0, 700.0)])
def test_we_are_held_against_the_better_rate_of_the_plain_way(of_10: float, of_50: float) -> None:
    figures = better_of({"results_per_s": of_10}, Round(round(of_50 * 2), 2.0, 0, 0))
    assert figures == {"results_per_s": 800.0, "results_per_s_of_10": of_10, "results_per_s_of_50": of_50}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile(range(1, 101), share) == value


def test_a_whole_job_is_right() -> None:
    check(SEEN, dishes=20)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(SEEN, results=159), id="a result is missing"),
        pytest.param(replace(SEEN, results=161), id="one too many"),
        pytest.param(replace(SEEN, status="completed_partial"), id="a stage failed"),
        pytest.param(replace(SEEN, status=""), id="no end"),
    ],
)
def test_anything_else_than_a_whole_job_is_an_error(seen: Watched) -> None:
    with pytest.raises(ProbeError, match="of 160"):
        check(seen, dishes=20)
