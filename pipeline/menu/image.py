"""The menu's image stage: a small picture of each dish."""

from typing import Annotated

import msgspec

from pipeline.stages import Stage

# An image travels inside its event: 500 dishes of this size are 2 MB of log.
MOST_SVG_CHARACTERS = 4096


class ImageResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An SVG document and the text for those who do not see it. A page must show it as an image, never inline it."""

    svg: Annotated[str, msgspec.Meta(max_length=MOST_SVG_CHARACTERS, pattern="^<svg ")]
    alt: str


STAGE = Stage(kind="menu", name="image", fills=("gen_image",), result=ImageResult)
