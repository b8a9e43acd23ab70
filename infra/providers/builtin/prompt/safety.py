"""Safety: what in a prompt should not be sent to a model, or tries to take it over."""

from typing import Any

from infra.providers.builtin.prompt.credentials import find_secrets
from infra.providers.builtin.prompt.injection import find_injections, show_hidden
from infra.providers.builtin.prompt.personal_data import find_personal_data
from infra.providers.builtin.prompt.spans import Span, blank_spans, drop_overlaps, mask

# A match of a checked pattern is rarely wrong; finding nothing proves little, since rules know only what they name.
FOUND_CONFIDENCE = 0.9
NOTHING_FOUND_CONFIDENCE = 0.4
# Keeps the event small; whoever has more has a leaked table, and the first ones say so.
MAX_FINDINGS = 500
LONGEST_EXCERPT = 120


def find_private_spans(text: str) -> list[Span]:
    """Secrets and personal data, without overlaps; where both match, the secret stays."""
    secrets = drop_overlaps(find_secrets(text))
    return drop_overlaps([*secrets, *find_personal_data(blank_spans(text, secrets))])


def check_safety(text: str) -> tuple[dict[str, Any], float]:
    """The findings by position with masked excerpts, and the confidence in them (no finding: well below 1)."""
    private = find_private_spans(text)
    injections = drop_overlaps(find_injections(text))
    # An injected order may enclose a key: its excerpt is cut from a text where private spans are masked already.
    masked = mask_private(text, private)
    findings = [
        {
            "kind": span.kind,
            "rule": span.rule,
            "start": span.start,
            "end": span.end,
            "excerpt": _excerpt(text if span.kind != "injection" else masked, span),
        }
        for span in sorted([*private, *injections])[:MAX_FINDINGS]
    ]
    return {"findings": findings}, FOUND_CONFIDENCE if findings else NOTHING_FOUND_CONFIDENCE


def mask_private(text: str, spans: list[Span]) -> str:
    """The text with a dot for each character of the spans; positions stay."""
    parts: list[str] = []
    reached = 0
    for span in spans:
        parts.append(text[reached : span.start])
        parts.append("•" * (span.end - span.start))
        reached = span.end
    return "".join(parts) + text[reached:]


def _excerpt(text: str, span: Span) -> str:
    quoted = text[span.start : span.end]
    if span.kind != "injection":
        return mask(quoted)
    shown = show_hidden(quoted[:LONGEST_EXCERPT])
    return shown[:LONGEST_EXCERPT] + ("…" if len(shown) > LONGEST_EXCERPT or len(quoted) > LONGEST_EXCERPT else "")
