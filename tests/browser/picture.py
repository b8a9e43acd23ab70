"""Takes the picture of the README: `python -m tests.browser.picture docs/images/page.png`.

The gateway is real and so is the job: the first sample menu by the builtin provider.
"""

import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.chromium import running_chromium
from tests.browser.conftest import DESKTOP
from tests.browser.live_page import LivePage
from tests.gateway_process import GatewayProcess

MOST_BYTES = 300_000


def take_picture(out: Path) -> int:
    """Write the picture and return its size in bytes."""
    with GatewayProcess() as gateway, running_chromium() as browser:
        context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
        page = LivePage(context, gateway.url)
        page.open()
        page.choose_sample("menu-text", "Japanese menu, 12 dishes")
        page.submit()
        page.expect_proven()
        page.expect_every_cell(12 * 8, "value", "unknown")
        for image in page.tab.locator("#results img").all()[:6]:
            expect(image).to_have_js_property("complete", True)
        # The window leads from the button to the job's title; a focus ring there would only puzzle a reader.
        page.measure("() => document.activeElement.blur()")
        page.tab.screenshot(path=out)
        page.check_complaints()
    return out.stat().st_size


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tests.browser.picture OUT.png", file=sys.stderr)
        return 2
    out = Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    size = take_picture(out)
    print(f"{out}: {size} bytes")
    return 0 if size <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
