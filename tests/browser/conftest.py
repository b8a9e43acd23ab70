"""A browser for the tier, gateways that tests may share, and pages that complain of nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.chromium import running_chromium
from tests.browser.live_page import LivePage
from tests.gateway_process import GatewayProcess

# Milliseconds. Playwright's 5 s are not always enough where two cores run gateway and browser.
PATIENCE_MS = 25_000
DESKTOP = {"width": 1280, "height": 860}

OpenPage = Callable[..., LivePage]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def gateway() -> Iterator[GatewayProcess]:
    """The builtin provider and every other default."""
    with GatewayProcess() as process:
        yield process


@pytest.fixture(scope="session")
def slow_gateway() -> Iterator[GatewayProcess]:
    """150 ms an item: a menu of 40 dishes takes 6 s, long enough to do something in the middle."""
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__LATENCY_MS": "150", "SSE__HEARTBEAT_SECONDS": "0.5"}
    with GatewayProcess(settings=settings) as process:
        yield process


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each in a browser context of its own unless one is given; at the end none has complained."""
    pages: list[LivePage] = []
    with ExitStack() as stack:

        def open_page(
            gateway: GatewayProcess,
            address: str | None = None,
            *,
            context: BrowserContext | None = None,
            **options: object,
        ) -> LivePage:
            if context is None:
                context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
                stack.callback(context.close)
            page = LivePage(context, gateway.url)
            pages.append(page)
            return page.open(address)

        yield open_page
        for page in pages:
            page.check_complaints()
