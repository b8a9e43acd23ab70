"""Language, translation and tags say what the rules know and no more."""

import pytest
from hypothesis import given, settings

from infra.providers.builtin.prompt.language import detect_language
from tests.unit.prompt.asking import ask
from tests.unit.prompt.test_every_stage import TEXTS

ENGLISH = "You are a helpful chef. Summarise the following menu in fifty words for the guests and do not invent dishes."


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("en", ENGLISH),
        ("ja", "あなたは料理の専門家です。以下のメニューを要約してください。"),
        ("ja", "PythonのコードをJSONでレビューしてください。"),
        ("zh-Hans", "请把下面的菜单翻译成英文,不要添加新的菜品。"),
        ("zh-Hant", "請把下面的菜單翻譯成英文,不要添加新的菜品。"),
        ("ko", "다음 메뉴를 영어로 번역해 주세요."),
        ("fr", "Vous êtes un chef. Écrivez la carte pour les clients et ne changez pas les prix."),
        ("de", "Du bist ein Koch. Schreibe die Karte für die Gäste und ändere nicht die Preise."),
        ("es", "Eres un chef. Escribe la carta para los clientes y no cambies los precios."),
        ("it", "Sei uno chef. Scrivi il menu per i clienti e non cambiare i prezzi della carta."),
        ("uk", "Перекладіть це меню англійською мовою, будь ласка, і не додавайте їжі."),
        (None, "ramen udon soba"),
        (None, "{{name}} 123 !!"),
        (None, ""),
    ],
)
def test_the_language_is_told_by_script_and_small_words(tag: str | None, text: str) -> None:
    assert detect_language(text).tag == tag


def test_code_and_placeholders_do_not_make_a_japanese_prompt_english() -> None:
    code = "```\nfor the item in the list: print the item and do it\n```"
    assert detect_language(f"次のコードを直してください。\n{code}\n{{{{the_code_in_the_list}}}}").tag == "ja"


@pytest.mark.parametrize(("source", "target"), [(None, "en"), ("en", "en-GB"), ("en-US", "en")])
def test_a_prompt_in_the_target_language_is_its_own_translation(source: str | None, target: str) -> None:
    assert ask("translation", ENGLISH, source=source, target=target) == (ENGLISH, 1)


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        (None, "ja", ENGLISH),
        ("en", "fr", ENGLISH),
        (None, "en", "ramen udon soba"),
        ("zh-Hans", "zh-TW", "请把菜单翻译成英文"),
        ("zh", "zh-TW", "请把下面的菜单翻译成英文"),
        ("zz-!!", "en", ENGLISH),
    ],
)
def test_any_other_translation_is_unknown(source: str | None, target: str, text: str) -> None:
    assert ask("translation", text, source=source, target=target) == (None, 0)


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("summarisation", "Summarise this article in three sentences."),
        ("summarisation", "次の文章を要約してください。"),
        ("translation", "Translate the menu."),
        ("coding", "Write a Python function and its unit tests."),
        ("extraction", "領収書から日付を抽出して"),
        ("classification", "Classify the sentiment of the review."),
        ("rewriting", "Proofread the letter and fix its grammar."),
        ("writing", "短い物語を執筆"),
        ("analysis", "Compare the two offers and assess them."),
        ("brainstorming", "ブランド名のアイデア"),
        ("planning", "Make an itinerary and a schedule."),
        ("question_answering", "Explain what is dashi."),
        ("chat", "お客様との会話"),
        (None, "soup of the day"),
    ],
)
def test_the_category_follows_the_keywords(category: str | None, text: str) -> None:
    assert ask("tags", text)[0]["category"] == category


def test_tags_are_the_frequent_terms_and_those_of_the_title() -> None:
    text = "Describe the ramen. The ramen is rich, the broth is clear. {{broth_colour}}"
    tags = ask("tags", text, title="Noodle shop")[0]["tags"]
    assert tags[:3] == ["noodle", "shop", "ramen"]
    assert "broth_colour" not in tags
    assert "the" not in tags


def test_japanese_terms_lose_the_words_that_prompts_are_made_of() -> None:
    tags = ask("tags", "京都の天ぷらと精進料理について、200文字以内で説明してください。", title="旅行案内")[0]["tags"]
    assert "精進料理" in tags
    assert "京都" in tags
    assert not any("文字" in tag for tag in tags)


@given(text=TEXTS, title=TEXTS)
@settings(max_examples=60)
def test_there_are_at_most_eight_different_tags(text: str, title: str) -> None:
    tags = ask("tags", text, title=title)[0]["tags"]
    assert len(tags) == len(set(tags)) <= 8
    assert all(tag.strip() for tag in tags)
