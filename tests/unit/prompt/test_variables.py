"""Placeholders become a JSON Schema that says what a caller has to give."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from infra.providers.builtin.prompt.placeholders import find_placeholders
from tests.unit.prompt.asking import ask
from tests.unit.prompt.test_every_stage import TEXTS


def schema_of(text: str) -> dict[str, Any]:
    result: dict[str, Any] = ask("variables", text)[0]
    return result


def test_each_placeholder_is_a_property_in_order_and_required() -> None:
    schema = schema_of("Dear {{customer}}, your {{ dish }} and {{customer}}'s drink.")
    assert list(schema["properties"]) == ["customer", "dish"]
    assert schema["required"] == ["customer", "dish"]
    assert schema["properties"]["customer"]["description"] == "Customer, used 2 times"


@pytest.mark.parametrize("written", ["warm", '"warm"', "default: warm", 'default("warm")', "default='warm'"])
def test_a_default_makes_a_variable_optional(written: str) -> None:
    schema = schema_of(f"Write in a {{{{ tone | {written} }}}} tone.")
    assert schema["properties"]["tone"]["default"] == "warm"
    assert schema["required"] == []


def test_a_template_filter_is_no_default() -> None:
    schema = schema_of("{{ name | upper }}")
    assert schema["required"] == ["name"]
    assert "default" not in schema["properties"]["name"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("item_count", {"type": "integer"}),
        ("maxWords", {"type": "integer"}),
        ("件数", {"type": "integer"}),
        ("photo_url", {"type": "string", "format": "uri"}),
        ("customer_email", {"type": "string", "format": "email"}),
        ("is_vegan", {"type": "boolean"}),
        ("has_tax", {"type": "boolean"}),
        ("due_date", {"type": "string", "format": "date"}),
        ("created_at", {"type": "string", "format": "date-time"}),
        ("price", {"type": "number"}),
        ("keywords", {"type": "array", "items": {"type": "string"}}),
        ("story", {"type": "string"}),
        ("discount", {"type": "string"}),
    ],
)
def test_the_type_is_guessed_from_the_name(name: str, expected: dict[str, Any]) -> None:
    found = schema_of(f"Use {{{{{name}}}}}.")["properties"][name]
    assert {key: value for key, value in found.items() if key != "description"} == expected


@pytest.mark.parametrize(
    ("placeholder", "expected"),
    [("word_count | 50", 50), ("is_vegan | yes", True), ("price | 9.5", 9.5), ("tags | a, b", ["a", "b"])],
)
def test_a_default_has_the_variable_s_type(placeholder: str, expected: object) -> None:
    (variable,) = schema_of(f"{{{{ {placeholder} }}}}")["properties"].values()
    assert variable["default"] == expected
    assert list(Draft202012Validator(variable).iter_errors(variable["default"])) == []


def test_a_default_that_contradicts_the_name_makes_it_a_string() -> None:
    assert schema_of("{{ word_count | a few }}")["properties"]["word_count"] == {
        "type": "string",
        "description": "Word count",
        "default": "a few",
    }


def test_a_secret_default_is_left_out() -> None:
    schema = schema_of("{{ api_key | AKIAIOSFODNN7EXAMPLE }}")
    assert "default" not in schema["properties"]["api_key"]
    assert schema["required"] == []


def test_single_braces_count_where_nothing_else_is_meant() -> None:
    assert list(schema_of("Dear {name}, your ${dish}.")["properties"]) == ["name", "dish"]
    assert ask("variables", "Dear {name}.")[1] < ask("variables", "Dear {{name}}.")[1]


@pytest.mark.parametrize(
    "text",
    [
        'Return {"name": "x", "price": 1}.',
        "Return { }.",
        r"The sum \frac{a}{b} and x_{n} and y^{k}.",
        "```\nprint(f'{name}')\n```",
        "Use `{name}` as it is.",
        "{{#if vegan}}yes{{/if}}{{else}}",
        "{{ }}",
        "{{a\nb}}",
    ],
)
def test_json_code_formulas_and_template_blocks_are_no_variables(text: str) -> None:
    schema = schema_of(text)
    assert schema["properties"] == {}
    assert schema["required"] == []


def test_single_braces_do_not_count_beside_double_ones() -> None:
    assert list(schema_of("{{name}} and {other}")["properties"]) == ["name"]


def test_the_schema_accepts_exactly_what_the_prompt_needs() -> None:
    validator = Draft202012Validator(schema_of("{{name}} wants {{item_count}} of {{ dish | ramen }}"))
    assert validator.is_valid({"name": "Ada", "item_count": 2})
    assert validator.is_valid({"name": "Ada", "item_count": 2, "dish": "udon"})
    assert not validator.is_valid({"name": "Ada"})
    assert not validator.is_valid({"name": "Ada", "item_count": "two"})
    assert not validator.is_valid({"name": "Ada", "item_count": 2, "extra": 1})


def test_a_generated_template_gives_a_bounded_schema() -> None:
    schema, confidence = ask("variables", "".join(f"{{{{v{index}}}}}" for index in range(600)))
    assert len(schema["properties"]) == 500
    assert confidence < 0.9


@given(text=st.one_of(TEXTS, st.text(alphabet="{}|$ ab_1\n`", max_size=60)))
@settings(max_examples=150)
def test_any_text_gives_a_valid_schema_and_spans_that_hold_their_placeholder(text: str) -> None:
    schema = schema_of(text)
    Draft202012Validator.check_schema(schema)
    assert set(schema["required"]) <= set(schema["properties"])
    for placeholder in find_placeholders(text):
        written = text[placeholder.start : placeholder.end]
        assert written.startswith(("{", "$"))
        assert written.endswith("}")
        assert placeholder.name in written
