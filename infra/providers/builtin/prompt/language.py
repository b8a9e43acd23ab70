"""Which language a prompt is written in, by its scripts and its small words."""

import re
from dataclasses import dataclass

# A prompt is a mixture: markup, code and placeholders say nothing about the language of the prose around them.
NOT_PROSE = re.compile(
    r"```[^`]{0,20000}```|`[^`\n]{1,200}`|\{\{[^{}\n]{1,200}\}\}|https?://\S{1,2000}|<[^<>\n]{1,100}>"
)
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Enough to tell a language; reading on changes nothing but the time.
LONGEST_SAMPLE = 20_000


def words(written: str) -> frozenset[str]:
    """The words of a list that is kept as plain text, so that a person can read and extend it."""
    return frozenset(written.split())


SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kana", re.compile("[\u3041-\u30ff\uff66-\uff9f]")),
    ("han", re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
)
# Letters that only one language of a script has; the first that fits decides.
OWN_LETTERS: tuple[tuple[str, str, str], ...] = (
    ("ru", "їєґ", "uk"),
    ("ru", "ђћј", "sr"),
    ("ru", "ыэё", "ru"),
    ("ar", "ٹڈڑےں", "ur"),
    ("ar", "پچژگی", "fa"),
)
# Without such letters the commonest language of the script is only a guess (Bulgarian, Marathi, Nepali ...).
SHARED_SCRIPTS = {"ru": 0.5, "ar": 0.9, "hi": 0.6}
# The commonest small words of each language, and for English the verbs that prompts begin with.
SMALL_WORDS: dict[str, frozenset[str]] = {
    "en": words(
        "the a an and or of to in is are be you your it this that for with as on from by not if do does what how why"
        " who which when should must will can please write summarize summarise explain list give make create answer"
        " them their they each all use have has was were i we my our me"
    ),
    "fr": words(
        "le la les un une des du de et ou est sont vous votre vos ce cette ces pour avec dans sur par ne pas que qui en"
        " au aux il elle nous je être êtes si plus dont chaque"
    ),
    "de": words(
        "der die das ein eine einen einem einer und oder ist sind du sie dein ihr ihre für mit auf von zu nicht im in"
        " den dem des als auch wird werden bitte wie was wenn aus bei nach jede jeder schreibe"
    ),
    "es": words(
        "el la los las un una unos de del y o es son tú usted su sus tu este esta para con en por no que como se al lo"
        " eres si más cada cuando escribe por favor"
    ),
    "it": words(
        "il lo la gli le un uno una di del della dei e o è sono sei tu questo questa per con in su da non che come si"
        " al nel più ogni quando scrivi"
    ),
    "pt": words(
        "o a os as um uma de do da dos das e ou é são você seu sua este esta para com em por não que como se ao no na"
        " mais cada quando escreva"
    ),
    "nl": words(
        "de het een en of van te in is zijn je jij jouw u uw dit dat voor met op door niet als ook wordt naar bij aan"
        " elke wanneer schrijf"
    ),
    "ca": words("el la els les un una i o és són de del amb per que no en al dels aquest aquesta si com més"),
    "ro": words("și sau este sunt un o de la în cu pentru pe nu că care din mai această acest dacă"),
    "sv": words("och eller är en ett den det som på av för med till inte om att du din i jag var"),
    "da": words("og eller er en et den det som på af for med til ikke om at du din i jeg hvad være"),
    "nb": words("og eller er en et den det som på av for med til ikke om å du din i jeg hva være"),
    "fi": words("ja tai on ei se että joka olet sinä tämä kun jos niin myös ovat"),
    "pl": words("i lub jest są w na z do nie że się to jak dla po od czy który oraz proszę"),
    "cs": words("a nebo je jsou v na z do ne že se to jak pro po od který jako prosím"),
    "tr": words("ve veya bir bu için ile de da ne gibi değil mi olarak daha her sen lütfen"),
    "id": words("dan atau yang di ke dari untuk dengan ini itu adalah tidak pada anda dalam sebagai"),
    "vi": words("và là có của cho không được những một các trong với này bạn hãy"),
}


@dataclass(frozen=True, slots=True)
class Language:
    """A BCP 47 tag, or None where the text does not tell, and how sure that is (0..1)."""

    tag: str | None
    confidence: float


UNKNOWN = Language(None, 0.0)


def detect_language(text: str) -> Language:
    """The language of most of the text's prose."""
    prose = NOT_PROSE.sub(" ", text[:LONGEST_SAMPLE])
    counts = {script: len(pattern.findall(prose)) for script, pattern in SCRIPTS}
    found = [word.lower().replace("’", "'") for word in WORD.findall(prose)]
    latin = [word for word in found if word[0] < "\u0250"]
    # An East Asian word has about two characters, a word of the other scripts three or more.
    east_asian = counts["kana"] + counts["han"]
    if east_asian >= 2 * len(latin) and east_asian > counts["ko"]:
        if counts["kana"] == 0:
            return Language(chinese_script(prose), 0.9 if counts["han"] >= 6 else 0.6)
        return Language("ja", 1.0 if counts["kana"] >= 4 else 0.7)
    others = {script: count for script, count in counts.items() if script not in ("kana", "han")}
    best = max(others, key=lambda script: others[script])
    if others[best] >= 3 * len(latin) and others[best] > 0:
        tag, surest = _narrow_script(best, prose)
        return Language(tag, surest if others[best] >= 10 else min(surest, 0.6))
    return _detect_latin(latin)


def chinese_script(text: str) -> str:
    """`zh-Hans`, `zh-Hant`, or `zh` where every character is common to both.

    The national character sets decide: GB 2312 has the simplified forms only, Big5 the traditional ones only.
    """
    characters = "".join(SCRIPTS[1][1].findall(text))
    simplified = len(characters.encode("gb2312", "ignore"))
    traditional = len(characters.encode("big5", "ignore"))
    if simplified == traditional:
        return "zh"
    return "zh-Hans" if simplified > traditional else "zh-Hant"


def _narrow_script(tag: str, text: str) -> tuple[str, float]:
    """The language within a script that several share, by its own letters, and how sure those make it."""
    for script, letters, language in OWN_LETTERS:
        if script == tag and any(letter in text for letter in letters):
            return language, 0.9
    return tag, SHARED_SCRIPTS.get(tag, 1.0)


def _detect_latin(found: list[str]) -> Language:
    hits = {tag: sum(word in small for word in found) for tag, small in SMALL_WORDS.items()}
    first, second = sorted(hits, key=lambda tag: -hits[tag])[:2]
    if hits[first] == 0 or hits[first] == hits[second]:
        return UNKNOWN
    sure = hits[first] >= 4 and hits[first] >= 1.5 * hits[second] and hits[first] >= 0.15 * len(found)
    return Language(first, 1.0 if sure else 0.6 if hits[first] >= 2 else 0.3)
