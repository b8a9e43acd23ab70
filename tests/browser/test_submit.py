"""A person submits a job and watches it fill."""

from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.live_page import LivePage
from tests.gateway_process import GatewayProcess
from tests.servers import wait_until

STAGES = ("translation", "category", "description", "allergens", "ingredients", "image_search", "image", "price")


def test_a_sample_menu_fills_the_grid_and_proves_that_nothing_is_missing(
    gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-text", "Japanese menu, 12 dishes")
    page.submit()

    page.expect_proven()
    page.expect_every_cell(12 * 8, "value", "unknown")
    assert page.number("results-done") == page.number("results-total") == 96
    assert page.numbers() == list(range(1, page.number("received") + 1))
    assert page.outcomes() == ["new"]
    expect(page.rows.first.locator(".dish-name")).to_have_text("親子丼")
    expect(page.cell(0, "translation")).to_contain_text("Chicken and egg rice bowl")
    expect(page.cell(0, "allergens")).to_contain_text("Egg")
    expect(page.cell(0, "ingredients")).to_contain_text("chicken")
    expect(page.cell(0, "price")).to_contain_text("¥980")
    expect(page.cell(0, "image").locator("img")).to_have_js_property("complete", True)
    assert page.cell(0, "image").locator("img").evaluate("image => image.naturalWidth") > 0
    for stage in STAGES:
        expect(page.stage(stage)).to_have_attribute("data-status", "completed")
    expect(page.tab).to_have_title("completed · Menu of 12 dishes · Stagecast")


def test_a_menu_as_json_items_fills_the_grid(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.write_items(
        [{"name": "カツ丼", "price": "¥1,080", "category": "麺類"}, {"name": "Zzyzx Qwrt", "price": "12,50 €"}]
    )
    page.submit()

    page.expect_proven()
    expect(page.rows).to_have_count(2)
    expect(page.cell(0, "translation")).to_contain_text("Pork cutlet rice bowl")
    expect(page.cell(0, "category")).to_contain_text("Noodles")
    expect(page.cell(1, "price")).to_contain_text("€12.50")
    expect(page.cell(1, "translation")).to_have_attribute("data-status", "unknown")
    expect(page.cell(1, "allergens")).not_to_contain_text("free")


def test_items_are_also_lines_with_bars_between(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-items", "Italian menu, 10 items")
    page.submit()

    page.expect_proven()
    expect(page.rows).to_have_count(10)
    expect(page.rows.nth(2).locator(".dish-input")).to_have_text("€ 13,00 · Primi")


def test_a_prompt_fills_eight_cards(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("prompt", "Support reply, with variables and test cases")
    page.submit()

    page.expect_proven()
    page.expect_every_cell(8, "value", "unknown")
    expect(page.tab.locator("#job-title")).to_contain_text("Support reply")
    expect(page.tab.locator(".prompt-source mark").first).to_have_text("{{company}}")
    expect(page.card("variables")).to_contain_text("customer_name")
    expect(page.card("evaluation")).to_contain_text("names the customer")
    expect(page.card("safety")).to_contain_text("does not prove the prompt safe")
    expect(page.card("embedding").locator("svg path")).to_be_attached()


def test_two_prompts_of_one_session_are_compared(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("prompt", "Support reply, with variables and test cases")
    page.submit()
    page.expect_proven()
    page.tab.locator("#new-job").click()
    page.tab.locator("#same_session").check()
    page.submit()

    # The second job's ids go on where the first one's ended.
    page.expect_proven(whole_log=False)
    expect(page.card("embedding")).to_contain_text("Support reply v1")


def test_the_grid_fills_while_stages_run(slow_gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(slow_gateway)
    page.write_menu([f"dish {number}" for number in range(40)])
    page.submit()

    page.wait_for_results(10)
    filled, pending = page.cells("value").count(), page.cells("pending").count()
    assert filled >= 10
    assert pending > 0, "the job was over before the grid was looked at"
    page.expect_status("running")
    page.expect_connection("live")
    assert len({cell.get_attribute("data-stage") for cell in page.cells("value").all()[:filled]}) > 1
    page.expect_proven()
    # A result without content is shown as unknown, never as a blank.
    page.expect_every_cell(40 * 8, "value", "unknown")
    expect(page.tab.locator("#providers")).to_have_text("by synthetic")


def test_errors_stand_at_the_field_that_is_wrong(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.expect_complaint("status of 400")
    field, error = page.tab.locator("#items"), page.tab.locator("[data-error-for=items]")
    page.write_menu([f"dish {number}" for number in range(501)])
    page.tab.locator("#submit").click()
    expect(error).to_contain_text("500")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()

    field.fill("")
    expect(error).to_be_hidden()
    page.tab.locator("#submit").click()
    expect(error).to_be_visible()

    field.fill('[{"name": "soup", "colour": "red"}]')
    page.tab.locator("#submit").click()
    expect(error).to_contain_text("colour")

    field.fill('[{"name": "soup"')
    page.tab.locator("#submit").click()
    expect(error).to_contain_text("not valid JSON")

    field.fill("soup")
    page.tab.locator("#target_language").fill("klingonese")
    page.tab.locator("#submit").click()
    expect(page.tab.locator("[data-error-for=target_language]")).not_to_be_empty()
    expect(page.tab.locator("#target_language")).to_be_focused()
    expect(error).to_be_hidden()
    expect(page.tab.locator("#job")).to_be_hidden()


def test_an_empty_menu_text_and_an_empty_prompt_are_named(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.expect_complaint("status of 400")
    page.empty_form()
    page.tab.locator("#submit").click()
    expect(page.tab.locator("[data-error-for=text]")).not_to_be_empty()

    page.choose("prompt")
    page.empty_form()
    page.tab.locator("#submit").click()
    expect(page.tab.locator("[data-error-for=title]")).not_to_be_empty()
    page.tab.locator("#title").fill("A title")
    page.tab.locator("#submit").click()
    expect(page.tab.locator("[data-error-for=content]")).not_to_be_empty()
    expect(page.tab.locator("[data-error-for=title]")).to_be_hidden()


def take(held: list[Route], page: LivePage) -> Route:
    """The request that is held, as soon as Playwright has handed it over: it does so only while it is waited for."""

    def is_held() -> bool:
        page.tab.wait_for_timeout(1)
        return bool(held)

    wait_until(is_held, 20, "the page asks for the sample")
    return held.pop()


def test_a_sample_that_comes_late_is_what_is_sent_but_never_replaces_what_was_typed(
    gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(gateway)
    held: list[Route] = []
    page.tab.route("**/samples/spanish-menu.json", lambda route: held.append(route))
    page.choose_sample("menu-text", "Spanish tapas, 8 dishes")
    page.tab.locator("#submit").click()
    expect(page.tab.locator("#submit")).to_be_disabled()
    take(held, page).continue_()
    page.expect_proven()
    expect(page.rows).to_have_count(8)

    page.tab.locator("#new-job").click()
    page.choose_sample("menu-text", "Izakaya menu, 20 dishes")
    page.choose_sample("menu-text", "Spanish tapas, 8 dishes")
    page.tab.locator("#text").fill("カツ丼 ¥1,080")
    late = take(held, page)
    with page.tab.expect_response("**/samples/spanish-menu.json"):
        late.continue_()
    page.submit()
    page.expect_proven()
    expect(page.rows).to_have_count(1)


def test_a_job_that_the_token_does_not_open_is_said_not_to_exist(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-text", "Spanish tapas, 8 dishes")
    page.submit()
    page.expect_proven()
    stranger = open_page(gateway, page.address[:-4] + "AAAA")
    stranger.expect_complaint("status of 404")

    expect(stranger.tab.locator("#job-title")).to_have_text("There is no such job")
    stranger.expect_connection("ended")
    expect(stranger.tab.locator("#results")).to_be_empty()
