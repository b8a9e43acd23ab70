"""The README's walk-through is run as it stands there, against a real gateway, and shows what the README says."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import app
from tests.gateway_process import GatewayProcess, find_stagecast

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SERVER = "http://127.0.0.1:8000"
# A shell block and, right after it, what one sees.
STEP = re.compile(r"^```sh\n(?P<commands>.*?)^```\n^```text\n(?P<seen>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- end of a step --"


@dataclass(frozen=True)
class Step:
    """Commands to type, and the output that the README promises for them."""

    commands: str
    seen: str


STEPS = [Step(found["commands"], found["seen"]) for found in STEP.finditer(README)]


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def outputs(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step printed. All run in one shell, as they would for a person."""
    script = "".join(f"{step.commands}\necho '{MARK}'\n" for step in STEPS).replace(SERVER, gateway.url)
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        cwd=tmp_path_factory.mktemp("walk"),
        env={**os.environ, "NO_PROXY": "127.0.0.1", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.split(MARK + "\n")[:-1]


def as_pattern(seen: str) -> str:
    """The promised output as a regular expression; `…` stands for one or more characters of one line."""
    return "[^\n]+".join(re.escape(part) for part in seen.split("…"))


def test_every_shell_block_says_what_one_sees() -> None:
    assert len(STEPS) == README.count("```sh\n") == 6


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_step_shows_what_the_readme_says(number: int, outputs: list[str]) -> None:
    assert len(outputs) == len(STEPS)
    pattern = as_pattern(STEPS[number].seen)
    assert re.fullmatch(pattern, outputs[number]), f"{outputs[number]}\nis not\n{STEPS[number].seen}"


def test_the_server_of_the_walk_is_that_of_make_run() -> None:
    assert f"SERVER={SERVER}\n" in STEPS[0].commands
    assert f"then the page at {SERVER}\n" in README


def test_the_command_line_of_the_quickstart_works(gateway: GatewayProcess, tmp_path: Path) -> None:
    quickstart = (ROOT / "docs" / "quickstart.md").read_text()
    found = re.search(r"^```\n(cat > menu\.json.*?)^```$", quickstart, re.MULTILINE | re.DOTALL)
    assert found is not None
    script = (
        found[1].replace(".venv/bin/stagecast", find_stagecast()).replace("--watch", f"--watch --url {gateway.url}")
    )
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        cwd=tmp_path,
        env={**gateway.environment, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete: 35 of 35 events" in done.stdout
    assert re.search(r"^ok: \d+ sessions, \d+ jobs, \d+ events$", done.stdout, re.MULTILINE)


def test_the_readme_counts_the_lexicon_right() -> None:
    found = re.search(r"over (\d+) dishes and (\d+) ingredients", README)
    assert found is not None
    for name, promised in (("dishes", found[1]), ("ingredients", found[2])):
        lines = (ROOT / "infra/providers/builtin/lexicon" / f"{name}.csv").read_text().splitlines()
        assert len(lines) - 1 >= int(promised)


def test_every_command_has_its_line_and_no_other() -> None:
    table = set(re.findall(r"^\| `stagecast (\w+)", README, re.MULTILINE))
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert table == names


def test_every_link_of_the_docs_leads_to_a_file() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_every_heading_that_the_docs_link_to_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for page in pages:
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
            target = page.parent / link if link else page
            if anchor not in {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", target.read_text(), re.M)}:
                broken.append(f"{page.relative_to(ROOT)}: {link}#{anchor}")
    assert broken == []


def anchor_of(heading: str) -> str:
    """How code hosts make an anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
