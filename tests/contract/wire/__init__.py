"""The wire contract as a black-box suite: it imports nothing but the standard library, pytest and httpx."""

import pytest

# A rule that is broken is shown with its values, as if it stood in the test itself.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("fold", "log_rules", "problems", "sse")))
