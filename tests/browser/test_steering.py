"""A person ends a job, or has a failed stage run again."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.test_submit import STAGES
from tests.gateway_process import GatewayProcess


def test_a_job_cancelled_in_the_middle_keeps_what_it_has(slow_gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(slow_gateway)
    page.write_menu([f"dish {number}" for number in range(200)])
    page.submit()
    page.wait_for_results(10)
    page.cancel()

    page.expect_proven("cancelled")
    page.expect_every_cell(200 * 8, "value", "unknown", "cancelled")
    kept, cancelled = page.cells("value", "unknown").count(), page.cells("cancelled").count()
    assert kept >= 10
    assert cancelled > 0
    assert page.number("results-done") == kept
    expect(page.tab.locator("#cancel")).to_be_disabled()
    assert [kind for event_id, kind in page.logged() if event_id][-1] == "job.cancelled"


def test_a_job_cancelled_in_one_tab_is_cancelled_in_the_other(
    slow_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(slow_gateway)
    page.write_menu([f"dish {number}" for number in range(200)])
    page.submit()
    other = open_page(slow_gateway, page.address)
    other.wait_for_results(1)
    page.cancel()

    other.expect_proven("cancelled")
    page.expect_proven("cancelled")


def test_failed_stages_are_retried_until_the_job_completes(open_page: OpenPage) -> None:
    settings = {"PROVIDER": "synthetic", "SYNTHETIC__FAILURE_RATE": "1", "PROCESSING__MAX_ATTEMPTS": "1"}
    with GatewayProcess(settings=settings) as gateway:
        page = open_page(gateway)
        page.write_menu(["one", "two", "three"])
        page.submit()
        page.expect_proven("failed")
        page.expect_every_cell(3 * 8, "failed")
        expect(page.stage("translation")).to_contain_text("failed on purpose")
        expect(page.tab.locator(".retry:visible")).to_have_count(8)
        gateway.settings["SYNTHETIC__FAILURE_RATE"] = "0"
        gateway.restart()

        page.retry("translation")
        page.expect_status("completed_partial")
        expect(page.stage("translation")).to_have_attribute("data-status", "completed")
        expect(page.cell(0, "translation")).to_contain_text("synthetic one")
        for row in range(3):
            expect(page.cell(row, "translation")).to_have_attribute("data-status", "value")
        page.expect_proven("completed_partial")
        for stage in STAGES[1:]:  # while those before still run, or have just ended the job
            page.retry(stage)

        for stage in STAGES:
            expect(page.stage(stage)).to_have_attribute("data-status", "completed")
        page.expect_proven()
        page.expect_every_cell(3 * 8, "value", "unknown")
        expect(page.tab.locator(".retry:visible")).to_have_count(0)
        numbers = page.numbers()
        assert numbers == list(range(1, len(numbers) + 1))
        late = open_page(gateway, page.address)
        late.expect_proven()
        assert late.rows.all_inner_texts() == page.rows.all_inner_texts()
