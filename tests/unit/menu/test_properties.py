"""What holds for any name and any price that somebody may submit."""

import unicodedata
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.providers.base import Answer
from infra.providers.builtin.menu.image import MOST_BYTES
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.recognition import recognise
from infra.providers.builtin.menu.spelling import cut, fold
from infra.providers.builtin.provider import BuiltinProvider
from pipeline.menu.registry import MENU_STAGES
from tests.unit.menu.conftest import Ask

# Names near the lexicon find more than random characters do.
WORDS = """
親子丼 サーモン アボカド 丼 海老 天ぷら の と 特製 大盛り チーズ 入り 抜き 卵 うどん
3個 炒 饭 ゲ イカ ( ) （味噌汁付き） Menu 12 ¥
pollo insalata di con alla griglia gambas soupe de <b> & " ' 🍱
""".split()
PIECES = st.sampled_from([*WORDS, " ", "Pizza Margherita", "\x0b", "\u202e", "\ufffe"])
NAMES = st.one_of(st.text(min_size=1, max_size=500), st.lists(PIECES, min_size=1, max_size=20).map("".join))
PRICE_PIECES = st.sampled_from(
    [
        "¥",
        "円",
        "€",
        "$",
        "1,280",
        "12.50",
        "980",
        "(",
        ")",
        "税込",
        "税抜",
        "~",
        "-",
        " ",
        "万",
        "千",
        "八",
        "時価",
        ".",
        ",",
        "'",
    ]
)
PRICES = st.one_of(st.none(), st.text(max_size=100), st.lists(PRICE_PIECES, max_size=12).map("".join))
LANGUAGES = st.sampled_from(["en", "ja", "en-GB", "zh-Hant", "it", "fr", "es", "zh", "ko", "de", "ar", "sr-Latn-RS"])


@settings(max_examples=150)
@given(name=NAMES, price=PRICES, source=st.none() | LANGUAGES, target=LANGUAGES, category=st.none() | NAMES)
def test_every_stage_answers_anything_in_its_shape(
    ask: Ask, name: str, price: str | None, source: str | None, target: str, category: str | None
) -> None:
    for stage in MENU_STAGES:
        result, confidence = ask(stage.name, name, price, category, source, target)
        assert stage.value(Answer("item", result, confidence), "builtin")["result"] == result
        assert 0.0 <= confidence <= 1.0
        assert (result is None) == (confidence == 0.0)


@settings(max_examples=150)
@given(name=NAMES, target=LANGUAGES)
def test_no_allergen_is_ever_said_to_be_absent(ask: Ask, name: str, target: str) -> None:
    result, _ = ask("allergens", name, target=target)
    if result is not None:
        assert {entry["status"] for entry in result["allergens"]} <= {"contains", "may_contain", "unknown"}
        assert all(entry["because"] for entry in result["allergens"])
        assert result["note"]


@settings(max_examples=150)
@given(rest=NAMES, target=LANGUAGES)
def test_every_card_is_small_well_formed_and_without_foreign_markup(ask: Ask, rest: str, target: str) -> None:
    result, _ = ask("image", f"親子丼 ({rest})", target=target)
    if result is not None:
        assert len(result["svg"].encode()) <= MOST_BYTES
        tags = {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(result["svg"]).iter()}
        assert tags <= {"svg", "title", "rect", "ellipse", "circle", "g", "text"}


@given(name=NAMES)
def test_a_name_that_is_not_understood_is_not_named(lexicon: Lexicon, name: str) -> None:
    known = recognise(name, lexicon, None)
    if known.kind in ("partial", "unknown"):
        assert (known.english, known.japanese, known.category, known.typical) == (None, None, None, ())


@given(text=st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(text=st.text())
def test_the_atoms_of_a_name_hold_its_characters_in_order(text: str) -> None:
    atoms = cut(text)
    rest = unicodedata.normalize("NFKC", text)
    for atom in atoms:
        assert atom.key
        before, found, rest = rest.partition(atom.text)
        assert found, before


@given(texts=st.lists(st.text(), max_size=5))
def test_detection_never_fails(provider: BuiltinProvider, texts: list[str]) -> None:
    language = provider.detect_language(texts)
    assert language is None or (language.isascii() and len(language) == 2)
