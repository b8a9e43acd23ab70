"""Whatever is in an event, its frame is one id line, one event line, one data line, and comes back as it went."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.streaming.frames import TERMINAL_TYPES, control_frame, event_frame, retry_frame
from gateway.streaming.position import Position, parse_position
from infra.bus.base import Entry
from infra.database.status import JOB_TERMINAL
from infra.errors import InvalidInput
from pipeline.events import ENDINGS, ItemUpdated, StageFailed
from tests.unit.streaming.wire import dispatch

JOB = "j" * 26
# What breaks lines somewhere: in SSE (CR, LF), in JavaScript (U+2028), in Python's splitlines (all of them).
LINE_BREAKS = "\r\n\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(LINE_BREAKS + ':\\"\0﷐')))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(value=VALUES, seq=st.integers(1, 10**17))
def test_an_event_of_any_content_is_one_data_line_and_comes_back(value: object, seq: int) -> None:
    event = ItemUpdated(JOB, "2026-01-01T00:00:00.000Z", "i" * 26, 0, "translation", {"result": value}, 1)
    frame = event_frame("abcd0123", seq, Entry(JOB, event.type, event.encode()))
    assert frame.count(b"\n") == 4
    assert b"\r" not in frame
    (got,) = dispatch(frame)
    assert (got.name, got.id) == ("item.updated", f"abcd0123.{seq}")
    assert got.data["value"]["result"] == value
    assert got.data["job_id"] == JOB


@given(messages=st.lists(TEXT, min_size=1, max_size=5))
def test_joined_frames_come_apart_again_as_they_were(messages: list[str]) -> None:
    events = [StageFailed(JOB, "t", "image", {"type": "x", "message": text}, 0, 1) for text in messages]
    joined = b"".join(
        event_frame("abcd0123", seq, Entry(JOB, one.type, one.encode())) for seq, one in enumerate(events, 1)
    )
    assert [one.data["error"]["message"] for one in dispatch(joined)] == messages


@given(data=VALUES)
def test_a_control_frame_has_no_id(data: object) -> None:
    for given_as in (data, orjson.dumps(data)):
        (got,) = dispatch(control_frame("stream.snapshot", given_as))
        assert (got.name, got.id, got.data) == ("stream.snapshot", None, data)


def test_a_retry_frame_dispatches_nothing() -> None:
    assert retry_frame(1500) == b"retry: 1500\n\n"
    assert dispatch(retry_frame(1500)) == []


def test_every_ending_of_a_job_ends_its_stream() -> None:
    assert set(TERMINAL_TYPES) == {event.type for event in ENDINGS.values()}
    assert set(TERMINAL_TYPES.values()) == {str(status) for status in JOB_TERMINAL}


@given(epoch=st.from_regex(r"\A[a-z0-9]{8}\Z"), seq=st.integers(0, 10**18 - 1))
def test_a_position_comes_back_from_its_text(epoch: str, seq: int) -> None:
    position = Position(epoch, seq)
    assert parse_position(str(position), "Last-Event-ID") == position


@given(text=st.text() | st.text("abz019.+- _\n\u0661", max_size=30))
def test_a_position_is_parsed_exactly_or_refused_by_name(text: str) -> None:
    try:
        position = parse_position(text, "last_event_id")
    except InvalidInput:
        with pytest.raises(InvalidInput) as refused:
            parse_position(text, "last_event_id")
        assert refused.value.field == "last_event_id"
    else:
        assert str(position) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "abcd0123", "abcd0123.", ".1", "abcd0123.-1", "abcd0123.01", "abcd0123.1 ", " abcd0123.1", "ABCD0123.1"),
        *("abcd012.1", "abcd01234.1", "abcd0123.1\n", "abcd0123.١", "abcd0123.1.2", "abcd0123." + "9" * 19),
    ],
)
def test_a_position_that_only_resembles_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_position(text, "last_event_id")
