"""What a run of the knee may replace."""

from pathlib import Path

import msgspec
import pytest

from loadtests.knee import __main__ as knee
from loadtests.knee.steps import Step
from loadtests.sheet import begin_sheet
from tests.unit.loadtests.written_steps import GROWING, make_result

MARKS = "<!-- knee --><!-- /knee -->"


@pytest.mark.parametrize(("usual", "files"), [(True, "knee"), (False, "knee-trial")])
def test_only_a_run_without_options_is_what_the_readme_shows(
    usual: bool, files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKS)
    monkeypatch.setattr(knee, "README", readme)
    for module in ("loadtests.knee.__main__", "loadtests.sheet"):
        monkeypatch.setattr(f"{module}.RESULTS", tmp_path)
    monkeypatch.setattr(knee, "draw", lambda _result: "<svg/>")  # matplotlib is in the bench extra only
    steps = msgspec.json.decode(msgspec.json.encode(GROWING), type=list[Step])  # as they come from locust's process
    knee.write(make_result(*steps), begin_sheet("knee", []), usual)
    written = {path.name for path in tmp_path.iterdir()} - {"README.md"}
    assert written == {f"{files}.{kind}" for kind in ("json", "md", "svg", "html")}
    assert (readme.read_text() != MARKS) is usual
