"""What the live page makes of the connections that the module keeps: routine is not shown as trouble."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.client import MENU, Client, wait_for_end
from tests.gateway_process import GatewayProcess

# Each connection lives for 0.8 to 1 s, and the browser is back about 0.2 s later.
SHORT_LIVES = {
    "PROVIDER": "synthetic",
    "SYNTHETIC__LATENCY_MS": "1500",
    "SSE__MAX_AGE_SECONDS": "1",
    "SSE__RETRY_MS": "200",
}
PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
# What the example leaves to its reader.
SURROUNDINGS = """({ eventsUrl, statusUrl, logUrl, token }) => new Promise(async (finish) => {
  const seen = [];
  const apply = (id) => seen.push(id);
  const startAgainFrom = () => seen.push("snapshot");
  const showConnection = (state, complete) => ["complete", "ended"].includes(state) && finish([seen, complete]);
  EXAMPLE
})"""
WATCH_STATES = """() => {
  const panel = document.getElementById("connection");
  window.states = new Set([panel.dataset.state]);
  window.spoken = new Set();
  new MutationObserver(() => window.states.add(panel.dataset.state)).observe(panel, { attributes: true });
  const announcer = document.getElementById("announcer");
  new MutationObserver(() => window.spoken.add(announcer.textContent))
    .observe(announcer, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def renewing_gateway() -> Iterator[GatewayProcess]:
    """Its connections do not grow old."""
    with GatewayProcess(settings=SHORT_LIVES) as process:
        yield process


def test_a_connection_that_is_renewed_stays_live_on_the_page(
    renewing_gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = open_page(renewing_gateway)
    page.write_menu([f"dish {number}" for number in range(8)])
    page.submit()
    page.expect_connection("live")
    page.measure(WATCH_STATES)
    expect(page.tab.locator("#connections")).to_have_text(re.compile(r"^([4-9]|\d\d+)$"))
    states, spoken = page.measure("() => [[...window.states], [...window.spoken]]")

    assert states == ["live"]
    assert not [words for words in spoken if "lost" in words or "Reconnecting" in words]
    expect(page.tab.locator("#notice")).to_be_hidden()
    page.expect_proven()
    page.expect_every_cell(8 * 8, "value", "unknown")


def test_the_example_of_the_protocol_page_follows_a_job(gateway: GatewayProcess, open_page: OpenPage) -> None:
    example = re.search(r"^```js follow\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL)
    assert example is not None
    with Client(gateway.url) as client:
        job = client.submit(MENU)
        wait_for_end(job)
        logged = int(job.snapshot()["head"].partition(".")[2])
    address = {
        "eventsUrl": job.events_url,
        "statusUrl": job.status_url,
        "logUrl": f"{job.session_url}/events.json",
        "token": job.session_token,
    }
    page = open_page(gateway)
    seen, proven = page.tab.evaluate(SURROUNDINGS.replace("EXAMPLE", example[1]), address)

    assert proven is True
    assert seen == [job.id_of(number) for number in range(1, logged + 1)]
