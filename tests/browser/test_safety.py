"""Text from a job is text: it brings no markup, no script and no request into the page."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.gateway_process import GatewayProcess

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(2)</script>"
CELL = '"></td></tr></table><svg onload=alert(3)>&lt;b&gt;'


def test_markup_in_a_menu_is_shown_as_it_was_written(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    requests: list[str] = []
    page.tab.on("request", lambda request: requests.append(request.url))
    items = [{"name": IMAGE, "price": SCRIPT, "category": CELL}, {"name": f"親子丼 {IMAGE}", "category": IMAGE}]
    page.write_items([*items, {"name": CELL, "price": "¥980"}])
    page.submit()

    page.expect_proven()
    expect(page.rows).to_have_count(3)
    expect(page.rows.nth(0).locator(".dish-name")).to_have_text(IMAGE)
    expect(page.rows.nth(0).locator(".dish-input")).to_have_text(f"{SCRIPT} · {CELL}")
    expect(page.rows.nth(2).locator(".dish-name")).to_have_text(CELL)
    expect(page.cell(0, "category")).to_contain_text(CELL)
    page.expect_every_cell(3 * 8, "value", "unknown")
    expect(
        page.tab.locator("#job script, #job b:not(#results-done), #job svg, #job [onerror], #job [onload]")
    ).to_have_count(0)
    expect(page.tab.locator("#job img:not([src^='data:image/svg+xml,'])")).to_have_count(0)
    assert all(url.startswith((gateway.url, "data:image/svg+xml,")) for url in requests)


def test_markup_in_a_prompt_is_shown_as_it_was_written(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose("prompt")
    page.empty_form()
    page.tab.locator("#title").fill(IMAGE)
    page.tab.locator("#content").fill(f"You are {{{{role}}}}. {SCRIPT} {CELL} mail jane@example.com")
    page.tab.locator("#test_cases").fill(
        '[{"name": "<b>case</b>", "variables": {"role": "<i>x</i>"}, '
        '"assertions": [{"type": "contains", "value": "<u>absent</u>"}]}]'
    )
    page.submit()

    page.expect_proven()
    expect(page.tab.locator("#job-title")).to_contain_text(IMAGE)
    expect(page.tab.locator(".prompt-source")).to_contain_text(SCRIPT)
    expect(page.card("improvement")).to_contain_text(CELL)
    expect(page.card("evaluation")).to_contain_text("<b>case</b>")
    expect(page.card("evaluation")).to_contain_text("<u>absent</u>")
    expect(page.tab.locator("#job :is(script, img, i, u, [onerror], [onload])")).to_have_count(0)


def test_a_script_that_got_into_the_page_would_not_run(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.expect_complaint("Content Security Policy")
    ran = page.measure(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const holder = document.createElement("div");
            document.body.append(holder);
            holder.innerHTML = '<img src="data:," onerror="window.ran = true"><p style="color: red">';
            return new Promise((resolve) => setTimeout(() => resolve(window.ran === true), 200));
        }"""
    )

    assert ran is False
    assert any("script-src" in text for text in page.complaints)


def test_the_token_stays_out_of_what_a_server_or_another_site_sees(
    gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(gateway)
    visits: list[str] = []
    page.tab.on("request", lambda request: visits.append(request.url) if request.is_navigation_request() else None)
    page.choose_sample("menu-text", "Spanish tapas, 8 dishes")
    page.submit()
    page.expect_proven()
    token = page.address.partition("token=")[2]
    assert len(token) >= 16
    page.tab.reload()
    page.expect_proven()

    assert "#" in page.address.partition("token=")[0]
    assert visits
    assert not any(token in url.partition("#")[0] for url in visits)
    link = page.cell(0, "image_search").locator("a").first
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert token not in gateway.read_log()
