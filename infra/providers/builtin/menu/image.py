"""The image rule: a plate card drawn as SVG from what is known about the dish.

No ids, styles, scripts or links inside: several cards can stand in one page, and a strict Content-Security-Policy
holds. The same dish always gives the same card.
"""

import unicodedata
from html import escape
from zlib import crc32

from infra.providers.builtin.menu.entries import Ingredient
from infra.providers.builtin.menu.question import UNKNOWN, Known, Question
from infra.providers.builtin.menu.translation import name_in

MOST_BYTES = 2500
MOST_INGREDIENTS = 6
# It is a drawing by colours, not a picture of the dish.
DRAWING = 0.6
FONT = "system-ui,'Noto Sans JP','Hiragino Sans',sans-serif"

# The colour of what one sees on the plate, by a word of the ingredient's key; the first that fits is taken.
COLOURS = {
    "salmon_roe": "#e8501f", "salmon": "#f58a6b", "tuna": "#b8323f", "shrimp": "#f49a7a", "prawn": "#f49a7a",
    "crab": "#e0563b", "lobster": "#d3402c", "squid": "#f0e4dc", "octopus": "#a84a5a", "egg": "#f6c445",
    "tomato": "#d93b2b", "avocado": "#8fb04e", "onion": "#e6d9b8", "rice": "#f8f4e8", "chicken": "#d9a066",
    "duck": "#a8623c", "pork": "#d98b7a", "ham": "#e79a9a", "bacon": "#c4685a", "beef": "#7d3f2c", "lamb": "#8a4a36",
    "nori": "#24402f", "seaweed": "#2e5339", "wakame": "#3a6b45", "kombu": "#3b4f31", "tofu": "#f3ecd8",
    "miso": "#a8743a", "soy_sauce": "#4a2a1a", "mushroom": "#a08267", "shiitake": "#6e4b35", "potato": "#e3c47a",
    "carrot": "#ee8332", "pumpkin": "#e58a22", "cabbage": "#b9d38a", "lettuce": "#8fc25c", "spinach": "#3e7a3a",
    "basil": "#4d8f3c", "parsley": "#4f9a45", "cucumber": "#7fb563", "pepper": "#c94a2f", "chili": "#c4281e",
    "cheese": "#f2c65a", "mozzarella": "#f7f1e3", "cream": "#f7efdf", "milk": "#faf6ec", "butter": "#f4d774",
    "lemon": "#f3dc4b", "orange": "#f09a36", "apple": "#c8d05a", "strawberr": "#d8354a", "chocolate": "#5a3524",
    "coffee": "#4b2e20", "matcha": "#7f9f4b", "bean": "#8a3b35", "sesame": "#d8c39a", "ginger": "#e2c381",
    "garlic": "#efe6d0", "noodle": "#ecd28f", "spaghetti": "#eecb78", "pasta": "#eecb78", "dough": "#e2b873",
    "bread": "#c98f4e", "flour": "#ecdfc4", "fish": "#9fb4bf", "mackerel": "#7f98a8", "eel": "#6b4a2f",
    "clam": "#c9b59a", "scallop": "#f1dfc6", "oyster": "#a9a79c", "beer": "#e9a92f", "wine": "#7a2338",
    "tea": "#9c7a3d", "vegetable": "#77a850", "salt": "#f4f4f4", "sugar": "#fbf7f0", "oil": "#d9c14a",
}  # fmt: skip
CLOTHS = ("#355c7d", "#6c5b7b", "#7a4e48", "#2f6f6a", "#596d3a", "#8a5a34", "#4a5568", "#70415a")
PLACES = ((160, 92, 28), (128, 76, 18), (192, 108, 18), (190, 74, 16), (130, 112, 16), (160, 134, 11))


def answer(question: Question) -> Known:
    """`{"svg", "alt"}` for a name that is understood; the SVG has at most MOST_BYTES bytes of UTF-8."""
    known = question.recognition
    if known.kind not in ("dish", "composed"):
        return UNKNOWN
    written = " ".join(question.dish.name.split())
    name = name_in(question, question.target.language) or known.english or written
    colours = [_colour(item) for item in (*known.named, *known.typical)[:MOST_INGREDIENTS]]
    alt = f"{name}: a drawn plate card, not a photograph"
    svg = _card(name, written if written != name else "", colours, known.category or "", alt)
    return {"svg": svg, "alt": alt}, round(known.confidence * DRAWING, 3)


def _card(name: str, written: str, colours: list[str], category: str, alt: str) -> str:
    # The category sets the table-cloth, so that a section of a menu looks like one.
    cloth = CLOTHS[crc32(category.encode()) % len(CLOTHS)]
    food = "".join(
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}"/>'
        for (x, y, radius), colour in zip(PLACES, colours, strict=False)
    )
    second = f'<text x="160" y="208" font-size="13" opacity=".85">{_line(written, 40)}</text>' if written else ""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 220" role="img">'
        f"<title>{_line(alt, 160)}</title>"
        f'<rect width="320" height="220" rx="14" fill="{cloth}"/>'
        '<ellipse cx="160" cy="100" rx="98" ry="72" fill="#000" opacity=".18"/>'
        '<circle cx="160" cy="92" r="76" fill="#fdfcf9"/><circle cx="160" cy="92" r="58" fill="#f1ede4"/>'
        f"{food}"
        f'<g fill="#fff" font-family="{FONT}" text-anchor="middle">'
        f'<text x="160" y="190" font-size="16" font-weight="600">{_line(name, 34)}</text>{second}</g></svg>'
    )


def _line(text: str, width: int) -> str:
    """Escaped text of at most `width` half-width columns, without what XML 1.0 cannot hold."""
    columns, line = 0, ""
    for char in text:
        if not _in_xml(char):
            continue
        columns += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if columns > width:
            line += "…"
            break
        line += char
    return escape(line)


def _in_xml(char: str) -> bool:
    code = ord(char)
    return (0x20 <= code < 0xD800 and not 0x7F <= code < 0xA0) or 0xE000 <= code < 0xFFFE or code >= 0x10000


def _colour(ingredient: Ingredient) -> str:
    return next((colour for word, colour in COLOURS.items() if word in ingredient.key), "#c9a877")
