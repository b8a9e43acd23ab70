"""Stage `safety`: secrets, personal data and injection patterns."""

from typing import Annotated, Literal

import msgspec

from pipeline.stages import Stage

# Offsets count code points of the content, not bytes or UTF-16 units.
Offset = Annotated[int, msgspec.Meta(ge=0)]


class SafetyFinding(msgspec.Struct, frozen=True):
    """One suspicious span `[start, end)`; the excerpt is masked and never holds the secret itself."""

    kind: Literal["secret", "personal_data", "injection"]
    rule: str
    start: Offset
    end: Offset
    excerpt: str


class SafetyResult(msgspec.Struct, frozen=True):
    """What was found, by position. An empty list means that no rule matched, not that the prompt is safe."""

    findings: list[SafetyFinding]


STAGE = Stage(kind="prompt", name="safety", fills=("safety",), result=SafetyResult)
