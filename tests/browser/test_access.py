"""The page without a mouse, without sight of it, on a phone, by day and by night."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.live_page import Kind, LivePage
from tests.gateway_process import GatewayProcess

SAMPLES: dict[Kind, str] = {
    "menu-text": "Japanese menu, 12 dishes",
    "menu-items": "French bistro, 8 items",
    "prompt": "A bare prompt that leaks personal data",
}
# AA of WCAG 2 for text of normal size.
LEAST_CONTRAST = 4.5
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text()


def press_tab_until(page: LivePage, element_id: str) -> None:
    """Walk by Tab; every stop on the way must be visible as such."""
    for _ in range(40):
        page.tab.keyboard.press("Tab")
        focused, outline = page.measure(
            "() => [document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if focused == element_id:
            return
        assert outline != "none" or focused.startswith("kind-"), f"no outline around {focused}"
    raise AssertionError(f"Tab does not lead to #{element_id}")


def test_a_job_is_submitted_and_cancelled_without_a_mouse(slow_gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(slow_gateway)
    expect(page.tab.locator("#text")).not_to_have_value("")
    press_tab_until(page, "skip")
    press_tab_until(page, "kind-menu-text")
    page.tab.keyboard.press("ArrowRight")
    expect(page.tab.locator("#kind-menu-items")).to_be_checked()
    expect(page.tab.locator("#items")).not_to_have_value("")
    press_tab_until(page, "items")
    page.tab.keyboard.press("ControlOrMeta+a")
    page.tab.keyboard.insert_text(json.dumps([{"name": f"dish {number}"} for number in range(100)]))
    page.tab.keyboard.press("Control+Enter")

    expect(page.tab.locator("#job-title")).to_be_focused()
    page.wait_for_results(1)
    press_tab_until(page, "cancel")
    page.tab.keyboard.press("Enter")
    page.expect_proven("cancelled")


def test_a_dropped_connection_is_resumed_without_a_mouse(slow_gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(slow_gateway)
    page.write_menu([f"dish {number}" for number in range(40)])
    page.tab.locator("#submit").press("Enter")
    page.wait_for_results(1)
    press_tab_until(page, "drop")
    page.tab.keyboard.press("Space")
    page.expect_connection("dropped")
    page.tab.keyboard.press("Space")

    page.expect_proven()


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_control_and_picture_has_a_name(gateway: GatewayProcess, open_page: OpenPage, kind: Kind) -> None:
    page = open_page(gateway)
    page.choose_sample(kind, SAMPLES[kind])
    controls = page.tab.locator(":is(button, input, select, textarea, a[href], summary, [tabindex='0'], img):visible")
    for part in ("form", "job"):
        if part == "job":
            page.submit()
            page.expect_proven()
        assert controls.count() > 5
        for control in controls.all():
            if control.get_attribute("alt") != "":  # an empty alt says on purpose that the picture says nothing
                expect(control).to_have_accessible_name(re.compile(r"\w"))
        expect(page.tab.locator("h1:visible")).to_have_count(1)


def test_the_grid_is_a_table_to_a_screen_reader(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-text", SAMPLES["menu-text"])
    page.submit()
    page.expect_proven()

    table = page.tab.get_by_role("table", name=re.compile("a column for each stage"))
    expect(table.locator("caption")).to_be_visible()
    expect(table.get_by_role("columnheader")).to_have_count(9)
    expect(table.get_by_role("rowheader")).to_have_count(12)
    expect(table.get_by_role("cell")).to_have_count(12 * 8)
    expect(table.locator("th:not([scope])")).to_have_count(0)
    expect(table.get_by_role("progressbar", name="Allergens")).to_have_attribute(
        "aria-valuetext", "completed, 12 of 12"
    )
    expect(page.tab.locator("html")).to_have_attribute("lang", "en")
    expect(page.rows.first.locator(".dish-name")).to_have_attribute("lang", "ja")


def test_what_happens_to_the_connection_is_announced_politely(
    slow_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(slow_gateway)
    announcer = page.tab.get_by_role("status").and_(page.tab.locator("[aria-live=polite]"))
    page.write_menu([f"dish {number}" for number in range(100)])
    page.submit()
    page.wait_for_results(1)
    page.drop()
    expect(announcer).to_contain_text("Dropped by you")
    page.resume()
    expect(announcer).to_contain_text("none missing, none doubled")
    page.cancel()  # the rest would take 15 s
    page.expect_proven("cancelled")
    expect(announcer).to_contain_text("Complete: every event up to the head is here")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_to_the_side(gateway: GatewayProcess, open_page: OpenPage, width: int) -> None:
    page = open_page(gateway, viewport={"width": width, "height": 844})
    page.write_items(
        [{"name": "W" * 300, "price": "9" * 90, "category": "M" * 200}, {"name": "親子丼", "price": "¥980"}]
    )
    for kind, sample in ((None, ""), ("prompt", SAMPLES["prompt"])):
        if kind is not None:
            page.tab.locator("#new-job").click()
            page.choose_sample("prompt", sample)
        sizes = [page.measure("() => document.documentElement.scrollWidth")]
        page.submit()
        page.expect_proven()
        sizes.append(page.measure("() => document.documentElement.scrollWidth"))
        assert sizes == [width, width]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_by_day_and_by_night(gateway: GatewayProcess, open_page: OpenPage, scheme: str) -> None:
    page = open_page(gateway, color_scheme=scheme)
    background = page.measure("() => getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in re.findall(r"\d+", background)[:3]) < 3 * 128
    assert dark == (scheme == "dark")
    for kind, sample in SAMPLES.items():
        page.choose_sample(kind, sample)
        texts = page.measure(CONTRASTS)
        page.submit()
        page.expect_proven()
        texts += page.measure(CONTRASTS)
        assert len(texts) > 40
        assert [text for text in texts if text["contrast"] < LEAST_CONTRAST] == []
        page.tab.locator("#new-job").click()
