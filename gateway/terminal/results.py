"""What a job found, as a table that fits a terminal: the dishes of a menu, or the eight answers about a prompt."""

from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.terminal.text import NOTHING, plain

ALLERGEN_NOTE = "An allergen that is not listed is unknown, never known to be absent."


def result_table(job: dict[str, Any]) -> RenderableType:
    """The rows of a job's snapshot."""
    return _menu(job["rows"]) if job["kind"] == "menu" else _prompt(job["rows"][0])


def _menu(rows: list[dict[str, Any]]) -> RenderableType:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in ("Dish", "Translation", "Category", "Price", "Allergens", "Ingredients"):
        table.add_column(heading, justify="right" if heading == "Price" else "left", overflow="fold")
    for row in rows:
        table.add_row(
            plain(row["name"], 60),
            plain(_result(row["translation"]) or NOTHING, 80),
            plain(_result(row["category_translation"]) or _result(row["category"]) or NOTHING, 40),
            plain((_result(row["price"]) or {}).get("formatted") or row["input_price"] or NOTHING, 24),
            plain(_allergens(_result(row["allergy"])), 2000),
            plain(", ".join(one["name"] for one in _result(row["ingredient"]) or []) or NOTHING, 200),
        )
    return Group(table, Text(ALLERGEN_NOTE, "dim"))


def _allergens(result: Any) -> str:
    found = (result or {}).get("allergens", [])
    contains = [one["label"] for one in found if one["status"] == "contains"]
    possible = [one["label"] for one in found if one["status"] == "may_contain"]
    parts = [", ".join(contains), f"may contain {', '.join(possible)}" if possible else ""]
    return "; ".join(part for part in parts if part) or "unknown"


def _prompt(row: dict[str, Any]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for stage, describe in _SUMMARIES.items():
        result = _result(row[stage])
        table.add_row(stage, plain(NOTHING if result is None else describe(result)))
    return table


def _result(value: dict[str, Any] | None) -> Any:
    """What a stage answered; None when it has not, or does not know."""
    return (value or {}).get("result")


def _analysis(result: Any) -> str:
    missing = [name.replace("_", " ") for name, score in result["parts"].items() if score == 0]
    return f"{result['overall']:.2f}" + (f"; missing: {', '.join(missing)}" if missing else "; no part is missing")


def _variables(result: Any) -> str:
    return ", ".join(result.get("properties", {})) or "none"


def _safety(result: Any) -> str:
    found = [f"{one['kind'].replace('_', ' ')}: {one['excerpt']}" for one in result["findings"]]
    return "; ".join(found) or "nothing found, which does not prove that it is safe"


def _tags(result: Any) -> str:
    known = [part for part in (result["category"], result["language"], *result["tags"]) if part]
    return ", ".join(known) or NOTHING


def _embedding(result: Any) -> str:
    similar = [f"{one['title']} v{one['version']} ({one['score']:.2f})" for one in result["similar"]]
    return f"{len(result['vector'])} numbers; similar: {', '.join(similar) or 'none stored'}"


def _improvement(result: Any) -> str:
    added = ", ".join(part.replace("_", " ") for part in result["added"])
    return f"a new version that adds {added}" if added else "nothing to add"


def _evaluation(result: Any) -> str:
    if not result["cases"]:
        return "no test cases"
    passed = sum(case["passed"] for case in result["cases"])
    return f"{result['overall']:.2f}; {passed} of {len(result['cases'])} test cases passed"


_SUMMARIES: dict[str, Callable[[Any], str]] = {
    "analysis": _analysis,
    "variables": _variables,
    "safety": _safety,
    "translation": str,
    "tags": _tags,
    "embedding": _embedding,
    "improvement": _improvement,
    "evaluation": _evaluation,
}
