"""What the load tests conclude from what they measured: a run that saw damage must never pass."""

from dataclasses import replace

import pytest

from loadtests.drift import Drift
from loadtests.ledger import Irregularities
from loadtests.report import Spread
from loadtests.rolling import Restart, Rolling, middle_spread, to_histogram
from loadtests.rolling import to_lines as rolling_lines
from loadtests.soak import Sample, Soak
from loadtests.soak import to_lines as soak_lines
from loadtests.vitals import Vitals, read_metrics
from loadtests.wave import Wave, count_page_ranges
from loadtests.wave import to_lines as wave_lines

WAVE = Wave(
    name="just started",
    browsers=2,
    complete=2,
    broken=Irregularities(),
    failures=[],
    resets=0,
    unproven=0,
    all_complete_seconds=1.0,
    caught_up_ms=Spread(1, 2, 3),
    connections=3,
    streams_open=1,
    refused=1,
    retry_ms=[7],
    sessions=1,
    page_ranges=1,
    log_reads=1,
    repairs=0,
    gateway_cpu_seconds=0.1,
    rss_before_mb=100,
    rss_after_mb=101,
)
RESTART = Restart(0, 1.2, 40.0, 2, {"drain": 2}, 0.5, 1.5, [0, 1, 1], 0.5, [500, 900])
ROLLING = Rolling(2, 2, 3, 90, 0, Irregularities(), [], 0, 0, 0, [RESTART, RESTART])
SAMPLE = Sample(0, 120, 0.1, 30, 5, 0, 0, 1, 1, 0.2, 0, 0, 0, 0)
DRIFT = Drift("memory, MB", 130, 131, 140, 1.5, True)
SOAK = Soak(30, SAMPLE, replace(SAMPLE, at=1800), [DRIFT], {"visits checked": 9}, [], [replace(SAMPLE, at=10)])


def test_a_good_storm_passes_and_is_told() -> None:
    assert WAVE.passed
    assert any("0 / 0 / 0 / 0" in line for line in wave_lines([WAVE]))


@pytest.mark.parametrize(
    "damage",
    [
        {"complete": 1},
        {"broken": Irregularities(lost=1)},
        {"broken": Irregularities(reordered=1)},
        {"failures": ["status 503"]},
        {"resets": 1},
        {"unproven": 1},
    ],
    ids=str,
)
def test_a_storm_with_any_damage_fails(damage: dict[str, object]) -> None:
    assert not replace(WAVE, **damage).passed  # type: ignore[arg-type]


def test_the_ranges_of_a_log_are_its_tail_and_the_pages_that_somebody_has_missed() -> None:
    assert count_page_ranges([], head=100, end=100) == 0
    assert count_page_ranges([100], head=100, end=100) == 0  # has everything
    assert count_page_ranges([10, 90], head=100, end=100) == 1
    assert count_page_ranges([1000], head=1300, end=1300) == 1 + 1  # 300 behind: one page, and then the tail
    assert count_page_ranges([0, 1299], head=1300, end=1300) == 1 + 3


def test_a_good_rolling_restart_passes_and_is_told() -> None:
    assert ROLLING.passed
    assert "lost 0, doubled 0, reordered 0" in rolling_lines(ROLLING)[0]


@pytest.mark.parametrize(
    "damage",
    [
        {"broken": Irregularities(doubled=1)},
        {"failures": ["status 404"]},
        {"incomplete": 1},
        {"restarts": [RESTART, replace(RESTART, exit_code=1)]},
    ],
    ids=str,
)
def test_a_rolling_restart_with_any_damage_fails(damage: dict[str, object]) -> None:
    assert not replace(ROLLING, **damage).passed  # type: ignore[arg-type]


def test_the_spread_leaves_out_the_outermost_twentieths() -> None:
    assert middle_spread([]) == 0
    assert middle_spread([5, 5, 5]) == 0
    assert middle_spread([*range(1, 100), 10_000]) == pytest.approx(90, abs=1)


def test_reconnects_are_counted_per_tenth_of_a_second() -> None:
    assert to_histogram([]) == [0]
    assert to_histogram([0.01, 0.25, 0.29]) == [1, 0, 2]


def test_a_good_soak_passes_and_is_told() -> None:
    assert SOAK.passed
    text = "\n".join(soak_lines(SOAK))
    assert "lost 0, doubled 0, reordered 0, foreign 0" in text
    assert "| memory, MB | 130 | 131 | 140 | +1.5 | flat |" in text


@pytest.mark.parametrize(
    "damage",
    [
        {"counts": {}},
        {"counts": {"visits checked": 9, "lost": 1}},
        {"counts": {"visits checked": 9, "unproven": 1}},
        {"troubles": ["status 500"]},
        {"drifts": [replace(DRIFT, flat=False)]},
        {"at_rest": replace(SAMPLE, connections=1)},
        {"at_rest": replace(SAMPLE, channels=1)},
        {"at_rest": replace(SAMPLE, redis_channels=2)},
        {"at_rest": replace(SAMPLE, descriptors=90)},
    ],
    ids=str,
)
def test_a_soak_with_any_damage_fails(damage: dict[str, object]) -> None:
    assert not replace(SOAK, **damage).passed  # type: ignore[arg-type]


def test_a_metric_is_summed_over_its_labels() -> None:
    text = '# HELP a b\nrefused_total{reason="process"} 2.0\nrefused_total{reason="session"} 3.0\nrefused_total_x 9.0\n'
    vitals = Vitals(1, 1.0, 1, 1, read_metrics(text))
    assert vitals.total("refused_total") == 5
    assert vitals.total("unknown") == 0
