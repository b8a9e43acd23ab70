"""Composition: a name that is not known as a whole is split into pieces that are.

The split explains as many characters as possible and, among equals, uses the fewest pieces (so the longest matches
win). Japanese and Chinese are cut between any two characters, spaced scripts only between words. What no entry
explains stays in the split as an unknown piece: nothing is guessed and nothing is silently dropped.
"""

from typing import Literal

import msgspec

from infra.providers.builtin.menu.entries import Ingredient, KnownDish, Word
from infra.providers.builtin.menu.lexicon import ALIAS, Entry, Lexicon, Spelling
from infra.providers.builtin.menu.spelling import Atom, cut, fold, singulars

Link = Literal["", "of", "with", "without", "and"]

# Grammar, not vocabulary: words that join names and mean nothing by themselves. Keys are folded.
PARTICLES: dict[str, Link] = {
    **dict.fromkeys(["の", "的", "no", "in", "the", "la", "le", "les", "el", "los", "las", "il", "lo", "i", "gli"], ""),
    **dict.fromkeys(["l", "un", "una", "une", "der", "die", "das", "sul", "sulla", "en", "sur", "on"], ""),
    **dict.fromkeys(["di", "de", "del", "della", "dei", "degli", "delle", "dello", "dell", "d", "du", "des"], "of"),
    **dict.fromkeys(["da", "of", "von"], "of"),
    **dict.fromkeys(["con", "avec", "with", "mit", "col", "配"], "with"),
    **dict.fromkeys(["a", "al", "alla", "alle", "allo", "all", "ai", "agli", "au", "aux", "à"], "with"),
    **dict.fromkeys(["e", "ed", "et", "y", "und", "and", "n", "と", "や", "和", "与", "與"], "and"),
    **dict.fromkeys(["senza", "sans", "sin", "without", "ohne", "无", "無"], "without"),
}
# These say something about the piece before them: チーズ入り is "with cheese", 卵抜き is "without egg".
ENDINGS: dict[str, Link] = {
    **dict.fromkeys(["付き", "付", "つき", "入り", "いり", "添え", "のせ", "載せ", "乗せ", "がけ", "入"], "with"),
    **dict.fromkeys(["なし", "無し", "抜き", "ぬき", "不使用", "フリー", "free"], "without"),
}
EXPLICIT_WITH = frozenset(map(fold, ["con", "avec", "with", "mit", "col", "配"]))
COUNTERS = {
    **dict.fromkeys(["個", "ヶ", "ケ", "コ", "こ", "本", "枚", "貫", "切れ", "粒", "尾", "ピース"], "pieces"),
    **dict.fromkeys(
        ["pcs", "pz", "pc", "个", "只", "块", "片", "pieces", "pezzi", "pièces", "piezas", "stück"], "pieces"
    ),
    **dict.fromkeys(["人前", "人分", "名様"], "servings"),
    **dict.fromkeys(["種", "種類"], "kinds"),
    **dict.fromkeys(["g", "グラム"], "g"),
    **{unit: unit for unit in ("kg", "ml", "cl", "dl", "cc")},
}
_FOLDED_COUNTERS = {fold(counter): unit for counter, unit in COUNTERS.items()}
_FOLDED_PARTICLES = {fold(particle): link for particle, link in PARTICLES.items()}
_FOLDED_ENDINGS = {fold(ending): link for ending, link in ENDINGS.items()}


class Piece(msgspec.Struct, frozen=True):
    """A part of a name: what it was written as and the entry that explains it, or a quantity, or neither (unknown).

    `link` is how the piece is joined to the rest; `explicit` is True where the menu itself wrote a word for "with".
    """

    text: str
    weight: int
    entry: Entry | None = None
    quantity: str | None = None
    certainty: float = 0.0
    link: Link = ""
    explicit: bool = False


class _Step(msgspec.Struct, frozen=True):
    start: int
    end: int
    kind: Literal["entry", "particle", "ending", "quantity", "unknown"]
    explained: int
    meanings: tuple[Spelling, ...] = ()
    link: Link = ""


def compose(name: str, lexicon: Lexicon, language: str | None) -> tuple[Piece, ...]:
    """The pieces of a name in the order in which they stand there. `language` settles which of several meanings."""
    atoms = cut(name)
    return _join(atoms, _distrust(atoms, _split(atoms, lexicon)), language)


def choose(meanings: tuple[Spelling, ...], language: str | None, whole: bool) -> Spelling:
    """The meaning to take: as a whole name a dish comes first; inside a longer name the form (丼) and the ingredient
    do, because the dish of the same name would bring ingredients along that the longer name does not promise."""

    def rank(spelling: Spelling) -> tuple[int, bool, float]:
        entry = spelling.entry
        if isinstance(entry, KnownDish):
            order = 0 if whole else 2
        elif isinstance(entry, Ingredient):
            order = 1 if spelling.certainty >= ALIAS else 3
        else:
            order = 4 if whole or entry.role != "form" else 0
        foreign = not isinstance(entry, Ingredient) and entry.language != language
        return order, foreign, -spelling.certainty

    return min(meanings, key=rank)


def _split(atoms: tuple[Atom, ...], lexicon: Lexicon) -> list[_Step]:
    """The best way through the atoms, found from the end: best[i] is the best way to explain atoms[i:]."""
    best: list[tuple[int, int, _Step | None]] = [(0, 0, None)] * (len(atoms) + 1)
    for start in range(len(atoms) - 1, -1, -1):
        found: tuple[int, int, _Step | None] | None = None
        for step in _steps(atoms, start, lexicon):
            after = best[step.end]
            candidate = (step.explained + after[0], after[1] - 1, step)
            if found is None or candidate[:2] > found[:2]:
                found = candidate
        best[start] = found or (0, 0, None)
    steps, at = [], 0
    while (step_here := best[at][2]) is not None:
        steps.append(step_here)
        at = step_here.end
    return steps


def _steps(atoms: tuple[Atom, ...], start: int, lexicon: Lexicon) -> list[_Step]:
    """Every step that may be taken from `start`; of equals the earlier one wins."""
    first, steps, key = atoms[start], [], ""
    if first.script == "digit":
        return [_quantity(atoms, start)]
    if first.key in _FOLDED_PARTICLES:
        steps.append(_Step(start, start + 1, "particle", 0, link=_FOLDED_PARTICLES[first.key]))
    for end in range(start + 1, min(start + lexicon.longest, len(atoms)) + 1):
        key += atoms[end - 1].key
        if start > 0 and key in _FOLDED_ENDINGS:
            steps.append(_Step(start, end, "ending", len(key), link=_FOLDED_ENDINGS[key]))
        # One kana or Latin letter alone is never a name; it would match by chance everywhere.
        if len(key) > 1 or first.script == "han":
            meanings = lexicon.meanings(key)
            if not meanings and end == start + 1 and first.script == "letter":
                meanings = next((found for one in singulars(key) if (found := lexicon.meanings(one))), ())
            if meanings:
                steps.append(_Step(start, end, "entry", len(key), meanings))
    steps.append(_Step(start, start + 1, "unknown", 0))
    return steps


def _quantity(atoms: tuple[Atom, ...], start: int) -> _Step:
    """A number, with the counter that may follow it; digits explain nothing and cost nothing."""
    key = ""
    for end in range(start + 1, min(start + 4, len(atoms)) + 1):
        if end > start + 1:
            key += atoms[end - 1].key
            if key in _FOLDED_COUNTERS:
                return _Step(start, end, "quantity", 0, link="")
    return _Step(start, start + 1, "quantity", 0)


def _distrust(atoms: tuple[Atom, ...], steps: list[_Step]) -> list[_Step]:
    """Give up matches that chance explains better: one or two kana that hang on to unexplained kana of the same script
    (the いか in すいか, the タイ in タイム), and particles within such a word."""
    steps = list(steps)
    changed = True
    while changed:
        changed = False
        for index, step in enumerate(steps):
            short = step.end - step.start <= 2 and step.kind in ("entry", "particle", "ending")
            if not short or atoms[step.start].script not in ("hiragana", "katakana"):
                continue
            if _hangs_on(atoms, steps, index):
                unknown = [_Step(at, at + 1, "unknown", 0) for at in range(step.start, step.end)]
                steps[index : index + 1] = unknown
                changed = True
                break
    return steps


def _hangs_on(atoms: tuple[Atom, ...], steps: list[_Step], index: int) -> bool:
    step = steps[index]
    before, after = steps[index - 1] if index else None, steps[index + 1] if index + 1 < len(steps) else None
    first, touches = atoms[step.start], step.kind != "ending" and not atoms[step.start].follows
    if touches and before and before.kind == "unknown" and atoms[before.end - 1].script == first.script:
        return True
    if after and after.kind == "unknown" and not atoms[after.start].follows:
        # A particle may be followed by anything: only the word before it tells whether it is one.
        return step.kind == "entry" and atoms[after.start].script == atoms[step.end - 1].script
    return False


def _join(atoms: tuple[Atom, ...], steps: list[_Step], language: str | None) -> tuple[Piece, ...]:
    """Steps as pieces: particles and endings become the links of their neighbours, unknown neighbours grow together."""
    pieces: list[Piece] = []
    link, explicit, previous = "", False, ""
    for step in steps:
        text, weight = _text(atoms, step), sum(len(atom.key) for atom in atoms[step.start : step.end])
        if step.kind == "particle":
            link = step.link or link
            explicit = explicit or atoms[step.start].key in EXPLICIT_WITH
        elif step.kind == "ending" and pieces and pieces[-1].entry is not None:
            pieces[-1] = msgspec.structs.replace(pieces[-1], link=step.link, explicit=True)
        elif step.kind == "quantity":
            pieces.append(Piece(text, 0, quantity=_worded(atoms, step)))
        elif step.kind == "entry":
            meaning = choose(step.meanings, language, whole=False)
            pieces.append(Piece(text, weight, meaning.entry, None, meaning.certainty, link, explicit))  # type: ignore[arg-type]
            link, explicit = "", False
        elif previous == "unknown":
            pieces[-1] = Piece(pieces[-1].text + _gap(atoms[step.start]) + text, pieces[-1].weight + weight)
        else:
            pieces.append(Piece(text, weight))
        previous = step.kind if step.kind != "ending" or pieces[-1].entry is not None else "unknown"
    return tuple(pieces)


def _worded(atoms: tuple[Atom, ...], step: _Step) -> str | None:
    if step.end == step.start + 1:
        return None
    number = atoms[step.start].key
    unit = _FOLDED_COUNTERS["".join(atom.key for atom in atoms[step.start + 1 : step.end])]
    return f"{number} {unit[:-1] if number == '1' and len(unit) > 2 else unit}"


def _text(atoms: tuple[Atom, ...], step: _Step) -> str:
    first, *others = atoms[step.start : step.end]
    return first.text + "".join(_gap(atom) + atom.text for atom in others)


def _gap(atom: Atom) -> str:
    return " " if atom.follows and atom.script in ("letter", "digit") else ""


def is_word(piece: Piece, *roles: str) -> bool:
    """Whether the piece is a word of one of the roles."""
    return isinstance(piece.entry, Word) and piece.entry.role in roles
