"""Language detection for menus: scripts first, then the lexicon's dish names and a few small words.

Menus are too short and too full of loan words for statistical detectors; a wrong language is worse than none, so
close results give None.
"""

from collections import Counter
from collections.abc import Sequence

from infra.providers.builtin.menu.entries import KnownDish, Word
from infra.providers.builtin.menu.lexicon import Lexicon
from infra.providers.builtin.menu.spelling import cut, fold, script_of

MOST_TEXTS = 60
# Characters that only one of the two writing systems uses (Japan's simplified forms and own characters; China's).
ONLY_JAPANESE = frozenset("丼円込畑働峠鰯鱈鯵鰤鮭焼揚塩麺巻芋栗沢漬醤鶏総営様円県駅黒辺弐払氷豊恵桜")
ONLY_CHINESE = frozenset("鸡鱼烧虾汤饭锅盐饺鸭卤馄饨红酱丝鲜龙块们这个么猪蓉鳝鸽莲贝饼粤炖焖焗煲滷雞蝦麵鹽燒餛飩")
SCRIPTS = (
    ("HANGUL", "ko", "\uac00", "\ud7a3"),
    ("THAI", "th", "\u0e01", "\u0e5b"),
    ("GREEK", "el", "\u0370", "\u03ff"),
    ("HEBREW", "he", "\u0590", "\u05ff"),
    ("DEVANAGARI", "hi", "\u0900", "\u097f"),
    ("ARABIC", "ar", "\u0600", "\u06ff"),
    ("CYRILLIC", "ru", "\u0400", "\u04ff"),
)
STOP_WORDS = {
    "it": "di del della dei degli delle al alla alle agli ai con e il gli in da per misto fritto nostro",
    "fr": "de du des au aux à avec et le les sur en chaud maison jour notre sauce pommes ou",
    "es": "del de con y el los las al en a la plancha casa nuestro para o ajillo",
    "en": "with and of the in on served fried grilled our or fresh homemade steamed roasted",
    "de": "mit und vom der die das auf im nach art oder hausgemachte gebratene",
}
_STOPS = {language: frozenset(fold(word) for word in words.split()) for language, words in STOP_WORDS.items()}
LETTERS = {"it": "òìù", "fr": "çêèœëâ", "es": "ñ¿¡ó", "de": "ßäö"}


def detect_language(texts: Sequence[str], lexicon: Lexicon) -> str | None:
    """The language subtag that most of the texts are written in, or None when that cannot be told.

    Only the first MOST_TEXTS texts are read.
    """
    read = [text[:500] for text in texts[:MOST_TEXTS]]
    joined = " ".join(read)
    scripts = Counter(script for char in joined if (script := _script(char)))
    if not scripts:
        return None
    east_asian = scripts["kana"] + scripts["han"]
    script = scripts.most_common(1)[0][0]
    # A Japanese or Chinese menu often repeats its names in Latin letters, which need more of them for the same word.
    if east_asian * 4 >= scripts["latin"] and east_asian and east_asian >= max(scripts[name] for name, *_ in SCRIPTS):
        return _east_asian(read, joined, scripts, lexicon)
    if script == "latin":
        return _latin(read, joined, lexicon)
    language = next(language for name, language, *_ in SCRIPTS if name == script)
    return "uk" if language == "ru" and any(char in "іїєґІЇЄҐ" for char in joined) else language


def _script(char: str) -> str | None:
    if char.isascii():
        return "latin" if char.isalpha() else None
    script = script_of(char)
    if script in ("hiragana", "katakana"):
        return "kana"
    if script == "han":
        return "han"
    for name, _, first, last in SCRIPTS:
        if first <= char <= last:
            return name
    return "latin" if char.isalpha() and char < "\u0250" else None


def _east_asian(texts: list[str], joined: str, scripts: Counter[str], lexicon: Lexicon) -> str | None:
    # Chinese menus borrow a の for its looks, so a little kana proves nothing in much Han.
    if scripts["kana"] * 10 >= scripts["han"]:
        return "ja"
    japanese = 2.0 * sum(char in ONLY_JAPANESE for char in joined)
    chinese = 2.0 * sum(char in ONLY_CHINESE for char in joined)
    votes = _votes(texts, lexicon)
    japanese, chinese = japanese + 3 * votes["ja"], chinese + 3 * votes["zh"]
    if japanese == chinese:
        return None
    return "ja" if japanese > chinese else "zh"


def _latin(texts: list[str], joined: str, lexicon: Lexicon) -> str | None:
    scores: Counter[str] = Counter()
    for language, count in _votes(texts, lexicon).items():
        scores[language] += 3 * count
    lowered = joined.lower()
    for language, letters in LETTERS.items():
        scores[language] += sum(lowered.count(letter) for letter in letters)
    for atom in (atom for text in texts for atom in cut(text)):
        for language, stops in _STOPS.items():
            scores[language] += atom.key in stops
        for meaning in lexicon.meanings(atom.key):
            if isinstance(meaning.entry, Word) and meaning.entry.language in _STOPS:
                scores[meaning.entry.language] += 1
            if fold(meaning.entry.english) == atom.key:
                scores["en"] += 1
    ranked = (+scores).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _votes(texts: list[str], lexicon: Lexicon) -> Counter[str]:
    """For each language, how many texts are a dish of it under that dish's own name."""
    votes: Counter[str] = Counter()
    for text in texts:
        key = fold(text)
        languages = {
            meaning.entry.language
            for meaning in lexicon.meanings(key)
            if isinstance(meaning.entry, KnownDish) and fold(meaning.entry.name) == key
        }
        english = any(fold(meaning.entry.english) == key for meaning in lexicon.meanings(key))
        if english and not languages:
            votes["en"] += 1
        if len(languages) == 1:
            votes.update(languages)
    return votes
