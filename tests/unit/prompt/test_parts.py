"""The parts of a prompt are seen in English and Japanese, and the missing ones are offered as slots."""

import pytest
from hypothesis import given, settings

from infra.providers.builtin.prompt.parts import PARTS
from tests.unit.prompt.asking import ask
from tests.unit.prompt.test_every_stage import TEXTS

COMPLETE = """You are a menu editor.

# Task
Rewrite the following menu for tourists.

# Context
Our restaurant is in Kyoto: {{menu}}

# Constraints
- Do not add dishes. Use at most 20 words for each.

# Output format
Return a JSON array.

# Example
Input: 親子丼
Output: Chicken and egg rice bowl
"""
COMPLETE_JAPANESE = """あなたは料理の専門家です。

## 依頼
以下のメニューを英語に翻訳してください。

## 背景
京都の小さな食堂です。

## 制約
一品につき20文字以内。料理を足さないでください。

## 出力形式
JSON形式で出力してください。

## 例
入力: 親子丼
出力: Chicken and egg rice bowl
"""


def parts_of(text: str) -> dict[str, float]:
    parts: dict[str, float] = ask("analysis", text)[0]["parts"]
    return parts


@pytest.mark.parametrize("text", [COMPLETE, COMPLETE_JAPANESE])
def test_a_complete_prompt_has_every_part(text: str) -> None:
    assert all(score >= 0.8 for score in parts_of(text).values())
    assert ask("analysis", text)[0]["overall"] >= 0.8


def test_words_without_any_cue_have_no_part() -> None:
    assert set(parts_of("soup of the day").values()) == {0}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("role", "You are an experienced chef."),
        ("role", "Act as a menu editor."),
        ("role", "あなたは経験豊富なシェフです。"),
        ("role", "編集者として振る舞ってください"),
        ("task", "Summarise the menu."),
        ("task", "Your task is simple."),
        ("task", "メニューを要約してください。"),
        ("context", "Background: we sell noodles in Osaka."),
        ("context", "以下の文章を読む。"),
        ("constraints", "Never mention prices."),
        ("constraints", "100文字以内"),
        ("constraints", "価格は書かないでください"),
        ("output_format", "Return valid JSON."),
        ("output_format", "in a table"),
        ("output_format", "箇条書きで"),
        ("examples", "For example: ramen."),
        ("examples", "Q: What is udon?\nA: A thick noodle."),
        ("examples", "例: 親子丼"),
    ],
)
def test_a_part_is_seen_by_its_cue(part: str, text: str) -> None:
    assert parts_of(text)[part] >= 0.5


def test_another_language_is_judged_with_less_confidence() -> None:
    french = "Vous êtes un chef. Écrivez la carte pour les clients et ne changez pas les prix."
    assert ask("analysis", french)[1] < ask("analysis", COMPLETE)[1]


def test_an_improvement_keeps_the_text_and_adds_the_missing_parts_as_slots() -> None:
    result, _ = ask("improvement", "Summarise the menu.")
    assert "\n\nSummarise the menu.\n\n" in result["content"]
    assert result["content"].startswith("[ROLE: ")
    assert result["added"] == ["role", "context", "constraints", "output_format", "examples"]
    assert "[TASK: " not in result["content"]


def test_a_japanese_prompt_gets_japanese_slots() -> None:
    assert "[ROLE: モデルの役割を書く]" in ask("improvement", "メニューを要約してください。")[0]["content"]


@pytest.mark.parametrize("text", [COMPLETE, COMPLETE_JAPANESE])
def test_a_complete_prompt_comes_back_unchanged(text: str) -> None:
    result, confidence = ask("improvement", text)
    assert result == {"content": text, "added": []}
    assert confidence > 0


def test_an_empty_slot_is_not_yet_a_part() -> None:
    improved = ask("improvement", "soup")[0]["content"]
    assert parts_of(improved) == parts_of("soup")


@given(text=TEXTS.filter(bool))
@settings(max_examples=100)
def test_improving_an_improved_prompt_adds_nothing(text: str) -> None:
    once = ask("improvement", text)[0]
    assert text in once["content"]
    assert set(once["added"]) <= set(PARTS)
    assert ask("improvement", once["content"])[0] == {"content": once["content"], "added": []}


def test_an_improvement_stays_within_the_length_of_a_prompt() -> None:
    result = ask("improvement", "soup " * 20_000)[0]
    assert result["added"] == []
    assert len(ask("improvement", "soup " * 19_970)[0]["content"]) <= 100_000
