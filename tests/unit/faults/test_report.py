"""The report and its picture, from a run made by hand: damage is said in so many words, and nothing of this machine."""

import tempfile
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from loadtests.report import Machine
from tests.faults.harness.checker import ViewerVerdict
from tests.faults.harness.history import Order
from tests.faults.harness.outcome import Outcome, Sample, Strip, Stroke
from tests.faults.harness.report import Run, to_markdown
from tests.faults.harness.timeline import FAULT, SILENCE, draw_timelines

MACHINE = Machine("A processor", 2, "3.11", "Linux", 0.5)
WHOLE = ViewerVerdict(
    viewer="session 1",
    committed=40,
    delivered=40,
    lost=0,
    doubled=0,
    reordered=0,
    altered=0,
    phantom=0,
    repeated=0,
    gaps=0,
    resets=0,
    connections=3,
    complete=True,
    silence_seconds=1.5,
    examples=(),
)


def outcome(**changed: Any) -> Outcome:
    made = Outcome(
        stack="SQLite <alone>",
        began=100.0,
        ended=160.0,
        committed=40,
        jobs=2,
        statuses={"completed": 2},
        strokes=[Stroke("Redis kill -9", "redis", 110.0, 115.0, 1.25, "process 7 ended | gone")],
        verdicts=[WHOLE],
        orders=[Order("o", 101.0, 0.5, ("503", "202"), "j", "s")],
        findings=[],
        complaints={},
        samples=[Sample(101.0, 0), Sample(102.0, None), Sample(103.0, 40)],
        deliveries=[101.5, 102.5],
        strips=[Strip("session 1", 100.0, 160.0, ((110.0, 116.0),))],
    )
    return replace(made, **changed)


def page(*outcomes: Outcome) -> str:
    return to_markdown(Run("2026-11-21", "make faults SEED=7", 7, MACHINE, outcomes))


def test_a_run_that_held_says_so_with_its_figures() -> None:
    outcome().check()
    text = page(outcome(), outcome(stack="other"))
    assert "**Nothing was lost, doubled, reordered or altered" in text
    assert "| **lost** | **0** | **0** |" in text
    assert "| Redis kill -9 | 1 | 5.0 s | 1.25 s | 1.25 s | process 7 ended   gone |" in text
    assert "make faults SEED=7" in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdicts": [replace(WHOLE, lost=3, examples=("lost: a.1, a.2, a.3",))]}, "lost: a.1"),
        ({"verdicts": [replace(WHOLE, doubled=1, examples=("doubled: a.1 x2",))]}, "doubled: a.1"),
        ({"verdicts": [replace(WHOLE, complete=False)]}, "does not know that it is complete"),
        ({"verdicts": [replace(WHOLE, resets=1)]}, "1 resets"),
        ({"verdicts": []}, "nobody watched"),
        ({"committed": 0}, "nothing was committed"),
        ({"findings": ["job j never ended: it is running"]}, "never ended"),
        ({"strokes": [Stroke("x", "y", 1.0, 2.0, None, "seen")]}, "not everybody was live"),
        ({"strokes": [Stroke("x", "y", 1.0, 2.0, 0.1, "", "nothing shows that it happened")]}, "nothing shows"),
    ],
)
def test_everything_that_is_not_as_promised_fails_the_run_and_is_in_the_report(
    changed: dict[str, Any], said: str
) -> None:
    broken = outcome(**changed)
    with pytest.raises(AssertionError, match=said):
        broken.check()
    assert said in page(broken)
    assert "did not hold" in page(broken)


def test_a_path_of_this_machine_never_gets_into_the_report() -> None:
    stroke = Stroke("x", "y", 110.0, 112.0, 0.1, f"wrote {tempfile.gettempdir()}/full")
    with pytest.raises(ValueError, match="path of this machine"):
        page(outcome(strokes=[stroke]))


def test_the_picture_has_the_fault_and_the_silence_where_they_were() -> None:
    root = ElementTree.fromstring(draw_timelines([outcome(), outcome()]))
    boxes = [element for element in root.iter() if element.tag.endswith("rect")]
    assert boxes[0].get("width") == root.get("width"), "no opaque background"
    fault, silence = ([box for box in boxes if box.get("fill") == colour] for colour in (FAULT, SILENCE))
    # Two panels and the legend.
    assert len(fault) == len(silence) == 3
    assert float(fault[0].get("x", 0)) == float(silence[0].get("x", 0))
    assert float(silence[0].get("width", 0)) == pytest.approx(1.2 * float(fault[0].get("width", 0)), abs=0.2)
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert "SQLite <alone>" in words
    assert "Redis kill -9" in words
