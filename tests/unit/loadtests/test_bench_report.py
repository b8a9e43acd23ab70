"""The benchmark's report: partial runs replace only their bars, and nothing that was missed looks reached."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench.__main__ import all_bars, judge_anew
from loadtests.bench.ahead import ahead_lines
from loadtests.bench.bars import Goal, Kind, Outcome, Run, Verdict
from loadtests.bench.figures import number
from loadtests.bench.prose import circumstances_lines, how_compared, who_ran
from loadtests.bench.readme import with_table
from loadtests.bench.record import Circumstances, Record, Row, look_around, read_record, write_record
from loadtests.bench.roster import PROGRAMS
from loadtests.bench.table import goals_table, to_markdown
from loadtests.report import Machine

MACHINE = Machine("a processor", 2, "3.11", "Linux 6", 0.1)
GOAL = Goal("cpu_us_per_event", Kind.RATIO, 0.35, "nchan")


def outcome(name: str = "P1", measured: float | None = 0.25) -> Outcome:
    """A bar with a run of ours and one of the peer."""
    made = Outcome(name, "work", ["stagecast", "nchan", "pushpin"])
    made.runs = [Run("stagecast", 0, {"cpu_us_per_event": 1.0}), Run("nchan", 0, {"cpu_us_per_event": 4.0})]
    made.verdicts = [Verdict(GOAL, measured, measured, measured, measured is not None and measured <= 0.35, 5)]
    return made


def circumstances(command: str, commit: str = "abc123", changed: int = 0) -> Circumstances:
    """Some day's."""
    versions = {"nchan": "nchan 1"}
    return Circumstances("2026-01-01 00:00 UTC", command, MACHINE, versions, commit, changed > 0, changed, 750.0)


def row(made: Outcome, **about: str | int) -> Row:
    """With the circumstances of a call for all bars, unless said otherwise."""
    return Row(made, circumstances(**{"command": "all", **about}))  # type: ignore[arg-type]


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


def test_a_row_that_was_measured_too_seldom_loses_its_yes_whatever_was_stored() -> None:
    old = outcome("P7")
    old.runs = [Run("stagecast", pair, {"p99_ms": 4.0}) for pair in range(3)]
    old.verdicts = [Verdict(Goal("p99_ms", Kind.VALUE, 25), 4.0, 4.0, 4.0, True)]
    judge_anew([row(old)], all_bars())
    (verdict,) = old.verdicts
    assert (verdict.measured, verdict.rounds, verdict.reached) == (4.0, 3, False)


def test_the_table_shows_both_values_the_ratio_and_the_goal() -> None:
    line = goals_table([Row(outcome(), circumstances("all"))])[-1]
    for part in ("P1", "CPU per event", "| 1 ", "nchan 4", "0.25x (0.25 to 0.25) | 5 |", "<= 0.35x", "yes"):
        assert part in line


@pytest.mark.parametrize("measured", [0.36, None])
def test_what_is_missed_is_said(measured: float | None) -> None:
    assert "**no**" in goals_table([Row(outcome(measured=measured), circumstances("all"))])[-1]


def test_failures_and_absent_programs_stand_in_the_report() -> None:
    made = outcome()
    made.failures, made.absent = ["nchan, round 1: lost"], {"pushpin": "not installed"}
    text = to_markdown([Row(made, circumstances("all"))])
    assert "Failed in P1: nchan, round 1: lost" in text
    assert "pushpin could not take part: not installed" in text
    assert "- pushpin is absent: not installed." in with_table("<!-- bench --><!-- /bench -->", [row(made)])


def test_a_figure_without_a_goal_has_neither_yes_nor_no() -> None:
    made = outcome()
    made.verdicts = [Verdict(Goal("cpu_us_per_event", Kind.RATIO, peer="nchan"), 4.0, 4.0, 4.0, None, 5)]
    assert goals_table([row(made)])[-1].endswith("| nchan 4 | 4x (4 to 4) | 5 |  |  |  |")


def test_who_had_another_load_has_it_in_the_cell() -> None:
    made = outcome()
    made.runs.append(Run("pushpin", 0, {"cpu_us_per_event": 19.0}))
    made.loads = {"pushpin": "5 events/s"}
    assert "pushpin 19 (at 5 events/s)" in goals_table([row(made)])[-1]
    assert "| pushpin (at 5 events/s) | 1 | 19 |" in to_markdown([row(made)])


def test_a_figure_that_names_its_load_has_no_other_beside_it() -> None:
    made = outcome()
    made.runs += [Run(name, 0, {"results_per_s_of_50": 700.0}) for name in ("stagecast", "nchan")]
    made.loads = {"nchan": "10 browsers"}
    made.verdicts.append(Verdict(Goal("results_per_s_of_50", Kind.RATIO, peer="nchan"), 1.0, 1.0, 1.0, None, 1))
    *_, cpu, rate = goals_table([row(made)])
    assert "nchan 4 (at 10 browsers)" in cpu
    assert "10 browsers" not in rate


def test_every_figure_in_which_nchan_is_ahead_is_listed() -> None:
    made = outcome()
    for place, (ours, theirs) in enumerate([(3.0, 1.0), (5.0, 1.0), (4.0, 1.0)]):
        figures = {"p99_ms": ours, "connects_per_s": 100.0, "kb_per_connection": 8.0}
        made.runs.append(Run("stagecast", place, figures))
        made.runs.append(Run("nchan", place, {"p99_ms": theirs, "connects_per_s": 400.0, "kb_per_connection": 9.0}))
    lines = ahead_lines([row(made)])[2:]
    assert lines == [
        "- P1: p99, ms: 4, nchan 1, 3 rounds (4x)",
        "- P1: connections opened/s: 100, nchan 400, 3 rounds (0.25x)",
    ]
    assert ahead_lines([row(made), Row(replace(made, name="P5"), circumstances("all"))])[2:] == lines, "the same runs"
    assert ahead_lines([row(outcome())])[2:] == ["- nowhere in these runs"]


def test_how_programs_were_compared_is_said_as_it_was() -> None:
    alone, beside = outcome("P7"), outcome("P9")
    alone.runs = alone.runs[:1]
    for made in (alone, beside):
        made.verdicts = [Verdict(Goal("p99_ms", Kind.VALUE, 25), 4.0, 4.0, 4.0, True, 5)]
    turns, limit, single = how_compared([row(outcome()), row(alone), row(beside)])
    assert turns.startswith("- P1: the programs of a ratio took turns")
    assert limit.startswith("- P9: Stagecast against a fixed limit; others")
    assert single == "- P7: Stagecast alone, against a fixed limit."


def test_every_program_that_ran_is_named_in_a_line() -> None:
    assert who_ran([row(outcome())]) == [f"- nchan: {PROGRAMS['nchan']}."]
    named = {name for one in all_bars() for name in (*one.programs, *one.others)}
    assert named - set(PROGRAMS) == {"stagecast"}


def test_rows_of_one_call_say_it_once_and_others_bar_by_bar() -> None:
    (one,) = circumstances_lines([row(outcome("P1")), row(outcome("P2"))])
    assert "commit abc123;" in one
    assert one.endswith("Command: `all`. It took 12.5 minutes.")
    lines = circumstances_lines([row(outcome("P1")), row(outcome("P2"), command="P2", commit="def456", changed=2)])
    assert lines[0] == "**These rows are of 2 calls and of 2 states of the source**:"
    assert lines[2].startswith("- P1: ")
    assert "- P2: " in lines[3]
    assert "commit def456 and 2 changed files;" in lines[3]


def test_the_circumstances_name_the_source() -> None:
    now = look_around("all", {})
    assert now.dirty == (now.changed > 0)
    assert "commit not known" in circumstances_lines([row(outcome(), commit="")])[0]


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
