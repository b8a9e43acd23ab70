"""Reports say which source they were made with."""

import subprocess
from pathlib import Path

import pytest

from loadtests.source import Source, describe_source


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_other_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A git hook that runs the tests names its own repository to every git that is started below it."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with a program, a text and a result of a load test, all committed."""
    git(tmp_path, "init", "--quiet")
    results = tmp_path / "loadtests" / "results"
    results.mkdir(parents=True)
    for path in (tmp_path / "program.py", tmp_path / "README.md", results / "knee.json"):
        path.write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All of it")
    return tmp_path


def test_a_clean_tree_is_its_commit(tree: Path) -> None:
    source = describe_source(tree)
    assert source.commit
    assert git(tree, "rev-parse", "HEAD").startswith(source.commit)
    assert (source.changed, source.words) == (0, f"commit {source.commit}")


def test_programs_that_changed_and_new_ones_are_counted(tree: Path) -> None:
    (tree / "program.py").write_text("two\n")
    (tree / "new.py").write_text("one\n")
    assert describe_source(tree).words.endswith(", with uncommitted changes to 2 files")


def test_results_and_texts_are_no_part_of_the_program(tree: Path) -> None:
    (tree / "README.md").write_text("two\n")
    (tree / "loadtests" / "results" / "knee.json").write_text("two\n")
    assert describe_source(tree).changed == 0


def test_without_a_repository_the_commit_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_source(tmp_path) == Source("", 0)
    monkeypatch.setenv("PATH", "")
    assert describe_source(tmp_path).words == "commit unknown (no git)"


def test_a_folder_of_somebody_elses_repository_has_no_commit(tree: Path) -> None:
    assert describe_source(tree / "loadtests") == Source("", 0)
