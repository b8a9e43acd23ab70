"""The menu's allergens stage: what a dish contains or may contain.

There is no status for "absent" on purpose: no provider can promise that, so no result can say it.
"""

from typing import Literal

import msgspec

from pipeline.stages import Stage


class AllergenResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One allergen: the legal lists that name it, and the ingredients because of which it is given."""

    code: str
    label: str
    status: Literal["contains", "may_contain", "unknown"]
    lists: list[Literal["eu14", "jp8", "jp20"]]
    because: list[str]


class AllergensResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The allergens of a dish. Every allergen that is not in the list is unknown; `note` says so to the reader."""

    allergens: list[AllergenResult]
    note: str


STAGE = Stage(kind="menu", name="allergens", fills=("allergy",), result=AllergensResult)
