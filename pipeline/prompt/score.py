"""The score type of the prompt stages."""

from typing import Annotated

import msgspec

# 0..1, as every score in the contract.
Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
