"""The table in the README, between two marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.prose import versions_line
from loadtests.bench.record import Row
from loadtests.bench.table import block_lines

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_BLOCK = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


def with_table(text: str, rows: Sequence[Row]) -> str:
    """The text with the block between the marks made anew; unchanged when it has no marks."""
    lines = [*block_lines(rows)]
    if rows:
        lines += ["", versions_line(max(rows, key=lambda row: row.circumstances.date).circumstances)]
    block = "\n".join([BEGIN, "", *lines, "", END])
    return _BLOCK.sub(lambda _found: block, text)


def update_readme(rows: Sequence[Row], path: Path = README) -> None:
    """Write the block into the README."""
    path.write_text(with_table(path.read_text(), rows))
