"""The benchmark's report: partial runs replace only their bars, and nothing that was missed looks reached."""

from pathlib import Path

import pytest

from loadtests.bench.bars import Goal, Kind, Outcome, Run, Verdict
from loadtests.bench.readme import with_table
from loadtests.bench.record import Circumstances, Record, Row, read_record, write_record
from loadtests.bench.table import goals_table, number, to_markdown
from loadtests.report import Machine

MACHINE = Machine("a processor", 2, "3.11", "Linux 6", 0.1)
GOAL = Goal("cpu_us_per_event", Kind.RATIO, 0.35, "nchan")


def outcome(name: str = "P1", measured: float | None = 0.25) -> Outcome:
    """A bar with a run of ours and one of the peer."""
    made = Outcome(name, "work", ["stagecast", "nchan", "pushpin"])
    made.runs = [Run("stagecast", 0, {"cpu_us_per_event": 1.0}), Run("nchan", 0, {"cpu_us_per_event": 4.0})]
    made.verdicts = [Verdict(GOAL, measured, measured, measured, measured is not None and measured <= 0.35)]
    return made


def circumstances(command: str) -> Circumstances:
    """Some day's."""
    return Circumstances("2026-01-01 00:00 UTC", command, MACHINE, {"nchan": "nchan 1"})


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    record = Record()
    record.take([outcome(measured=None)], circumstances("all"))
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record


def test_there_is_nothing_before_the_first_run(tmp_path: Path) -> None:
    assert read_record(tmp_path).rows == {}


def test_a_run_of_one_bar_leaves_the_others_with_their_own_circumstances() -> None:
    record = Record()
    record.take([outcome("P1"), outcome("P2")], circumstances("all"))
    record.take([outcome("P2", 0.5)], circumstances("only P2"))
    commands = [(row.outcome.name, row.circumstances.command) for row in record.in_order(["P1", "P2", "P3"])]
    assert commands == [("P1", "all"), ("P2", "only P2")]


def test_the_table_shows_both_values_the_ratio_and_the_goal() -> None:
    line = goals_table([Row(outcome(), circumstances("all"))])[-1]
    for part in ("P1", "CPU per event", "| 1 ", "nchan 4", "0.25x (0.25 to 0.25)", "<= 0.35x", "yes"):
        assert part in line


@pytest.mark.parametrize("measured", [0.36, None])
def test_what_is_missed_is_said(measured: float | None) -> None:
    assert "**no**" in goals_table([Row(outcome(measured=measured), circumstances("all"))])[-1]


def test_failures_and_absent_programs_stand_in_the_report() -> None:
    made = outcome()
    made.failures, made.absent = ["nchan, round 1: lost"], {"pushpin": "not installed"}
    text = to_markdown([Row(made, circumstances("all"))])
    assert "Failed: nchan, round 1: lost" in text
    assert "pushpin could not take part: not installed" in text


def test_the_readme_keeps_everything_but_the_block() -> None:
    rows = [Row(outcome(), circumstances("all"))]
    text = with_table("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n", rows)
    assert text.startswith("before\n<!-- bench -->\n")
    assert text.endswith("<!-- /bench -->\nafter\n")
    assert "old" not in text
    assert "Versions: nchan 1." in text
    assert with_table(text, rows) == text
    assert with_table("no marks", rows) == "no marks"


def test_numbers_have_three_digits_that_count() -> None:
    assert [number(value) for value in (0.3456, 12.34, 123.4, 200_000.0, None)] == [
        "0.346",
        "12.3",
        "123",
        "200,000",
        "",
    ]
