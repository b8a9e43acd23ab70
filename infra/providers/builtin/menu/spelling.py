"""Spelling: what two ways of writing the same name have in common, and where a name may be cut.

Menus write one word in many ways: full or half width, hiragana or katakana, with or without accents, spaces and dots.
`fold` gives all of them one key; `cut` gives the smallest pieces that a longer name may be put together from.
"""

import unicodedata

import msgspec

_KATAKANA_TO_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
# Letters that no Unicode normalisation takes apart, but that people type without their special key.
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "ı": "i"})


class Atom(msgspec.Struct, frozen=True):
    """A piece of a name that is never cut further: one kana or Han character, or one word of a spaced script.

    `script` is "han", "hiragana", "katakana", "digit" or "letter"; `follows` is what stood between it and the atom
    before it (spaces and punctuation).
    """

    text: str
    key: str
    script: str
    follows: str = ""


def fold(text: str) -> str:
    """The key of a name: NFKC, casefolded, without Latin accents, katakana as hiragana, only letters and digits."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_LIGATURES)
    if plain.isascii():
        return "".join(char for char in plain if char.isalnum())
    plain = "".join(_without_accent(char) for char in plain).translate(_KATAKANA_TO_HIRAGANA)
    key = "".join(char for char in plain if _belongs_to_word(char))
    # What stood between two characters may have kept them from becoming one.
    return key if key == text else fold(key)


def cut(text: str) -> tuple[Atom, ...]:
    """The atoms of a name, in order; separators are kept only as `Atom.follows`."""
    atoms: list[Atom] = []
    run, run_script, gap = "", "", ""
    for char in unicodedata.normalize("NFKC", text):
        script = script_of(char)
        if run and (script != run_script or script not in ("letter", "digit")):
            atoms.append(Atom(run, fold(run), run_script, gap))
            run, gap = "", ""
        if not script:
            gap += char
            continue
        run, run_script = run + char, script
    if run:
        atoms.append(Atom(run, fold(run), run_script, gap))
    return tuple(atom for atom in atoms if atom.key)


def script_of(char: str) -> str:
    """The script of a character: "han", "hiragana", "katakana", "digit", "letter", or "" between words."""
    code = ord(char)
    if code < 0x2E80:
        if char.isdecimal():
            return "digit"
        return "letter" if _belongs_to_word(char) else ""
    if 0x3041 <= code <= 0x309F:
        return "hiragana"
    if 0x30A1 <= code <= 0x30FF and code != 0x30FB:
        return "katakana"
    if code in (0x3005, 0x3006, 0x3007) or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF:
        return "han"
    if 0x20000 <= code <= 0x3FFFF:
        return "han"
    return "letter" if _belongs_to_word(char) else ""


def singulars(word: str) -> tuple[str, ...]:
    """Folded words that `word` may be the plural of, in English, French, Spanish and Italian; only for longer words,
    because in short ones an ending is too often part of the stem."""
    if len(word) < 5 or not word.isascii():
        return ()
    if word.endswith("ies"):
        return (word[:-3] + "y", word[:-1])
    if word.endswith("es"):
        return (word[:-1], word[:-2])
    if word.endswith("s"):
        return (word[:-1],)
    if word.endswith("i"):
        return (word[:-1] + "o", word[:-1] + "e")
    if word.endswith("e"):
        return (word[:-1] + "a",)
    return ()


def _without_accent(char: str) -> str:
    # Only Latin letters: taking the mark off a kana would make another syllable of it (が is not か).
    latin = "\u00c0" <= char <= "\u024f" or "\u1e00" <= char <= "\u1eff"
    return unicodedata.normalize("NFD", char)[0] if latin else char


def _belongs_to_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"
