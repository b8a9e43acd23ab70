"""The wire suite itself: it runs anywhere, against any address, and it notices when a server breaks a rule."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.lying_proxy import Frames, Lie, lying_proxy

WIRE = Path(__file__).parent / "wire"
SECONDS = 60.0
# What the lies below are about: enough to be caught, in a second or two.
FILES = ("test_stream.py", "test_snapshot.py", "test_polling.py", "test_resume.py")
SETTINGS = {"PROVIDER": "synthetic"}


@pytest.fixture(scope="session")
def gateway_url(start_own_gateway: Callable[[str, dict[str, str]], str]) -> str:
    return start_own_gateway("sqlite-memory", SETTINGS)


@pytest.fixture(scope="session")
def copied_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder alone, in a place where nothing of the project can be imported."""
    return Path(shutil.copytree(WIRE, tmp_path_factory.mktemp("elsewhere") / "wire"))


def run_suite(suite: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the copied folder, in a process that has neither our settings nor our working directory."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments]
    # Without the plugins that happen to be installed here it needs none of them, and starts in half the time.
    return subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_it_imports_nothing_but_the_standard_library_pytest_and_httpx() -> None:
    for path in WIRE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in {*sys.stdlib_module_names, "pytest", "httpx"}, f"{path.name} imports {name}"


def test_it_says_which_option_is_missing_when_it_is_given_no_server(copied_suite: Path) -> None:
    run = run_suite(copied_suite)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, run.stdout
    assert "--base-url" in run.stdout


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_copy_of_it_passes_against_an_address(copied_suite: Path, gateway_url: str, way: str) -> None:
    with lying_proxy(gateway_url, Lie()) as url:
        if way == "option":
            run = run_suite(copied_suite, "--base-url", url, *FILES)
        else:
            run = run_suite(copied_suite, *FILES[:2], WIRE_BASE_URL=url)
    assert run.returncode == pytest.ExitCode.OK, run.stdout
    assert " passed" in run.stdout


def twice(frames: Frames) -> Frames:
    for frame in frames:
        yield frame
        if b"\nevent: stage.completed\n" in frame:
            yield frame


def without_one(frames: Frames) -> Frames:
    return (frame for frame in frames if b"\nevent: job.started\n" not in frame)


def out_of_order(frames: Frames) -> Frames:
    held: bytes | None = None
    for frame in frames:
        if held is None and b"\nevent: job.started\n" in frame:
            held = frame
            continue
        yield frame
        if held is not None:
            yield held
            held = None


def replacing(pattern: bytes, by: bytes) -> Callable[[Frames], Frames]:
    return lambda frames: (re.sub(pattern, by, frame) for frame in frames)


def with_comments(frames: Frames) -> Iterator[bytes]:
    for frame in frames:
        yield b": ping\n\n" + frame


def cut_at_the_end(frames: Frames) -> Frames:
    return (frame[:-1] if b"event: stream.end\n" in frame else frame for frame in frames)


LIES = {
    "an event twice": Lie(frames=twice),
    "an event that is missing": Lie(frames=without_one),
    "two events in the wrong order": Lie(frames=out_of_order),
    "an id on a control frame": Lie(frames=replacing(rb"^event: stream\.open", b"id: aaaaaaaa.1\nevent: stream.open")),
    "carriage returns": Lie(frames=replacing(rb"\n", b"\r\n")),
    "comments": Lie(frames=with_comments),
    "the same delay for everybody": Lie(frames=replacing(rb"retry: \d+", b"retry: 2000")),
    "a text changed on the way": Lie(frames=replacing(rb"synthetic", b"Synthetic")),
    "an end that names another head": Lie(
        frames=replacing(rb'(event: stream\.end\n.*"head":"[a-z0-9]+\.)', rb"\g<1>1")
    ),
    "an end without its empty line": Lie(frames=cut_at_the_end),
    "a position that is not heard": Lie(request=lambda headers: headers.pop("Last-Event-ID", None)),
    "a stream that may be cached": Lie(stream=lambda headers: headers.update({"cache-control": "max-age=60"})),
    "a stream that says it is compressed": Lie(stream=lambda headers: headers.update({"content-encoding": "gzip"})),
    "a stream of another type": Lie(stream=lambda headers: headers.update({"content-type": "text/plain"})),
}


@pytest.mark.parametrize("what", LIES)
def test_it_notices(copied_suite: Path, gateway_url: str, what: str) -> None:
    with lying_proxy(gateway_url, LIES[what]) as url:
        run = run_suite(copied_suite, "-x", "--base-url", url, *FILES)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
