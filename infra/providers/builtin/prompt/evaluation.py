"""Evaluation: a prompt's test cases, rendered with their variables and checked."""

import time
from dataclasses import dataclass
from typing import Any

from infra.providers.base import Assertion, TestCase
from infra.providers.builtin.prompt.patterns import PatternRefused, search_pattern
from infra.providers.builtin.prompt.placeholders import Placeholder, find_placeholders, render_text

# Bounds of the work that one job can cause, in code points: a rendered prompt, and all texts looked through together.
LONGEST_RENDERED = 500_000
LARGEST_WORK = 200_000_000
# Seconds that all patterns of a job may take together: an honest one takes microseconds, an endless one its timeout.
PATTERN_SECONDS = 1.0


@dataclass(slots=True)
class Budget:
    """What is left of a job's work."""

    characters: int = LARGEST_WORK
    pattern_seconds: float = PATTERN_SECONDS


def evaluate_prompt(text: str, cases: tuple[TestCase, ...]) -> tuple[dict[str, Any] | None, float]:
    """The cases' scores and their mean; None with confidence 0 when there are no cases, since nothing was tested."""
    if not cases:
        return None, 0.0
    placeholders = find_placeholders(text)
    budget = Budget()
    results = [run_case(text, placeholders, case, budget) for case in cases]
    overall = round(sum(result["score"] for result in results) / len(results), 4)
    return {"overall": overall, "cases": results}, 1.0


def run_case(text: str, placeholders: list[Placeholder], case: TestCase, budget: Budget) -> dict[str, Any]:
    """One case: the share of its assertions that pass. A missing variable is a failed assertion of its own.

    A case without assertions asserts that the prompt renders: 1 when nothing is missing.
    """
    missing = list(dict.fromkeys(p.name for p in placeholders if p.default is None and p.name not in case.variables))
    outcomes = [
        _outcome("variable", name, False, f"the prompt needs the variable '{name}' and the case does not give it")
        for name in missing
    ]
    try:
        rendered = render_text(text, placeholders, case.variables, LONGEST_RENDERED)
    except OverflowError:
        outcomes.append(
            _outcome("render", "", False, f"the rendered prompt is longer than {LONGEST_RENDERED} characters")
        )
    else:
        outcomes += [check_assertion(assertion, rendered, budget) for assertion in case.assertions]
    passed = sum(outcome["passed"] for outcome in outcomes)
    return {
        "name": case.name,
        "score": round(passed / len(outcomes), 4) if outcomes else 1.0,
        "passed": passed == len(outcomes),
        "assertions": outcomes,
    }


def check_assertion(assertion: Assertion, rendered: str, budget: Budget) -> dict[str, Any]:
    """One assertion on the rendered prompt. The detail speaks of lengths and positions (in code
    points) and never quotes the text."""
    budget.characters -= len(rendered)
    if budget.characters < 0:
        return _outcome(assertion.type, assertion.value, False, "not run: the job's test cases have too much text")
    if assertion.type in ("max_length", "min_length"):
        passed, detail = _check_length(assertion, rendered)
    elif assertion.type == "regex":
        passed, detail = _check_pattern(str(assertion.value), rendered, budget)
    else:
        passed, detail = _check_text(assertion.type, str(assertion.value), rendered)
    return _outcome(assertion.type, assertion.value, passed, detail)


def _check_text(kind: str, value: str, rendered: str) -> tuple[bool, str]:
    if kind == "contains":
        position = rendered.find(value)
        return position >= 0, f"found at character {position}" if position >= 0 else "not found"
    if kind == "not_contains":
        position = rendered.find(value)
        return position < 0, f"found at character {position}" if position >= 0 else "not found"
    if kind == "starts_with":
        passed = rendered.startswith(value)
        return passed, "starts with it" if passed else "starts with another text"
    if kind == "ends_with":
        passed = rendered.endswith(value)
        return passed, "ends with it" if passed else "ends with another text"
    passed = rendered == value
    return passed, "equal" if passed else f"differs from character {_first_difference(rendered, value)}"


def _check_pattern(pattern: str, rendered: str, budget: Budget) -> tuple[bool, str]:
    if budget.pattern_seconds <= 0:
        return False, f"not run: the patterns before it took {PATTERN_SECONDS:.0f} s, all that a job has"
    started = time.monotonic()
    try:
        passed = search_pattern(pattern, rendered)
    except PatternRefused as refusal:
        return False, str(refusal)
    finally:
        budget.pattern_seconds -= time.monotonic() - started
    return passed, "matches" if passed else "no match"


def _check_length(assertion: Assertion, rendered: str) -> tuple[bool, str]:
    try:
        bound = int(assertion.value)
    except ValueError:
        return False, "the value is not a whole number of characters"
    passed = len(rendered) <= bound if assertion.type == "max_length" else len(rendered) >= bound
    return passed, f"the rendered prompt has {len(rendered)} characters"


def _first_difference(left: str, right: str) -> int:
    return next(
        (index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
        min(len(left), len(right)),
    )


def _outcome(kind: str, value: str | int, passed: bool, detail: str) -> dict[str, Any]:
    return {"type": kind, "value": value, "passed": passed, "detail": detail}
