"""Translation: only what needs none. The builtin provider has no translator of free text and does not pretend to."""

from langcodes import Language as LanguageTag
from langcodes.tag_parser import LanguageTagError

from infra.providers.builtin.prompt.language import detect_language


def translate_prompt(text: str, target: str, source: str | None) -> tuple[str | None, float]:
    """The text itself where it is already in the target language (confidence 1 when that is certain), else None."""
    detected = detect_language(text)
    if source is not None:
        return (text, 1.0) if is_same_language(source, target, detected.tag) else (None, 0.0)
    if detected.tag is not None and is_same_language(detected.tag, target, None):
        return text, detected.confidence
    return None, 0.0


def is_same_language(source: str, target: str, detected: str | None) -> bool:
    """Whether a reader of `target` reads `source`: same language and script; regions (en-GB, en-US) do not matter.

    A bare `zh` does not name its script: the detected one decides, so that simplified text never passes for zh-TW.
    """
    try:
        read, written = LanguageTag.get(target), LanguageTag.get(source)
        if written.language == read.language == "zh" and written.script is None and written.territory is None:
            written = LanguageTag.get(detected) if detected in ("zh-Hans", "zh-Hant") else written
        return written.language == read.language and written.maximize().script == read.maximize().script
    except (LanguageTagError, ValueError):
        return False
