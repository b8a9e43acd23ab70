"""Tags: what a prompt is for, its language, and the terms that it speaks of."""

import re
from collections import Counter
from typing import Any

from infra.providers.builtin.prompt.categories import find_category
from infra.providers.builtin.prompt.language import SMALL_WORDS, detect_language, words
from infra.providers.builtin.prompt.placeholders import find_placeholders
from infra.providers.builtin.prompt.safety import find_private_spans
from infra.providers.builtin.prompt.slots import strip_slots
from infra.providers.builtin.prompt.spans import Span, blank_spans

MAX_TAGS = 8
# The title names the subject, the text works it out: a word of the title counts as much as three of the text.
TITLE_WEIGHT = 3
LONGEST_TAG = 40
SURE_CONFIDENCE = 0.7
UNSURE_CONFIDENCE = 0.3

LATIN_TERM = re.compile(r"[^\W\d_]{3,40}(?:-[^\W\d_]{2,20}){0,2}")
JAPANESE_TERM = re.compile("[\u30a1-\u30fa][\u30a1-\u30fc]{1,19}|[\u4e00-\u9fff々]{2,12}")
EAST_ASIAN = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
# Words that prompts are made of, whatever they are about.
PROMPT_WORDS = words(
    "following using used based include including example examples input output format text word words sentence"
    " sentences answer response return task role context constraints say who model than then only also any some more"
    " most not never always into about between like just very could would let new one two three four five first second"
    " step steps there here these those its may might keep avoid ensure provide provided given without within expert"
    " person helpful user yes no value values name names line lines read good well need want tell please make summarize"
    " summarise translate extract classify rewrite explain describe analyze analyse generate sure act instructions"
    " information content question questions don give back"
)
JAPANESE_PROMPT_WORDS = words(
    "以下 以内 以上 程度 下記 上記 必要 場合 出力 入力 形式 文章 文字 内容 条件 制約 役割 指示 回答 作成"
    " 説明 使用 記述 日本語 英語 必須 注意 各項目 項目 簡潔 丁寧 具体的 一文 一覧 専門家 箇条書"
    " リスト モデル プロ ユーザー フォーマット ルール"
)
# Kanji words run together (`文字以内`): those that prompts are made of are cut out of the run, the rest is the term.
FILLER = re.compile(
    "|".join(sorted((w for w in JAPANESE_PROMPT_WORDS if re.fullmatch("[\u4e00-\u9fff]+", w)), key=len))
)


def tag_prompt(title: str, text: str) -> tuple[dict[str, Any], float]:
    """Category, language and up to eight terms, most salient first. Secrets and personal data never become a term."""
    content = _prose(text)
    named = _prose(title)
    category = find_category(f"{named}\n{content}")
    language = detect_language(text)
    tags = find_terms(named, content)
    sure = category is not None and language.tag is not None
    return {
        "category": category,
        "language": language.tag,
        "tags": tags,
    }, SURE_CONFIDENCE if sure else UNSURE_CONFIDENCE


def find_terms(title: str, content: str) -> list[str]:
    """The most frequent terms, those of the title first among equals, then the earlier ones."""
    counts: Counter[str] = Counter()
    for term in terms_of(title):
        counts[term] += TITLE_WEIGHT
    counts.update(terms_of(content))
    return [term for term, _ in counts.most_common(MAX_TAGS)]


def terms_of(text: str) -> list[str]:
    """All words of the text that can name a subject: no small words, no words that prompts are made of."""
    small = frozenset().union(*SMALL_WORDS.values())
    latin = [
        term
        for match in LATIN_TERM.finditer(text)
        if not EAST_ASIAN.search(match.group())
        and (term := match.group().lower()) not in small
        and term not in PROMPT_WORDS
        and len(term) <= LONGEST_TAG
    ]
    japanese = (term for run in JAPANESE_TERM.findall(text) for term in FILLER.sub(" ", run).split())
    return latin + [term for term in japanese if len(term) > 1 and term not in JAPANESE_PROMPT_WORDS]


def _prose(text: str) -> str:
    """The text without slots, placeholders and anything private."""
    written = strip_slots(text)
    private = blank_spans(written, find_private_spans(written))
    return blank_spans(private, [Span(p.start, p.end, "secret", "placeholder") for p in find_placeholders(private)])
