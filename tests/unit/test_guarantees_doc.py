"""docs/guarantees.md names tests and commands that exist, and only links that lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
COMMANDS = sorted(set(re.findall(r"`python -m ([\w.]+)`", PAGE)))


@pytest.mark.parametrize("path", TESTS)
def test_a_named_test_exists_and_tests(path: str) -> None:
    assert re.search(r"^ *(async )?def test_|TestCase$", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_named_command_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_every_promise_names_what_shows_it_and_a_figure() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.endswith("| shown by | figure |")]
    assert len(promises) > 20
    for row in promises:
        *_, shown_by, figure = row.strip("| ").split(" | ")
        assert re.search(r"`(tests/|make |python -m )", shown_by), row
        assert re.search(r"\d|exact", figure), row


def test_the_command_of_the_long_run_exists() -> None:
    assert "`make faults`" in PAGE
    assert "\nfaults:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()
