"""The table in the README, between two marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.record import Row
from loadtests.bench.table import about, goals_table, versions_line

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_BLOCK = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


def with_table(text: str, rows: Sequence[Row]) -> str:
    """The text with the block between the marks made anew; unchanged when it has no marks."""
    block = "\n".join([BEGIN, "", *block_lines(rows), "", END])
    return _BLOCK.sub(lambda _found: block, text)


def block_lines(rows: Sequence[Row]) -> list[str]:
    """The goals, and the circumstances: each once, with the bars that they belong to."""
    lines = goals_table(rows)
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(about(row.circumstances), []).append(row.outcome.name)
    for text, names in parts.items():
        lines += ["", text if len(parts) == 1 else f"{', '.join(names)}: {text}"]
    if rows:
        lines += ["", versions_line(max(rows, key=lambda row: row.circumstances.date).circumstances)]
    return lines


def update_readme(rows: Sequence[Row], path: Path = README) -> None:
    """Write the block into the README."""
    path.write_text(with_table(path.read_text(), rows))
