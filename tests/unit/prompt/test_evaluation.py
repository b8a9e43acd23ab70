"""Test cases are rendered with their variables and their assertions are executed."""

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.providers.base import Assertion
from infra.providers.base import TestCase as Case
from tests.unit.prompt.asking import ask

Kind = Literal["contains", "not_contains", "equals", "starts_with", "ends_with", "regex", "max_length", "min_length"]


def run(text: str, *assertions: Assertion, **variables: Any) -> dict[str, Any]:
    result, confidence = ask("evaluation", text, cases=(Case("case", variables, list(assertions)),))
    assert confidence == 1
    case: dict[str, Any] = result["cases"][0]
    return case


@pytest.mark.parametrize(
    ("kind", "value", "passes"),
    [
        ("contains", "Ada", True),
        ("contains", "ada", False),
        ("not_contains", "Bob", True),
        ("not_contains", "Ada", False),
        ("equals", "Dear Ada!", True),
        ("equals", "Dear Ada", False),
        ("starts_with", "Dear", True),
        ("starts_with", "Ada", False),
        ("ends_with", "!", True),
        ("ends_with", "Dear", False),
        ("regex", r"^Dear \w+!$", True),
        ("regex", r"\d", False),
        ("max_length", 9, True),
        ("max_length", 8, False),
        ("min_length", "9", True),
        ("min_length", 10, False),
        ("max_length", "nine", False),
    ],
)
def test_each_assertion_says_whether_it_holds(kind: Kind, value: str | int, passes: bool) -> None:
    case = run("Dear {{name}}!", Assertion(kind, value), name="Ada")
    assert case["passed"] is passes
    assert case["score"] == float(passes)
    assert case["assertions"][0]["type"] == kind
    assert case["assertions"][0]["detail"]


def test_lengths_are_code_points() -> None:
    assert run("親子丼🍚", Assertion("max_length", 4))["passed"]


def test_the_score_is_the_share_that_passed_and_the_overall_their_mean() -> None:
    cases = (
        Case("half", {}, [Assertion("contains", "soup"), Assertion("contains", "stew")]),
        Case("all", {}, [Assertion("contains", "soup")]),
    )
    result, _ = ask("evaluation", "A soup.", cases=cases)
    assert [case["score"] for case in result["cases"]] == [0.5, 1]
    assert [case["passed"] for case in result["cases"]] == [False, True]
    assert result["overall"] == 0.75


def test_a_missing_variable_is_a_failed_assertion_that_names_it() -> None:
    case = run("Dear {{name}} of {{town}}", Assertion("contains", "Ada"), name="Ada")
    assert case["passed"] is False
    assert case["score"] == 0.5
    assert case["assertions"][0]["type"] == "variable"
    assert "'town'" in case["assertions"][0]["detail"]


def test_a_default_stands_in_for_a_missing_value() -> None:
    assert run("In a {{ tone | warm }} tone", Assertion("equals", "In a warm tone"))["passed"]


def test_a_value_that_is_no_text_is_written_as_json() -> None:
    case = run("{{n}} {{vegan}} {{tags}}", Assertion("equals", '3 true ["a","b"]'), n=3, vegan=True, tags=["a", "b"])
    assert case["passed"]


def test_a_value_with_braces_is_not_rendered_again() -> None:
    assert run("{{a}}", Assertion("equals", "{{b}}"), a="{{b}}", b="x")["passed"]


def test_a_case_without_assertions_asserts_that_the_prompt_renders() -> None:
    assert run("Dear {{name}}", name="Ada")["score"] == 1
    assert run("Dear {{name}}")["score"] == 0


def test_without_test_cases_nothing_is_known() -> None:
    assert ask("evaluation", "Dear {{name}}") == (None, 0)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "not a regular expression"),
        ("(a+)+$", "was stopped"),
        ("(x+x+)+y", "was stopped"),
        ("a?(?R)", "call themselves"),
        ("a" * 501, "longer than 500"),
    ],
)
@pytest.mark.timeout(30)  # measured: 0.05 s; without the bound such a pattern takes longer than anyone waits
def test_a_broken_or_endless_pattern_fails_with_its_reason(pattern: str, reason: str) -> None:
    case = run("{{x}}b", Assertion("regex", pattern), x="a" * 20_000 + "x" * 20_000)
    assert case["passed"] is False
    assert reason in case["assertions"][0]["detail"]


@pytest.mark.timeout(30)
def test_endless_patterns_together_have_a_bound() -> None:
    case = run("{{x}}b", *[Assertion("regex", "(a+)+$")] * 300, x="a" * 5_000)
    assert "not run" in case["assertions"][-1]["detail"]


def test_a_prompt_that_would_explode_is_not_rendered() -> None:
    case = run("{{x}}" * 20_000, Assertion("contains", "y"), x="y" * 10_000)
    assert case["passed"] is False
    assert "longer than" in case["assertions"][0]["detail"]


@given(text=st.text(max_size=50), value=st.text(max_size=20), name=st.text(max_size=20))
@settings(max_examples=100)
def test_contains_and_not_contains_never_agree(text: str, value: str, name: str) -> None:
    case = run(text + "{{name}}", Assertion("contains", value), Assertion("not_contains", value), name=name)
    first, second = (assertion["passed"] for assertion in case["assertions"][-2:])
    assert first is not second


@given(pattern=st.text(max_size=30), text=st.text(max_size=50))
@settings(max_examples=150)
def test_any_pattern_passes_or_fails_and_never_raises(pattern: str, text: str) -> None:
    assert run("{{t}}", Assertion("regex", pattern), t=text)["assertions"][-1]["detail"]
