"""The parts of a good prompt and the cues that show each of them, in English and Japanese.

A cue is a pattern and how much it proves, 0..1. The scores of a part's cues add up to at most 1: a heading or an
unmistakable phrase nearly proves the part alone, a word that also occurs elsewhere does not.
"""

import re
from typing import Literal

Part = Literal["role", "task", "context", "constraints", "output_format", "examples"]
PARTS: tuple[Part, ...] = ("role", "task", "context", "constraints", "output_format", "examples")

STRONG, FAIR, WEAK = 0.8, 0.5, 0.3
Cue = tuple[re.Pattern[str], float]


def english(pattern: str, weight: float) -> Cue:
    """A cue of English words; ASCII word boundaries, because `JSONで` has none in Unicode's sense."""
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE | re.ASCII), weight


def japanese(pattern: str, weight: float) -> Cue:
    """A cue of Japanese phrases, which need no boundaries."""
    return re.compile(pattern, re.MULTILINE), weight


def heading(words: str) -> Cue:
    """A line that is one of the words, marked as a heading (#, **, 【】, ■, <tag>) or ended by a colon."""
    mark = r"(?:#{1,6}[ \t]{0,3}|\*\*|__|[【\[<■●◆▼・][ \t]?|\d{1,2}[.)][ \t])?"
    return re.compile(
        rf"^[ \t]{{0,8}}{mark}(?:{words})[ \t]?(?:\*\*|__|[】\]>])?[ \t]{{0,3}}(?:[:：]|$)",
        re.IGNORECASE | re.MULTILINE,
    ), STRONG


TASK_VERBS = (
    "add|analy[sz]e|answer|brainstorm|build|calculate|categori[sz]e|check|choose|classify|compare|compose|convert|correct"
    "|create|critique|debug|define|describe|design|determine|develop|draft|edit|estimate|evaluate|explain|extract|find"
    "|fix|format|generate|give|help|identify|implement|improve|label|list|make|mark|name|organi[sz]e|outline|paraphrase"
    "|plan|predict|prepare|produce|propose|provide|rank|rate|read|recommend|refactor|rephrase|reply|respond|return|review"
    "|rewrite|select|show|simplify|solve|sort|suggest|summari[sz]e|tell|test|transform|translate|turn|verify|write"
)
FORMS = "json|yaml|csv|tsv|xml|html|markdown|latex|bullet(?:ed)?(?: points?| list)?|numbered list|table|headings?"

CUES: dict[Part, tuple[Cue, ...]] = {
    "role": (
        heading("role|persona|who you are|identity|役割|ロール|あなたの役割|ペルソナ|人物像"),
        english(r"\byou(?:'re| are) (?:an?|the|my|our|now)\b", STRONG),
        english(r"\b(?:act|behave|respond|answer|work|serve) as (?:an?|the|my|if)\b", STRONG),
        english(r"\b(?:take|play|assume|adopt) (?:on )?the (?:role|persona|part) of\b", STRONG),
        english(
            r"\bas an? (?:[a-z]{1,15} ){0,2}(?:expert|professional|specialist|engineer|editor|teacher|translator)\b",
            FAIR,
        ),
        japanese(r"あなたは[^。\n]{1,60}?(?:です|である|だ。|として)", STRONG),
        japanese(r"(?:として|になりきって|になったつもりで)[、,]?(?:振る舞|ふるま|行動|回答|答え|対応|作業)", STRONG),
        japanese(
            r"(?:専門家|プロ|エキスパート|アシスタント|編集者|翻訳者|教師|シェフ|エンジニア)(?:です|として)", FAIR
        ),
    ),
    "task": (
        heading(
            "tasks?|your task|goal|objective|instructions?|request|タスク|課題|目的|依頼|指示|命令|ゴール|やること"
        ),
        english(
            rf"(?:^[ \t]{{0,8}}(?:[-*•]|\d{{1,2}}[.)])?[ \t]{{0,3}}|[.!?:;,][ \t\n]{{1,4}}|\bplease |\bthen )"
            rf"(?:{TASK_VERBS})\b",
            STRONG,
        ),
        english(
            r"\byour (?:task|job|goal|mission) is\b|\bi (?:want|need|would like) you to\b|\b(?:can|could|would) you\b",
            STRONG,
        ),
        english(r"\?[ \t]{0,3}$", WEAK),
        japanese(
            r"(?:て|で|を)(?:ください|下さい|欲しい|ほしい|頂きたい|いただきたい)|お願いします|お願いいたします", STRONG
        ),
        japanese(r"(?:しなさい|せよ|しろ|すること)(?=[。!！\s]|$)", STRONG),
        japanese(
            r"(?:要約|翻訳|分類|抽出|作成|説明|分析|添削|生成|列挙|提案|比較|評価|修正|変換)(?:して|する|し、|せよ|を)",
            FAIR,
        ),
        japanese(r"(?:ですか|ますか|でしょうか|とは)[?？。]?$", WEAK),
    ),
    "context": (
        heading(
            "context|background|situation|input|source|document|text|data|about|audience|article|conversation"
            "|背景|文脈|前提|前提条件|状況|入力|入力文|本文|資料|対象|対象読者|読者|データ|文章|コンテキスト"
        ),
        english(
            r"\b(?:given|using|based on|from|in|read) the (?:following|attached|above|below|provided|text|context)\b",
            FAIR,
        ),
        english(r"\b(?:here (?:is|are)|below (?:is|are)|the following)\b", FAIR),
        english(
            r"\b(?:background|context|audience|readers?|customers?|users?|our (?:company|team|product|shop))\b",
            WEAK,
        ),
        english(r"\b(?:because|so that|since|in order to)\b|\b(?:i am|i'm|we are|we're|i have|we have)\b", WEAK),
        english(r'"""|^```|<[a-z_]{2,20}>', FAIR),
        english(r"\{\{[^{}\n]{1,100}\}\}", WEAK),
        japanese(r"(?:以下|次|下記|上記|添付)の", FAIR),
        japanese(r"背景|文脈|前提|状況|読者|顧客|お客様|利用者|弊社|当社|当店|私は|私たちは", WEAK),
        japanese(r"のため(?:に|の)?|ので|について", WEAK),
    ),
    "constraints": (
        heading(
            "constraints?|rules?|requirements?|guidelines?|limits?|limitations?|restrictions?|tone|style|notes?"
            "|制約|制約条件|条件|ルール|規則|注意|注意点|注意事項|要件|禁止事項|文体|トーン"
        ),
        english(r"\b(?:do not|don't|never|avoid|without|must not|no more than|not more than)\b", FAIR),
        english(
            r"\b(?:must|should|always|only|ensure|make sure|keep|be (?:concise|brief|specific|polite|formal))\b", FAIR
        ),
        english(
            r"\b(?:at (?:most|least)|up to|exactly|within|under|maximum|minimum|fewer than|less than|between)\b"
            r"[^.\n]{0,20}?\d",
            FAIR,
        ),
        english(
            r"\b(?:\d{1,6}|one|two|three|four|five|ten)[ -]"
            r"(?:words?|sentences?|paragraphs?|characters?|lines?|items?|points?|bullets?)\b",
            FAIR,
        ),
        japanese(r"しないで|しないこと|禁止|避け|含めない|使わない|書かない|不要|厳禁", FAIR),
        japanese(r"必ず|のみ|だけ|厳守|守って|注意して|すること", FAIR),
        japanese(
            r"[0-9０-９一二三四五六七八九十百千]{1,6}"
            r"(?:文字|字|文|行|語|個|点|段落|項目|つ)(?:以内|以上|以下|程度|まで)?",
            FAIR,
        ),
        japanese(r"丁寧|敬語|ですます|です・ます|である調|簡潔|わかりやすく|分かりやすく", WEAK),
    ),
    "output_format": (
        heading(
            "output|outputs?|output format|format|response format|answer format|response|schema|deliverable"
            "|出力|出力形式|出力フォーマット|フォーマット|形式|回答形式|書式|アウトプット"
        ),
        english(
            rf"\b(?:as|in|into|with|using|only|valid)(?: an?| the| valid| plain| [a-z]{{1,12}})? (?:{FORMS})\b",
            STRONG,
        ),
        english(
            rf"\b(?:return|reply with|respond with|output|produce|generate)\b[^.\n]{{0,30}}?\b(?:{FORMS})\b", STRONG
        ),
        english(rf"(?<![a-z])(?:{FORMS})(?![a-z])", WEAK),
        english(
            r"\b(?:in|use|follow(?:ing)?) (?:this|the following|the) (?:exact )?(?:format|structure|template|schema)\b",
            STRONG,
        ),
        english(r"\b(?:return|respond|reply|answer|output)\b[^.\n]{0,40}?\b(?:with|as|in|only|using)\b", FAIR),
        english(
            r"\bin (?:\d{1,4}|one|two|three|four|five) "
            r"(?:words?|sentences?|paragraphs?|lines?|(?:bullet )?points?|bullets?)\b",
            FAIR,
        ),
        japanese(
            r"(?:箇条書き|表形式|表に|一覧|リスト|JSON|json|CSV|Markdown|マークダウン|HTML|XML|YAML)"
            r"(?:形式)?(?:で|に|として|の形)",
            STRONG,
        ),
        japanese(r"(?:形式|フォーマット|書式|テンプレート|構成|スキーマ)(?:で|に従|に沿)", STRONG),
        japanese(r"出力(?:して|せよ|する|は|例)|見出し|段落", FAIR),
    ),
    "examples": (
        heading(
            r"(?:an? )?examples?(?: \d{1,2})?|samples?|few[- ]shot|demonstrations?"
            r"|例|例\d{1,2}|入力例|出力例|サンプル|具体例"
        ),
        english(
            r"\b(?:for example|for instance|e\.g\.|here (?:is|are) (?:an?|some|two|three) examples?|like this:)", FAIR
        ),
        english(
            r"^(?:input|q|question|user|text|before)[ \t]{0,2}:[^\n]{0,400}\n{1,2}"
            r"(?:output|a|answer|assistant|label|after)[ \t]{0,2}:",
            STRONG,
        ),
        english(r"\b(?:examples?|sample)\b[^.\n]{0,10}:", FAIR),
        japanese(r"例えば|たとえば|例[:：)）]|(?:入力|出力|回答|記入)例|例\d", FAIR),
        japanese(r"^(?:入力|質問|原文|Q)[:：][^\n]{0,400}\n{1,2}(?:出力|回答|答え|訳文|A)[:：]", STRONG),
    ),
}
