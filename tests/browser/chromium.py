"""The system's Chromium: the tests never download a browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox: containers run as root. The rest keeps the browser from speaking to anybody but the gateway.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserError(Exception):
    """There is no browser to run the tests in."""


def find_chromium() -> str:
    """The path of an installed Chromium. Raises BrowserError when there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserError(f"none of {', '.join(NAMES)} is installed: run the tests with `make test`, which installs one")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A headless browser, closed at the end."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
