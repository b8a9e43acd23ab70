"""Flat or not: what the soak says about series whose answer is known."""

import random

import pytest

from loadtests.drift import Tolerance, find_drift

SECONDS = [10.0 * number for number in range(180)]
TOLERANCE = Tolerance(share=0.05, amount=4)


def test_noise_around_a_level_is_flat() -> None:
    chance = random.Random(1)
    values = [150 + chance.uniform(-3, 3) for _ in SECONDS]
    drift = find_drift("memory", SECONDS, values, TOLERANCE)
    assert drift.flat
    assert abs(drift.slope_per_hour) < 3


def test_a_warm_up_is_no_drift() -> None:
    values = [min(150.0, 100 + 2 * number) for number in range(len(SECONDS))]
    assert find_drift("memory", SECONDS, values, TOLERANCE).flat


def test_what_falls_is_flat() -> None:
    assert find_drift("memory", SECONDS, [200 - second / 60 for second in SECONDS], TOLERANCE).flat


def test_a_leak_of_a_megabyte_a_minute_is_not_flat() -> None:
    drift = find_drift("memory", SECONDS, [150 + second / 60 for second in SECONDS], TOLERANCE)
    assert not drift.flat
    assert drift.slope_per_hour == pytest.approx(60)


def test_too_few_samples_are_an_error_and_not_a_verdict() -> None:
    with pytest.raises(ValueError, match="4 samples"):
        find_drift("memory", SECONDS[:4], [1, 2, 3, 4], TOLERANCE)
