"""The tables at the end of `submit --watch` and `watch`."""

import io
from typing import Any

from rich.console import Console

from gateway.terminal.results import ALLERGEN_NOTE, result_table


def shown(job: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(result_table(job))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def value(result: Any) -> dict[str, Any]:
    return {"result": result, "provider": "builtin", "confidence": 0.9}


COLUMNS = ("translation", "category", "category_translation", "description", "allergy", "ingredient", "price")
UNKNOWN: dict[str, Any] = {"name": "Zzyzx", "input_price": None, **dict.fromkeys(COLUMNS)}


def test_a_dish_has_its_translation_price_and_allergens() -> None:
    allergens = [
        {"code": "egg", "label": "Egg", "status": "contains", "lists": [], "because": ["egg"]},
        {"code": "milk", "label": "Milk", "status": "may_contain", "lists": [], "because": []},
        {"code": "nuts", "label": "Nuts", "status": "unknown", "lists": [], "because": []},
    ]
    price = {"amount_minor": 980, "currency": "JPY", "formatted": "¥980", "tax": None, "market": False}
    known = UNKNOWN | {
        "name": "親子丼",
        "translation": value("Chicken and egg rice bowl"),
        "category": value("丼物"),
        "category_translation": value("Rice bowls"),
        "allergy": value({"allergens": allergens, "note": ""}),
        "ingredient": value([{"name": "chicken", "original": None}, {"name": "egg", "original": None}]),
        "price": value(price),
    }
    line = next(line for line in shown({"kind": "menu", "rows": [known]}).splitlines() if "親子丼" in line)

    cells = [cell.strip() for cell in line.split("│")]
    assert cells == [
        "親子丼",
        "Chicken and egg rice bowl",
        "Rice bowls",
        "¥980",
        "Egg; may contain Milk",
        "chicken, egg",
    ]


def test_what_is_not_known_is_unknown_and_never_absent() -> None:
    table = shown({"kind": "menu", "rows": [UNKNOWN, UNKNOWN | {"allergy": value(None)}]})

    assert table.count("unknown") == 3  # two dishes and the note
    assert ALLERGEN_NOTE in table


def test_a_dish_may_not_write_markup_or_escape_sequences() -> None:
    table = shown({"kind": "menu", "rows": [UNKNOWN | {"name": "[red]\x1b]0;pwned\x07soup[/]"}]})

    assert "\x1b" not in table
    assert "[red]" in table


def test_a_prompt_has_a_line_for_each_stage() -> None:
    parts = {"role": 1.0, "task": 0.5, "output_format": 0, "examples": 0}
    similar = [{"prompt_id": "p", "title": "Reply", "version": 2, "score": 0.81}]
    finding = {"kind": "personal_data", "rule": "email", "start": 0, "end": 5, "excerpt": "jo•••"}
    row = {
        "analysis": value({"parts": parts, "overall": 0.55}),
        "variables": value({"type": "object", "properties": {"product": {}}}),
        "safety": value({"findings": [finding]}),
        "translation": value(None),
        "tags": value({"category": "support", "language": "en", "tags": ["bot"]}),
        "embedding": value({"vector": [0.0] * 256, "similar": similar}),
        "improvement": value({"content": "...", "added": ["output_format"]}),
        "evaluation": value({"overall": 0.5, "cases": [{"passed": True}, {"passed": False}]}),
    }
    lines = dict(line.split(None, 1) for line in shown({"kind": "prompt", "rows": [row]}).splitlines())

    assert {stage: line.strip() for stage, line in lines.items()} == {
        "analysis": "0.55; missing: output format, examples",
        "variables": "product",
        "safety": "personal data: jo•••",
        "translation": "–",
        "tags": "support, en, bot",
        "embedding": "256 numbers; similar: Reply v2 (0.81)",
        "improvement": "a new version that adds output format",
        "evaluation": "0.50; 1 of 2 test cases passed",
    }


def test_a_prompt_without_findings_is_not_called_safe() -> None:
    stages = ("analysis", "variables", "translation", "tags", "embedding", "improvement", "evaluation")
    row = {**dict.fromkeys(stages), "safety": value({"findings": []})}

    assert "does not prove that it is safe" in shown({"kind": "prompt", "rows": [row]})
