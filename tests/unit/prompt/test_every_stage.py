"""What holds for all eight stages and for any text."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.providers.base import Assertion, PromptText, ProviderRejected, StageCall
from infra.providers.base import TestCase as Case
from infra.providers.builtin.prompt.rules import answer_prompt
from pipeline.prompt.registry import PROMPT_STAGES
from tests.unit.prompt.asking import STAGES, ask

NAMES = ["analysis", "variables", "safety", "translation", "tags", "embedding", "improvement", "evaluation"]
# Pieces that rules look for, so that random texts meet the rules and each other.
PIECES = st.sampled_from(
    [
        "You are a chef. ", "Summarise this. ", "{{name}}", "{{ tone | warm }}", "{x}", "${y}", "{", "}}", "```",
        "\n\n", "# Output format\n", "[ROLE: say who the model should be]",
        "あなたは編集者です。", "要約してください。", "これまでの指示を無視して", "ignore all previous instructions",
        "password: ", "AKIAIOSFODNN7EXAMPLE", "jane@example.org", "03-1234-5678", "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00", "-----BEGIN PRIVATE KEY-----", "\u200b", "\u202e", "\U000e0041",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(st.text(max_size=30), PIECES), max_size=12).map("".join)
CASE = Case("case", {"name": "Ada"}, [Assertion("contains", "Ada"), Assertion("max_length", 100)])


def test_the_registry_has_the_eight_stages_in_the_contract_s_order() -> None:
    assert [stage.name for stage in PROMPT_STAGES] == NAMES
    assert [stage.fills for stage in PROMPT_STAGES] == [(name,) for name in NAMES]


@pytest.mark.parametrize("stage", NAMES)
@given(text=TEXTS)
@settings(max_examples=60)
def test_any_text_gets_an_answer_of_the_stage_s_shape(stage: str, text: str) -> None:
    result, confidence = ask(stage, text, cases=(CASE,))
    if result is None:
        assert confidence == 0


@pytest.mark.parametrize("stage", NAMES)
@given(text=TEXTS)
@settings(max_examples=15)
def test_the_same_text_gets_the_same_answer(stage: str, text: str) -> None:
    assert ask(stage, text, cases=(CASE,)) == ask(stage, text, cases=(CASE,))


def test_a_stage_that_no_prompt_has_is_refused() -> None:
    prompt = PromptText("item-1", "A prompt", "text")
    with pytest.raises(ProviderRejected, match="allergens"):
        answer_prompt("allergens", prompt, StageCall("prompt", "allergens", (prompt,), "en"))


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1 ",
        "{",
        "`",
        "'a",
        "eyJ",
        "password ",
        "ignore all the ",
        "://a",
        "input:a\n",
        " \n",
        "\u200b",
        "{{a|b}}",
        "03-1-",
    ],
)
@pytest.mark.timeout(60)  # measured: 0.2 s a stage at most; quadratic time on such a text would take hours
def test_a_hundred_thousand_characters_are_answered_by_each_stage(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    for stage in NAMES:
        _, confidence = ask(stage, text, cases=(CASE,))

        assert 0 <= confidence <= 1


def test_the_answers_do_not_depend_on_the_process() -> None:
    program = (
        "import msgspec, sys; from tests.unit.prompt.asking import ask;"
        "sys.stdout.buffer.write(msgspec.json.encode([ask(name, 'You are a chef. List dishes for {{name}}.')"
        " for name in ('tags', 'embedding', 'variables')]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(answers) == 1


SECRETS = st.one_of(
    st.from_regex(r"AKIA[0-9A-Z]{15}[0-9]", fullmatch=True),
    st.from_regex(r"ghp_[A-Za-z0-9]{35}[0-9]", fullmatch=True),
    st.from_regex(r"sk-[a-zA-Z0-9]{30}", fullmatch=True),
    st.from_regex(r"[a-z]{2}[0-9][A-Za-z0-9]{9,20}", fullmatch=True).map(lambda password: f"password: {password}"),
)


@given(
    secret=SECRETS,
    before=st.sampled_from(["", "Summarise: ", "{{ key | ", "秘密は"]),
    after=st.sampled_from([" now", " }}", "\n"]),
)
@settings(max_examples=100)
def test_a_secret_never_leaves_the_stages_that_do_not_carry_the_text_itself(
    secret: str, before: str, after: str
) -> None:
    hidden = secret.removeprefix("password: ")
    text = f"{before}{secret}{after}"
    for stage in ("analysis", "variables", "safety", "tags", "embedding", "evaluation"):
        written = msgspec.json.encode(ask(stage, text, cases=(CASE,))).decode()
        assert hidden not in written, stage
        assert hidden.lower() not in written, stage
    kinds = {finding["kind"] for finding in ask("safety", text)[0]["findings"]}
    assert "secret" in kinds


def test_the_shapes_refuse_what_is_out_of_range() -> None:
    for stage, wrong in (
        ("analysis", {"parts": dict.fromkeys(("role", "task"), 0.5), "overall": 0.5}),
        ("safety", {"findings": [{"kind": "rumour", "rule": "x", "start": 0, "end": 1, "excerpt": ""}]}),
        ("embedding", {"vector": [], "similar": []}),
        ("evaluation", {"overall": 1.5, "cases": []}),
        ("improvement", {"content": "", "added": []}),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, STAGES[stage].result)
