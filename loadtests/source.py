"""Which source a run was made with."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

# What runs write, and texts for people: no program reads them.
_PROGRAMS_ONLY = ("--", ".", ":(exclude)loadtests/results", ":(exclude,glob)**/*.md")


@dataclass(frozen=True, slots=True)
class Source:
    """A git commit, abbreviated (empty: not known), and how many files differ from it, new ones included."""

    commit: str
    changed: int

    @property
    def words(self) -> str:
        """For a report."""
        if not self.commit:
            return "commit unknown (no git)"
        changed = f", with uncommitted changes to {self.changed} files" if self.changed else ""
        return f"commit {self.commit}{changed}"


def describe_source(root: Path) -> Source:
    """That of the working tree at `root`. Reports and other Markdown do not count as changes."""
    if _ask_git(root, "rev-parse", "--show-prefix").strip():
        return Source("", 0)  # an unpacked archive within somebody else's repository
    commit = _ask_git(root, "rev-parse", "--short=10", "HEAD")
    status = _ask_git(root, "status", "--porcelain", "--untracked-files=all", *_PROGRAMS_ONLY)
    return Source(commit.strip(), len(status.splitlines()))


def _ask_git(root: Path, *words: str) -> str:
    # Without optional locks: somebody may be committing in this moment.
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
