"""Which server is tested: named on the command line or in the environment, else one that the repository starts.

pytest sees the options of a nested conftest only when its folder is named on the command line. So they are registered
by whichever conftest comes first, and each has an environment variable as a second way.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

import pytest

OPTIONS = {
    "--base-url": "the origin of the server under test, http://host:port",
    "--failing-base-url": "the origin of one whose provider fails now and then (for the tests of retries)",
    "--heartbeat-seconds": "how often the server under test sends stream.head on a quiet stream",
}
# The name of a server that was named, among those that a test runs against.
GIVEN = "given"
# A test waits for a few heartbeats: with longer ones it is left out.
LONGEST_HEARTBEAT_SECONDS = 5.0


def variable_of(option: str) -> str:
    """The environment variable that says the same: WIRE_BASE_URL for --base-url."""
    return "WIRE_" + option.removeprefix("--").replace("-", "_").upper()


def add_options(parser: pytest.Parser) -> None:
    """Register the options, unless another conftest has done so already."""
    group = parser.getgroup("wire", "the wire contract (tests/contract/wire)")
    for option, meaning in OPTIONS.items():
        with suppress(ValueError):
            group.addoption(option, default=None, help=f"{meaning}; also {variable_of(option)}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen, each part None when it was not."""

    base_url: str | None
    failing_base_url: str | None
    heartbeat_seconds: float | None


def read_options(config: pytest.Config) -> Chosen:
    """The command line's word, else the environment's."""
    base, failing, heartbeat = (
        config.getoption(option, default=None) or os.environ.get(variable_of(option)) for option in OPTIONS
    )
    return Chosen(base, failing, float(heartbeat) if heartbeat else None)
