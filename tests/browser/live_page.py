"""The live page as a person sees it: what they do, and what has to be on the screen.

Everything is said by the hooks that the head of gateway/static/index.html lists. Waits are Playwright's own, on
locators: a `wait_for_function` with a string would need `eval`, which the page's policy rightly forbids.
"""

import json
import re
from typing import Any, Literal

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Locator, expect

Kind = Literal["menu-text", "menu-items", "prompt"]


class LivePage:
    """One tab on one gateway."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.tab = context.new_page()
        self.url = url
        self.complaints: list[str] = []
        self._expected: list[str] = []
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.tab.on("dialog", self._dismiss)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def expect_complaint(self, part: str) -> None:
        """The browser itself reports refused requests and lost connections; a test that makes some says so."""
        self._expected.append(part)

    def check_complaints(self) -> None:
        """Nothing was complained of but what the test announced, and that has really come."""
        unexpected = [text for text in self.complaints if not any(part in text for part in self._expected)]
        assert unexpected == [], f"the page complained: {unexpected}"
        for part in self._expected:
            assert any(part in text for text in self.complaints), f"{part!r} was announced and never came"

    # What a person does

    def open(self, address: str | None = None) -> "LivePage":
        self.tab.goto(address or self.url)
        return self

    @property
    def address(self) -> str:
        """The job's own address, as one would bookmark it."""
        return self.tab.url

    def choose(self, kind: Kind) -> None:
        self.tab.locator(f"label:has(#kind-{kind})").click()
        expect(self.tab.locator(f"#kind-{kind}")).to_be_checked()

    def choose_sample(self, kind: Kind, label: str) -> None:
        self.choose(kind)
        self.tab.locator("#sample").select_option(label=label)

    def write_menu(self, names: list[str]) -> None:
        self.write_items([{"name": name} for name in names])

    def write_items(self, items: list[dict[str, str]]) -> None:
        self.choose("menu-items")
        self.empty_form()
        self.tab.locator("#items").fill(json.dumps(items, ensure_ascii=False))

    def empty_form(self) -> None:
        self.tab.locator("#sample").select_option(label="An empty form")

    def submit(self) -> None:
        self.tab.locator("#submit").click()
        expect(self.tab.locator("#job")).to_be_visible()

    def drop(self) -> None:
        self.tab.locator("#drop[data-action=drop]").click()
        self.expect_connection("dropped")

    def resume(self) -> None:
        self.tab.locator("#drop[data-action=resume]").click()

    def cancel(self) -> None:
        self.tab.locator("#cancel").click()

    def retry(self, stage: str) -> None:
        self.tab.locator(f".retry[data-stage={stage}]").click()

    # What the screen says

    @property
    def rows(self) -> Locator:
        return self.tab.locator("#results tr[data-item]")

    def cells(self, *statuses: str) -> Locator:
        """The results in one of these states, or all of them."""
        suffixes = [f"[data-status={status}]" for status in statuses] or [""]
        return self.tab.locator(", ".join(f"#results .cell[data-stage]{suffix}" for suffix in suffixes))

    def cell(self, row: int, stage: str) -> Locator:
        return self.rows.nth(row).locator(f".cell[data-stage={stage}]")

    def card(self, stage: str) -> Locator:
        return self.tab.locator(f"#results article[data-stage={stage}]")

    def stage(self, name: str) -> Locator:
        return self.tab.locator(f"#results th[data-stage={name}], #results article[data-stage={name}]")

    def number(self, element_id: str) -> int:
        return int(self.tab.locator(f"#{element_id}").inner_text())

    def wait_for_results(self, least: int) -> None:
        """Some results are here; raises when they do not come."""
        expect(self.cells("value", "unknown").nth(least - 1)).to_be_attached()

    def expect_connection(self, state: str) -> None:
        expect(self.tab.locator("#connection")).to_have_attribute("data-state", state)

    def expect_status(self, status: str) -> None:
        expect(self.tab.locator("#job-status")).to_have_attribute("data-status", status)

    def expect_proven(self, status: str = "completed", *, whole_log: bool = True) -> None:
        """The job has ended, and the last id received is the head, with nothing doubled and nothing missing.

        `whole_log`: every event since the session's first came to this page, in one or several connections.
        """
        self.expect_connection("complete")
        self.expect_status(status)
        expect(self.tab.locator("#proof")).to_have_attribute("data-proven", "true")
        head = self.tab.locator("#head-id").inner_text()
        assert re.fullmatch(r"[a-z0-9]{8}\.\d+", head)
        assert self.tab.locator("#last-id").inner_text() == head
        assert self.number("duplicates") == 0
        assert self.number("gaps") == 0
        if whole_log:
            assert self.number("received") == int(head.rpartition(".")[2])

    def expect_every_cell(self, count: int, *statuses: str) -> None:
        """All `count` cells are in one of these states."""
        expect(self.cells()).to_have_count(count)
        expect(self.cells(*statuses)).to_have_count(count)

    def logged(self) -> list[tuple[str, str]]:
        """(id, type) of every frame in the event log, control frames with an empty id."""
        pairs: list[tuple[str, str]] = self.tab.locator("#log > li").evaluate_all(
            "lines => lines.map(({ dataset }) => [dataset.id, dataset.type])"
        )
        return [(event_id, kind) for event_id, kind in pairs]

    def outcomes(self) -> list[str]:
        """What each stream.open in the log said: new, resumed or reset."""
        lines = self.tab.locator("#log > li[data-type='stream.open'] .log-data").all_inner_texts()
        return [line.split(" ")[1] for line in lines]

    def numbers(self) -> list[int]:
        """The sequence numbers of the durable events in the log, in the order in which they came."""
        return [int(event_id.rpartition(".")[2]) for event_id, _ in self.logged() if event_id]

    def measure(self, script: str) -> Any:
        return self.tab.evaluate(script)
