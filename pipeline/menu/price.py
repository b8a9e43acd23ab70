"""The menu's price stage: what a dish costs, as a number that a program can use."""

from typing import Annotated, Literal

import msgspec

from pipeline.stages import Stage


class PriceResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`amount_minor` in minor units of `currency` (ISO 4217): 980 yen are 980, 12.50 euros are 1250.

    `formatted` is written for the target language. A price at the market's rate (`market`) has neither amount nor
    currency. `tax` is None when the menu does not say.
    """

    amount_minor: Annotated[int, msgspec.Meta(ge=0)] | None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None
    formatted: str
    tax: Literal["included", "excluded"] | None = None
    market: bool = False


STAGE = Stage(kind="menu", name="price", fills=("price",), result=PriceResult)
