"""The table in the README, between two marks."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.prose import versions_line
from loadtests.bench.record import Row
from loadtests.bench.table import block_lines
from loadtests.readme import README, with_block


def with_table(text: str, rows: Sequence[Row]) -> str:
    """The text with the block between the marks made anew; unchanged when it has no marks."""
    lines = [*block_lines(rows)]
    if rows:
        lines += ["", versions_line(max(rows, key=lambda row: row.circumstances.date).circumstances)]
    return with_block(text, "bench", lines)


def update_readme(rows: Sequence[Row], path: Path = README) -> None:
    """Write the block into the README."""
    path.write_text(with_table(path.read_text(), rows))
