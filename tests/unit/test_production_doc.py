"""docs/production.md names the metrics, settings, exit codes and outcomes that there are."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.terminal.exits import Exit
from infra.settings import Settings
from infra.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "production.md").read_text()
NAMED = set(re.findall(r"`(stagecast_[a-z_]+)", PAGE))


def test_every_metric_is_explained_and_every_explained_metric_exists() -> None:
    families = {family.name: family.type for family in Metrics().registry.collect()}
    ours = {
        name + "_total" if kind == "counter" else name
        for name, kind in families.items()
        if name.startswith("stagecast_")
    }
    assert ours
    assert ours == NAMED


def test_every_exit_code_is_explained() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == {int(code) for code in Exit}


@pytest.mark.parametrize("page", ["README.md", "docs/production.md", "docs/architecture.md", "docs/quickstart.md"])
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    names = set(re.findall(r"STAGECAST_([A-Z_]+)", (ROOT / page).read_text())) - {"", "POSTGRES_PASSWORD"}
    for name in names:
        value: Any = Settings(_env_file=None)
        for part in name.lower().split("__"):
            value = getattr(value, part)


def test_the_outcomes_of_attempts_are_those_of_the_runner() -> None:
    runner = (ROOT / "pipeline" / "runner.py").read_text()
    (line,) = [line for line in PAGE.splitlines() if "stagecast_stage_attempts_total" in line]
    outcomes = re.findall(r"`([a-z_]+)`", line.split("|")[2])
    assert len(outcomes) == 6
    for outcome in outcomes:
        assert f'"{outcome}"' in runner
