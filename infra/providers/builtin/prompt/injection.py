"""Text that tries to take a model over: injected orders, jailbreaks, exfiltration, and hidden Unicode."""

import re
import unicodedata
from collections.abc import Iterator

from infra.providers.builtin.prompt.spans import Span

# Gaps are bounded and patterns have no nested repeats, so that each is linear in the text.
ORDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "ignore_instructions",
        (
            r"\b(?:ignore|disregard|forget|override|bypass|do not follow|don't follow)\s(?:[a-z']{1,12}\s){0,4}"
            r"(?:instructions?|prompts?|rules|directions|guidelines|commands|messages?|guardrails|everything above)\b",
            r"\b(?:ignore|disregard|forget) (?:everything|anything|all)(?: [a-z]{1,12}){0,4} "
            r"(?:above|before|previous(?:ly)?)\b",
            r"(?:これまで|今まで|以前|上記|前述|先ほど|元|最初|すべて|全て|システム)の?[^。\n]{0,12}"
            r"(?:指示|命令|ルール|規則|プロンプト|設定|制約)[^。\n]{0,10}?(?:無視|忘れ|破棄|従わ(?:ない|ず))",
        ),
    ),
    (
        "jailbreak",
        (
            r"\b(?:you are|act as|become|enter|switch to|enable) (?:[a-z]{1,12} ){0,3}"
            r"(?:dan|jailbroken|unfiltered|unrestricted|developer mode|god mode|evil)\b",
            r"\bdo anything now\b|\bjailbreak(?: mode)?\b",
            r"\bwithout (?:any )?(?:restrictions?|filters?|censorship|ethical guidelines)\b",
            r"\b(?:pretend|imagine) (?:[a-z']{1,12} ){0,5}(?:no (?:rules|restrictions|limits|filters)|not bound by)\b",
            r"(?:制限|制約|検閲|フィルター|倫理)[^。\n]{0,8}(?:のない|なしで|を外し|を解除|を無効)",
            r"脱獄モード|開発者モード|何でもできる(?:ai|モデル)",
        ),
    ),
    (
        "exfiltration",
        (
            r"\b(?:reveal|show|print|repeat|output|display|leak|tell me|give me|dump|send|expose)\s"
            r"(?:[a-z']{1,12}\s){0,4}(?:(?:system|hidden) prompt|initial (?:prompt|instructions)"
            r"|(?:instructions|text|prompt) above|secret keys?|api keys?|passwords?|credentials"
            r"|environment variables|training data)\b",
            r"\b(?:send|post|upload|forward|exfiltrate)\s(?:[a-z']{1,12}\s){0,6}to https?://",
            r"(?:システムプロンプト|初期設定|内部の?指示|隠された指示|apiキー|パスワード|認証情報|秘密鍵)[^。\n]{0,12}?"
            r"(?:表示|出力|教え|見せ|公開|送信|開示|暴露|漏ら)",
            # An image whose address carries data: showing the answer sends it.
            r"!\[[^\]\n]{0,100}\]\(https?://[^\s)]{1,300}[?&][^\s)=]{1,60}=[^\s)]{0,300}\)",
        ),
    ),
    (
        "fake_turn",
        (
            r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>",
            r"\[/?inst\]|<</?sys>>|</?system(?: prompt)?>",
        ),
    ),
)
WORDING: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (rule, re.compile(order, re.ASCII)) for rule, orders in ORDERS for order in orders
)
BIDI_CONTROLS = "\u202a-\u202e\u2066-\u2069"
ZERO_WIDTH = "\u200b\u2060-\u2064\ufeff\u180e\u00ad"
JOINERS = "\u200c\u200d"
HIDDEN_CHARACTERS = re.compile(f"[{BIDI_CONTROLS}{ZERO_WIDTH}{JOINERS}\U000e0000-\U000e007f]")
# A regional flag (Scotland's, for example) is a black flag followed by tag letters: the only honest use of tags.
FLAG = "\U0001f3f4"
HIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("tag_characters", re.compile(f"{FLAG}?[\U000e0000-\U000e007f]+")),
    ("bidi_control", re.compile(f"[{BIDI_CONTROLS}]+")),
    ("zero_width", re.compile(f"[{ZERO_WIDTH}]+")),
    # Joiners belong into emoji and into Arabic and Indic words; between Latin letters, kana or kanji they only hide.
    (
        "zero_width",
        re.compile(f"(?<=[A-Za-z0-9\u3040-\u30ff\u4e00-\u9fff])[{JOINERS}]+(?=[A-Za-z0-9\u3040-\u30ff\u4e00-\u9fff])"),
    ),
    # One variation selector after a character is normal; several in a row carry smuggled bytes.
    ("variation_selectors", re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")),
)


def find_injections(text: str) -> Iterator[Span]:
    """Every span that reads like an injection, also when hidden characters or wide letters break its words up."""
    folded, origins = fold(text)
    for rule, pattern in WORDING:
        for match in pattern.finditer(folded):
            yield Span(origins[match.start()], origins[match.end() - 1] + 1, "injection", rule)
    if text.isascii():
        return
    for rule, pattern in HIDDEN:
        for match in pattern.finditer(text):
            if not (match.group().startswith(FLAG) and match.group().endswith("\U000e007f")):
                yield Span(*match.span(), "injection", rule)


def fold(text: str) -> tuple[str, list[int] | range]:
    """The text in lower case, NFKC, without hidden characters, and for each of its characters the original position."""
    if text.isascii():
        return text.lower(), range(len(text))
    characters: list[str] = []
    origins: list[int] = []
    for position, character in enumerate(text):
        if HIDDEN_CHARACTERS.match(character):
            continue
        folded = unicodedata.normalize("NFKC", character).lower() if character > "\x7f" else character.lower()
        characters.append(folded)
        origins.extend([position] * len(folded))
    return "".join(characters), origins


def show_hidden(text: str) -> str:
    """The text with hidden characters written out as `<U+200B>`."""
    return re.sub(
        f"[{BIDI_CONTROLS}{ZERO_WIDTH}{JOINERS}\ufe00-\ufe0f\U000e0000-\U000e01ef]",
        lambda match: f"<U+{ord(match.group()):04X}>",
        text,
    )
