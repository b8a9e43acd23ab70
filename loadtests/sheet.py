"""A report on paper: JSON for programs, Markdown for people, both in loadtests/results/."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from loadtests.report import Machine, describe_machine

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One run: what was measured (a dataclass), and the lines that say it."""

    date: str
    command: str
    machine: Machine
    passed: bool
    measured: object
    lines: Sequence[str]

    @property
    def text(self) -> str:
        """The Markdown."""
        machine = self.machine
        about = (
            f"{self.date}; {machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}; load "
            f"average {machine.load} before the start."
        )
        verdict = "Passed." if self.passed else "**Failed.**"
        return "\n".join([*self.lines, "", verdict, "", about, "", f"Command: `{self.command}`", ""])

    def write(self, name: str) -> None:
        """Into loadtests/results/, over an earlier one of the same name."""
        RESULTS.mkdir(exist_ok=True)
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS
        body = {"date": self.date, "command": self.command, "machine": self.machine, "passed": self.passed}
        (RESULTS / f"{name}.json").write_bytes(orjson.dumps({**body, "measured": self.measured}, option=options))
        (RESULTS / f"{name}.md").write_text(self.text)


def begin_sheet(program: str, arguments: Sequence[str]) -> Sheet:
    """A sheet without results, made before the run because of the load average."""
    command = " ".join([f"python -m loadtests.{program}", *arguments])
    return Sheet(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), command, describe_machine(), False, None, [])


def log(line: str) -> None:
    """Tell whoever waits for the run."""
    print(line, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]
