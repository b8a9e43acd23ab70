"""Connections break, gateways die, logs are trimmed: whoever comes back has everything, once."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.browser.conftest import DESKTOP, OpenPage
from tests.browser.live_page import LivePage
from tests.gateway_process import GatewayProcess
from tests.servers import wait_until

DISHES = 40
CELLS = DISHES * 8
# The page's log keeps the last 300 frames. A job has some 350, so a test that looks there for what came after a restart
# lets so many results come before it.
MANY = 120
# The menu takes 4.8 s; a browser comes back after 0.3 s and a dead process's stages after 1 s.
QUICK_TO_RETURN = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "120",
    "SSE__RETRY_MS": "300",
    "PROCESSING__LEASE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def mortal_gateway() -> Iterator[GatewayProcess]:
    """For tests that end it and start it again."""
    with GatewayProcess(settings=QUICK_TO_RETURN) as process:
        yield process


def start_job(page: LivePage, results: int = 20) -> None:
    """Submit, and return while the job runs and some of its results are on the screen."""
    page.write_menu([f"dish {number}" for number in range(DISHES)])
    page.submit()
    page.wait_for_results(results)
    page.expect_status("running")


def query(gateway: GatewayProcess, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(gateway.directory / "stagecast.db", timeout=10)) as database, database:
        return database.execute(statement).fetchall()


def test_a_dropped_connection_resumes_with_nothing_missing_and_nothing_doubled(
    slow_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(slow_gateway)
    start_job(page)
    page.drop()
    held = page.tab.locator("#last-id").inner_text()
    shown = page.cells("value", "unknown").count()
    time.sleep(0.3)  # the job goes on without the page
    assert page.tab.locator("#last-id").inner_text() == held
    assert page.cells("value", "unknown").count() == shown < CELLS
    page.resume()

    expect(page.tab.locator("#resume-report")).to_contain_text(f"Resumed after {held}")
    expect(page.tab.locator("#resume-report")).to_contain_text("none missing, none doubled")
    page.expect_proven()
    page.expect_every_cell(CELLS, "value", "unknown")
    assert page.number("connections") == 2
    numbers = page.numbers()  # the page keeps the newest lines only: how the stream was opened may be gone from there
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_a_job_that_ended_while_the_connection_was_away_is_caught_up(
    slow_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page, witness = open_page(slow_gateway), open_page(slow_gateway)
    start_job(page)
    page.drop()
    witness.open(page.address)
    witness.expect_proven()
    page.resume()

    page.expect_proven()
    page.expect_every_cell(CELLS, "value", "unknown")
    assert page.number("received") == witness.number("received")


def test_a_reload_in_the_middle_comes_back_to_the_same_job(slow_gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(slow_gateway)
    start_job(page)
    address = page.address
    page.tab.reload()

    expect(page.tab.locator("#job")).to_be_visible()
    page.expect_proven()
    assert page.address == address
    page.expect_every_cell(CELLS, "value", "unknown")


def test_the_back_button_leaves_the_job_and_forward_returns(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-text", "Spanish tapas, 8 dishes")
    page.submit()
    page.expect_proven()
    page.tab.go_back()
    expect(page.tab.locator("#compose")).to_be_visible()
    expect(page.tab.locator("#job")).to_be_hidden()
    page.tab.go_forward()

    page.expect_proven()
    page.expect_every_cell(8 * 8, "value", "unknown")


def test_a_finished_job_opened_late_is_replayed(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = open_page(gateway)
    page.choose_sample("menu-text", "Izakaya menu, 20 dishes")
    page.submit()
    page.expect_proven()
    late = open_page(gateway, page.address)

    late.expect_proven()
    late.expect_every_cell(20 * 8, "value", "unknown")
    assert late.outcomes() == ["new"]
    assert late.numbers() == page.numbers()
    assert late.rows.all_inner_texts() == page.rows.all_inner_texts()


def test_two_tabs_show_the_same_job(slow_gateway: GatewayProcess, open_page: OpenPage, browser: Browser) -> None:
    with browser.new_context(viewport=DESKTOP) as context:
        one = open_page(slow_gateway, context=context)
        start_job(one)
        other = open_page(slow_gateway, one.address, context=context)

        one.expect_proven()
        other.expect_proven()
        assert other.number("received") == one.number("received")
        other.expect_every_cell(CELLS, "value", "unknown")


def test_a_killed_gateway_comes_back_and_the_browser_reconnects_by_itself(
    mortal_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(mortal_gateway)
    page.expect_complaint("net::ERR_")
    streams: list[Request] = []
    page.tab.on("request", lambda request: streams.append(request) if "/events?" in request.url else None)
    start_job(page, MANY)
    mortal_gateway.kill()
    page.expect_connection("reconnecting")
    mortal_gateway.start()

    page.expect_proven()
    page.expect_every_cell(CELLS, "value", "unknown")
    assert page.number("connections") >= 2
    assert set(page.outcomes()) <= {"new", "resumed"}
    assert "stage.recovering" in {kind for _, kind in page.logged()}
    # Whenever the page itself opens a stream anew, it says where it stands in the address.
    assert len(streams) >= 2
    assert {request.url for request in streams} == {streams[0].url}


def test_a_gateway_that_stops_cleanly_says_so_and_is_waited_for(
    mortal_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(mortal_gateway)
    page.expect_complaint("net::ERR_")
    start_job(page)
    mortal_gateway.terminate()
    expect(page.tab.locator("#notice")).to_contain_text("The server is restarting")
    mortal_gateway.start()

    page.expect_proven()
    expect(page.tab.locator("#notice")).to_be_hidden()
    page.expect_every_cell(CELLS, "value", "unknown")


def test_a_log_restored_from_a_backup_resets_the_page_to_the_right_state(
    mortal_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(mortal_gateway)
    page.expect_complaint("net::ERR_")
    start_job(page, MANY)
    mortal_gateway.kill()
    query(mortal_gateway, "UPDATE session SET epoch = 'restored'")
    mortal_gateway.start()

    page.expect_proven(whole_log=False)
    assert page.tab.locator("#last-id").inner_text().startswith("restored.")
    assert "reset" in page.outcomes()
    page.expect_every_cell(CELLS, "value", "unknown")
    assert page.number("results-done") == CELLS
    late = open_page(mortal_gateway, page.address)
    late.expect_proven()
    assert page.rows.all_inner_texts() == late.rows.all_inner_texts()


# The last one here: the gateway goes on with the short retention.
@pytest.mark.timeout(90)
def test_a_page_that_comes_back_after_the_log_was_trimmed_has_the_right_state(
    mortal_gateway: GatewayProcess, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, witness = open_page(mortal_gateway), open_page(mortal_gateway)
    start_job(page)
    page.drop()
    witness.open(page.address)
    witness.expect_proven()
    time.sleep(1.1)
    monkeypatch.setitem(mortal_gateway.settings, "LOG__RETENTION_SECONDS", "1")
    mortal_gateway.restart()
    wait_until(lambda: query(mortal_gateway, "SELECT count(*) FROM event") == [(0,)], 20, "the log is trimmed")
    page.resume()
    late = open_page(mortal_gateway, page.address)

    for back in (page, late):
        back.expect_proven(whole_log=False)
        back.expect_every_cell(CELLS, "value", "unknown")
        assert back.rows.all_inner_texts() == witness.rows.all_inner_texts()
    assert page.outcomes()[-1] == "reset"
    assert late.outcomes() == ["new"]
