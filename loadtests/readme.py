"""What load tests write into the README, each between two marks of its own."""

import re
from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def with_block(text: str, name: str, lines: Sequence[str]) -> str:
    """The text with what is between `<!-- name -->` and `<!-- /name -->` made anew; unchanged without these marks."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = "\n".join([begin, "", *lines, "", end])
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _found: block, text, flags=re.DOTALL)
