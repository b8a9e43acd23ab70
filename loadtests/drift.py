"""Whether what was measured again and again stays where it is: medians of two parts of the run, and a slope."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# The first fifth is the warm-up: pools, caches and rings fill.
PARTS = 5


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much the last fifth may be above the second: a share of it or an amount, whichever is more."""

    share: float
    amount: float


@dataclass(frozen=True, slots=True)
class Drift:
    """One series. `slope_per_hour` is the least-squares line through everything after the warm-up."""

    name: str
    early: float
    late: float
    most: float
    slope_per_hour: float
    flat: bool


def find_drift(name: str, seconds: Sequence[float], values: Sequence[float], tolerance: Tolerance) -> Drift:
    """Compare the medians of the second and the last fifth. Raises ValueError for fewer than five values."""
    if len(values) < PARTS:
        raise ValueError(f"{len(values)} samples of {name} say nothing about a drift: {PARTS} are needed")
    size = len(values) // PARTS
    early, late = statistics.median(values[size : 2 * size]), statistics.median(values[-size:])
    slope = statistics.linear_regression(seconds[size:], values[size:]).slope
    allowed = max(tolerance.share * early, tolerance.amount)
    return Drift(name, early, late, max(values), round(slope * 3600, 2), late - early <= allowed)
