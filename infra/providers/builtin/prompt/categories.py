"""What a prompt is for, by its keywords in English and Japanese."""

import re

# The category with the most occurrences wins; at a tie the one that comes first, so the narrow ones stand first.
KEYWORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "summarisation",
        (
            r"\bsummar(?:y|ies|i[sz]\w{0,6})\b|\btl;?dr\b|\bkey points\b|\bcondense\b",
            r"要約|要点|まとめて|概要|サマリー|短くまとめ",
        ),
    ),
    (
        "translation",
        (r"\btranslat\w{1,4}\b|\blocali[sz]\w{1,6}\b", r"翻訳|英訳|和訳|訳して|訳文|通訳"),
    ),
    (
        "coding",
        (
            r"\bcod(?:e|ing)\b|\bfunctions?\b|\bprogram(?:s|mer|ming)?\b|\bpython\b|\b(?:java|type)script\b|\bsql\b",
            r"\brefactor\w{0,3}\b|\bdebug\w{0,4}\b|\bunit tests?\b|\bapi\b|\bsoftware\b",
            r"コード|プログラ|関数|実装|デバッグ|リファクタ|エンジニア",
        ),
    ),
    (
        "extraction",
        (r"\bextract\w{0,4}\b|\bparse\b|\bpull out\b|\bnamed entit\w{1,4}\b", r"抽出|取り出|抜き出|読み取"),
    ),
    (
        "classification",
        (
            r"\bclassif\w{1,9}\b|\bcategori[sz]\w{1,6}\b|\blabel\w{0,4}\b|\bsentiment\b|\btriage\b",
            r"分類|カテゴリ|判定|仕分け|感情分析|ラベル",
        ),
    ),
    (
        "rewriting",
        (
            r"\brewrit\w{1,5}\b|\brephras\w{1,4}\b|\bparaphras\w{1,4}\b|\bproofread\w{0,4}\b|\bedit(?:ing|or)?\b",
            r"\bgrammar\b|\bpolish\b",
            r"添削|校正|書き直|言い換え|推敲|リライト",
        ),
    ),
    (
        "writing",
        (
            r"\bwrit(?:e|es|ing|er)\b|\bdraft\w{0,3}\b|\bcompose\b|\bessay\b|\bstor(?:y|ies)\b|\bpoem\b|\barticle\b",
            r"\bemail\b|\bblog\b|\bcopywrit\w{1,4}\b|\bslogan\b",
            r"執筆|作文|小説|物語|記事|メール文|ブログ|詩を|キャッチコピー|文章を(?:書|作)|文面",
        ),
    ),
    (
        "analysis",
        (
            r"\banaly[sz]\w{1,4}\b|\banalysis\b|\bevaluat\w{1,4}\b|\bcompar\w{1,5}\b|\bcritique\b|\breview\b",
            r"\bassess\w{0,5}\b|\btrends?\b",
            r"分析|評価|比較|検討|考察|レビュー",
        ),
    ),
    (
        "brainstorming",
        (
            r"\bbrainstorm\w{0,4}\b|\bideas?\b|\bsuggest\w{0,5}\b|\bnames? for\b",
            r"アイデア|アイディア|ブレスト|ブレインストーミング|案を|提案",
        ),
    ),
    (
        "planning",
        (
            r"\bplan(?:s|ning)?\b|\bschedule\b|\broadmap\b|\bitinerary\b",
            r"計画|スケジュール|旅程|ロードマップ|献立",
        ),
    ),
    (
        "question_answering",
        (
            r"\banswer (?:the |this |my |a |any )?(?:\w{1,12} )?questions?\b|\bq&a\b|\bfaq\b",
            r"\bexplain\b|\bwhat is\b|\bhow (?:do|does|to)\b",
            r"質問に(?:答|回答)|とは何|説明して|教えて|解説",
        ),
    ),
    (
        "chat",
        (
            r"\bchat(?:bot|ting)?\b|\bconversation\w{0,3}\b|\bassistant\b|\brole-?play\b",
            r"\bcustomer (?:support|service)\b",
            r"会話|チャット|対話|雑談|アシスタント|接客",
        ),
    ),
)
CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile("|".join(patterns), re.IGNORECASE | re.ASCII)) for name, patterns in KEYWORDS
)


def find_category(text: str) -> str | None:
    """The category whose keywords occur most often; None where none occurs."""
    counts = {name: len(pattern.findall(text)) for name, pattern in CATEGORIES}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None
