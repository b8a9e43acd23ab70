"""The wheel that the image installs holds everything that the rooms need: code, lexicon, live page, migrations."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("gateway", "pipeline", "infra", "migrations")
# script.py.mako only helps to write a new migration, which happens in a clone.
NOT_SHIPPED = {"migrations/script.py.mako"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy, as the Dockerfile builds it, without touching the tree."""
    copy = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(copy / "out")]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options, str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("room", ROOMS)
def test_wheel_holds_every_file_of_the_room(room: str, shipped: set[str]) -> None:
    files = [path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {path.relative_to(ROOT).as_posix() for path in files}
    assert wanted
    assert wanted - shipped - NOT_SHIPPED == set()


def test_wheel_holds_no_tests_and_no_settings(shipped: set[str]) -> None:
    tops = {name.partition("/")[0] for name in shipped}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOMS)
