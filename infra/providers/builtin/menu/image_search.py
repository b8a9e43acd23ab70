"""The image search rule: ready links to catalogues of openly licensed images."""

from urllib.parse import urlencode

from infra.providers.builtin.menu.question import UNKNOWN, Known, Question

COMMONS = "https://commons.wikimedia.org/w/index.php"
OPENVERSE = "https://openverse.org/search/image"


def answer(question: Question) -> Known:
    """`[{"label", "url"}]`: the English name in two catalogues, and the name as the menu writes it.

    Only for names that are understood: a link is a promise that something is to be found behind it.
    """
    known = question.recognition
    if known.kind not in ("dish", "composed") or not known.english:
        return UNKNOWN
    english, original = known.english.partition(" (")[0], (known.dish.name if known.dish else question.dish.name)
    links = [
        {"label": "Wikimedia Commons", "url": _commons(english)},
        {"label": "Openverse", "url": f"{OPENVERSE}?{urlencode({'q': english})}"},
    ]
    if original.casefold() != english.casefold():
        links.append({"label": f"Wikimedia Commons ({original[:80]})", "url": _commons(original[:80])})
    return links, known.confidence


def _commons(words: str) -> str:
    return f"{COMMONS}?{urlencode({'title': 'Special:MediaSearch', 'type': 'image', 'search': words})}"
