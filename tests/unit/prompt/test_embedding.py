"""Near prompts have near vectors, in every process the same."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.providers.base import StoredPrompt
from infra.providers.builtin.prompt.embedding import SIMILAR_SCORE, cosine, embed_text
from tests.unit.prompt.asking import ask
from tests.unit.prompt.test_every_stage import TEXTS

FAMILIES = [
    (
        "You are a helpful chef. Summarize the following menu in 50 words for the guests: {{menu}}. Return JSON.",
        "You are a helpful chef. Summarise this menu in 80 words for our guests: {{menu}}. Return a table.",
    ),
    (
        "あなたは料理の専門家です。以下のメニューを英語に翻訳してください。200文字以内、JSON形式で出力。",
        "あなたは料理の専門家です。次のメニューを英語に訳してください。100文字以内で、JSON形式で返してください。",
    ),
    (
        "Write a Python function that parses a CSV file and returns dictionaries. Include unit tests.",
        "Write a Python function which parses CSV files and returns a dictionary for each line, with unit tests.",
    ),
    (
        "Classify the customer review as positive or negative.",
        "Classify this customer review: positive, negative, neutral.",
    ),
    (
        "以下の文章を三行で要約してください。専門用語は避けてください。",
        "次の文章を五行で要約してください。専門用語を避けること。",
    ),
]


def stored(prompt_id: str, text: str) -> StoredPrompt:
    return StoredPrompt(prompt_id, f"title of {prompt_id}", 1, embed_text(text))


@given(text=st.one_of(TEXTS, st.text(max_size=200)))
@settings(max_examples=150)
def test_a_vector_has_256_finite_dimensions_and_norm_one_or_is_all_zeros(text: str) -> None:
    vector = embed_text(text)
    assert len(vector) == 256
    norm = math.sqrt(sum(value * value for value in vector))
    assert norm == 0 or math.isclose(norm, 1, abs_tol=1e-3)
    assert all(value == round(value, 5) for value in vector)


@pytest.mark.parametrize("text", ["", " \n", "!!! ???"])
def test_a_text_without_words_has_no_vector(text: str) -> None:
    assert ask("embedding", text) == (None, 0)


def test_variants_of_a_prompt_are_above_the_threshold_and_other_prompts_below() -> None:
    for index, (first, second) in enumerate(FAMILIES):
        assert cosine(embed_text(first), embed_text(second)) >= SIMILAR_SCORE
        for other, _ in FAMILIES[:index]:
            assert cosine(embed_text(first), embed_text(other)) < SIMILAR_SCORE


def test_the_best_five_neighbours_come_best_first() -> None:
    base = "Summarise the ramen menu for hungry students in Kyoto with prices"
    neighbours = tuple(stored(f"p{length}", " ".join(base.split()[:length])) for length in range(5, 12))
    similar = ask("embedding", base, stored=neighbours)[0]["similar"]
    assert len(similar) == 5
    assert similar[0] == {"prompt_id": "p11", "title": "title of p11", "version": 1, "score": 1.0}
    assert [near["score"] for near in similar] == sorted((near["score"] for near in similar), reverse=True)


def test_itself_other_dimensions_and_empty_vectors_are_no_neighbours() -> None:
    text = "Summarise the menu of the ramen shop"
    others = (
        stored("item-1", text),
        StoredPrompt("short", "", 1, [1.0]),
        StoredPrompt("empty", "", 1, [0.0] * 256),
        StoredPrompt("broken", "", 1, [math.nan] * 256),
    )
    assert ask("embedding", text, stored=others)[0]["similar"] == []


def test_case_width_and_spacing_do_not_matter() -> None:
    assert embed_text("Ramen  SHOP") == embed_text("ｒａｍｅｎ shop")
