"""What each of the eight menu stages answers, in the words of a menu."""

import asyncio
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from infra.providers.base import Answer, Dish, PromptText, ProviderRejected, StageCall
from infra.providers.builtin.menu.image import MOST_BYTES
from infra.providers.builtin.provider import LONG_PROMPT_CHARACTERS, BuiltinProvider
from pipeline.menu.registry import MENU_STAGES
from tests.unit.menu.conftest import Ask

COLUMNS = [
    "translation", "category", "category_translation", "description", "allergy", "ingredient", "search_engine",
    "gen_image", "price",
]  # fmt: skip


def test_the_eight_stages_fill_each_column_once() -> None:
    assert len(MENU_STAGES) == 8
    assert [column for stage in MENU_STAGES for column in stage.fills] == COLUMNS


def test_an_unknown_dish_is_null_with_confidence_0_in_every_stage(ask: Ask) -> None:
    for stage in MENU_STAGES:
        assert ask(stage.name, "xyzzy blorf") == (None, 0.0), stage.name


def test_a_known_dish_is_translated(ask: Ask) -> None:
    assert ask("translation") == ("Chicken and egg rice bowl", 0.95)


@pytest.mark.parametrize(("source", "target"), [("ja", "ja"), ("en", "en-GB"), ("pt-BR", "pt")])
def test_a_menu_in_the_target_language_keeps_its_names(ask: Ask, source: str, target: str) -> None:
    assert ask("translation", "Xyzzy", source=source, target=target) == ("Xyzzy", 1.0)


def test_another_script_of_the_same_language_is_a_translation(ask: Ask) -> None:
    assert ask("translation", "xyzzy", source="zh-Hans", target="zh-Hant") == (None, 0.0)


def test_a_region_of_the_target_works_as_its_language(ask: Ask) -> None:
    assert ask("translation", target="en-GB") == ask("translation", target="en")


def test_a_language_that_the_lexicon_does_not_have_is_unknown(ask: Ask) -> None:
    for stage in ("translation", "description", "ingredients"):
        assert ask(stage, target="sv") == (None, 0.0)


def test_ingredients_are_translated_into_japanese(ask: Ask) -> None:
    result, _ = ask("ingredients", "Pizza Margherita", source="it", target="ja")
    assert {"name": "トマト", "original": None} in result


def test_a_dish_of_the_target_kitchen_gets_its_own_name(ask: Ask) -> None:
    assert ask("translation", "Margherita pizza", source="en", target="it")[0] == "Pizza Margherita"


def test_the_category_comes_in_both_languages(ask: Ask) -> None:
    assert ask("category")[0] == {"category": "丼もの", "category_translation": "Rice bowls"}
    assert ask("category", target="fr")[0] == {"category": "丼もの", "category_translation": "Bols de riz"}


def test_the_heading_of_the_menu_is_kept_and_translated(ask: Ask) -> None:
    assert ask("category", "xyzzy", category="サラダ")[0] == {"category": "サラダ", "category_translation": "Salads"}


def test_a_heading_that_is_not_understood_is_kept_without_a_translation(ask: Ask) -> None:
    result, confidence = ask("category", category="ゲゲゲ")
    assert result == {"category": "ゲゲゲ", "category_translation": None}
    assert confidence <= 0.5


def test_the_description_says_what_is_known(ask: Ask) -> None:
    text, confidence = ask("description")
    assert text.startswith("Chicken and egg rice bowl: ")
    assert "Typically made with chicken, egg, onion, rice" in text
    assert 0 < confidence < 0.95


def test_the_description_of_a_composed_name_tells_the_named_from_the_typical(ask: Ask) -> None:
    text, _ = ask("description", "サーモンアボカド丼")
    assert "Named on the menu: salmon and avocado." in text
    assert "Typically also made with rice." in text


def test_the_description_is_there_in_japanese_too(ask: Ask) -> None:
    assert "鶏肉、卵、玉ねぎ" in ask("description", target="ja")[0]


def test_a_known_dish_contains_the_allergens_of_its_ingredients(ask: Ask) -> None:
    result, _ = ask("allergens")
    found = {entry["code"]: entry for entry in result["allergens"]}
    assert found["egg"] == {
        "code": "egg", "label": "Egg", "status": "contains", "lists": ["eu14", "jp8"], "because": ["egg"]
    }  # fmt: skip
    assert found["soybean"]["because"] == ["soy sauce"]
    assert "ask the kitchen" in result["note"]
    assert "not absent" in result["note"]


def test_a_composed_name_is_certain_only_of_what_it_names(ask: Ask) -> None:
    result, confidence = ask("allergens", "サーモン天ぷら丼")
    status = {entry["code"]: entry["status"] for entry in result["allergens"]}
    assert status["fish"] == "contains"
    assert status["wheat"] == "may_contain"
    assert confidence < 0.8


def test_what_the_menu_leaves_out_is_never_called_absent(ask: Ask) -> None:
    result, _ = ask("allergens", "卵抜き親子丼")
    assert {entry["status"] for entry in result["allergens"]} == {"may_contain"}
    assert "egg" in {entry["code"] for entry in result["allergens"]}


def test_allergens_are_labelled_in_japanese_for_a_japanese_reader(ask: Ask) -> None:
    result, _ = ask("allergens", "Pizza Margherita", source="it", target="ja")
    assert "小麦" in {entry["label"] for entry in result["allergens"]}
    assert "ご確認" in result["note"]


def test_allergens_are_given_for_every_target_language(ask: Ask) -> None:
    assert ask("allergens", target="sv") == ask("allergens", target="en")


def test_ingredients_keep_their_original_words(ask: Ask) -> None:
    result, _ = ask("ingredients")
    assert result[:2] == [{"name": "chicken", "original": "鶏肉"}, {"name": "egg", "original": "卵"}]


def test_image_search_gives_links_that_search_for_the_dish(ask: Ask) -> None:
    result, _ = ask("image_search")
    assert {urlsplit(link["url"]).hostname for link in result} == {"commons.wikimedia.org", "openverse.org"}
    assert parse_qs(urlsplit(result[0]["url"]).query)["search"] == ["Chicken and egg rice bowl"]
    assert parse_qs(urlsplit(result[-1]["url"]).query)["search"] == ["親子丼"]


def test_the_plate_card_names_the_dish_and_shows_its_ingredients(ask: Ask) -> None:
    result, _ = ask("image")
    card = ElementTree.fromstring(result["svg"])
    texts = [node.text for node in card.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Chicken and egg rice bowl", "親子丼"]
    assert card[0].tag.endswith("title")
    assert card[0].text == result["alt"]
    assert result["svg"] == ask("image")[0]["svg"]
    assert result["svg"] != ask("image", "サーモンアボカド丼")[0]["svg"]


def test_markup_in_a_name_stays_text_in_the_card(ask: Ask) -> None:
    name = '親子丼 <script>alert("&")</script>'
    result, _ = ask("image", name)
    if result is None:
        result, _ = ask("image", '親子丼 (<b onload="x">)')
    card = ElementTree.fromstring(result["svg"])
    assert {node.tag.rpartition("}")[2] for node in card.iter()} <= {
        "svg",
        "title",
        "rect",
        "ellipse",
        "circle",
        "g",
        "text",
    }
    assert "<b" not in result["svg"]


def test_the_longest_names_still_give_a_small_card(ask: Ask) -> None:
    for name in ("親子丼 (" + "丼" * 490 + ")", "親子丼 (" + '"' * 490 + ")", "親子丼 (" + "\U0001f371" * 490 + ")"):
        result, _ = ask("image", name)
        assert len(result["svg"].encode()) <= MOST_BYTES


def test_the_source_language_is_detected_when_it_was_not_given(ask: Ask) -> None:
    assert ask("category", source=None) == ask("category", source="ja")


async def _collect(provider: BuiltinProvider, call: StageCall) -> list[Answer]:
    return [answer async for answer in provider.answer(call) if isinstance(answer, Answer)]


def test_a_stage_that_does_not_exist_is_rejected_for_good(provider: BuiltinProvider) -> None:
    with pytest.raises(ProviderRejected, match="no menu stage 'horoscope'"):
        asyncio.run(_collect(provider, StageCall("menu", "horoscope", (Dish("a", 0, "親子丼"),), "en")))


def test_every_dish_of_a_batch_is_answered_once(provider: BuiltinProvider) -> None:
    dishes = tuple(Dish(f"item-{number}", number, "親子丼") for number in range(137))
    answers = asyncio.run(_collect(provider, StageCall("menu", "translation", dishes, "en", "ja")))
    assert [answer.item_id for answer in answers] == [dish.item_id for dish in dishes]


def test_a_large_batch_lets_others_have_their_turn(provider: BuiltinProvider) -> None:
    dishes = tuple(Dish(str(number), number, "親子丼") for number in range(500))

    async def turns() -> int:
        count, done = 0, asyncio.Event()

        async def other() -> None:
            nonlocal count
            while not done.is_set():
                count += 1
                await asyncio.sleep(0)

        waiting = asyncio.create_task(other())
        await _collect(provider, StageCall("menu", "image", dishes, "en", "ja"))
        done.set()
        await waiting
        return count

    assert asyncio.run(turns()) >= 15


@pytest.mark.parametrize("length", [100, LONG_PROMPT_CHARACTERS + 1])
def test_prompts_are_answered_however_long(provider: BuiltinProvider, length: int) -> None:
    prompt = PromptText("prompt", "Title", ("Write about {{topic}}. " * length)[:length])
    (answer,) = asyncio.run(_collect(provider, StageCall("prompt", "variables", (prompt,), "en")))
    assert "topic" in answer.result["properties"]
