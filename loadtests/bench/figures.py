"""The names of figures: which there are, how people call them, and which way is better."""

import statistics

from loadtests.bench.bars import Outcome

LABELS = {
    "cpu_us_per_event": "CPU per event, µs",
    "cpu_with_helpers_us_per_event": "CPU per event with Redis, µs",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "kb_per_connection": "memory per connection, KB",
    "connects_per_s": "connections opened/s",
    "delivered_per_s": "delivered/s",
    "results_per_s": "results/s",
    "results_per_s_of_50": "results/s, all with 50 browsers",
    "seconds_to_complete": "until all are complete, s",
    "log_pages_per_session": "pages of the log read per session",
    "hub_cores": "cores, hub",
    "helpers_cores": "cores, Redis or origin",
    "publisher_cores": "cores, publisher",
    "publisher_late_ms": "publisher late at worst, ms",
    "client_cores": "cores, client",
    "client_ms_per_tick": "our client's share of a burst, ms",
    "events_per_read": "events in a read of the client",
    "client_share": "client's share of its core",
    "client_late_p99_ms": "client late, p99, ms",
    "servers_share": "cores, Redis and database",
}
# The columns of a bar's table, when it has them; others follow by name.
SUMMARY = (
    "cpu_us_per_event",
    "cpu_with_helpers_us_per_event",
    "p50_ms",
    "p99_ms",
    "delivered_per_s",
    "hub_cores",
    "helpers_cores",
    "publisher_cores",
    "publisher_late_ms",
    "client_cores",
    "client_ms_per_tick",
    "events_per_read",
    "connects_per_s",
    "kb_per_connection",
)
MORE_IS_BETTER = frozenset({"results_per_s", "results_per_s_of_50", "connects_per_s"})
# The name says of which load it is, so that no other one belongs beside it.
OF_ITS_OWN_LOAD = frozenset({"results_per_s_of_50"})
# Those by which one hub is better than another. The hub's cores and the rate say the same as the CPU per event.
COMPARED = (
    "cpu_us_per_event",
    "cpu_with_helpers_us_per_event",
    "p50_ms",
    "p99_ms",
    "seconds_to_complete",
    "kb_per_connection",
    "connects_per_s",
    "publisher_cores",
)


def label(figure: str) -> str:
    """A figure's name for people."""
    return LABELS.get(figure, figure.replace("_", " "))


def number(value: float | None) -> str:
    """Three digits that count; thousands with a comma."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median_of(outcome: Outcome, program: str, figure: str) -> float | None:
    """Over all runs of a program; None when it has no such figure."""
    values = [run.figures[figure] for run in outcome.runs if run.program == program and figure in run.figures]
    return statistics.median(values) if values else None
