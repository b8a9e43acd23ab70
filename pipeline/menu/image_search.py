"""The menu's image search stage: ready links to image catalogues."""

from typing import Annotated

import msgspec

from pipeline.stages import Stage


class ImageLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link that opens a catalogue's image search; only https, because a page makes an anchor of it."""

    label: str
    url: Annotated[str, msgspec.Meta(pattern="^https://")]


STAGE = Stage(
    kind="menu",
    name="image_search",
    fills=("search_engine",),
    result=list[ImageLink],
)
