"""The reader of event streams that the load tests trust: what it loses or doubles, they would blame on the gateway."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.sse import SseEvent, SseReader


def read(*chunks: bytes) -> list[SseEvent]:
    reader = SseReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def frame(event: SseEvent) -> bytes:
    data = "".join(f"data: {line}\n" for line in event.data.split("\n"))
    return f"id: {event.id}\nevent: {event.type}\n{data}\n".encode()


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def test_a_frame_becomes_an_event_with_its_type_data_and_id() -> None:
    assert read(b'id: abcd1234.7\nevent: item.updated\ndata: {"a":1}\n\n') == [
        SseEvent("item.updated", '{"a":1}', "abcd1234.7")
    ]


def test_an_event_without_a_type_is_a_message() -> None:
    assert read(b"data: hello\n\n") == [SseEvent("message", "hello", "")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_all_three_line_ends_are_understood(end: bytes) -> None:
    assert read(end.join([b"event: a", b"data: 1", b"", b"event: b", b"data: 2", b"", b""])) == [
        SseEvent("a", "1", ""),
        SseEvent("b", "2", ""),
    ]


def test_a_carriage_return_ends_the_event_at_once_and_its_line_feed_in_the_next_chunk_is_not_a_second_end() -> None:
    reader = SseReader()
    assert reader.feed(b"data: 1\r\n\r") == [SseEvent("message", "1", "")]
    assert reader.feed(b"") == []
    assert reader.feed(b"\nid: 5\r\ndata: 2\r\n\r\n") == [SseEvent("message", "2", "5")]


def test_several_data_fields_are_joined_by_newlines() -> None:
    assert read(b"data: one\ndata:\ndata:  two\n\n") == [SseEvent("message", "one\n\n two", "")]


def test_comments_and_unknown_fields_are_passed_over() -> None:
    assert read(b": still here\nfoo: bar\nnocolon\ndata: 1\n\n") == [SseEvent("message", "1", "")]


@pytest.mark.parametrize("empty", [b"data\n\n", b"data:\n\n", b"event: a\n\n", b"\n\n"])
def test_an_event_without_data_is_not_dispatched_and_leaves_no_type_behind(empty: bytes) -> None:
    assert read(empty + b"data: 1\n\n") == [SseEvent("message", "1", "")]


def test_two_empty_data_fields_are_a_newline() -> None:
    assert read(b"data\ndata\n\n") == [SseEvent("message", "\n", "")]


def test_the_id_stays_until_another_one_comes() -> None:
    assert [event.id for event in read(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")] == ["1", "1", ""]


def test_the_id_of_an_unfinished_event_is_not_what_a_reconnect_sends() -> None:
    reader = SseReader()
    reader.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert reader.last_event_id == "1"


def test_the_id_of_an_event_without_data_is_what_a_reconnect_sends() -> None:
    reader = SseReader("7")
    reader.feed(b"id: 8\n")
    assert reader.last_event_id == "7"
    reader.feed(b"\n")
    assert reader.last_event_id == "8"


def test_an_id_with_a_nul_is_ignored() -> None:
    assert read(b"id: 1\n\nid: 2\0\ndata: a\n\n") == [SseEvent("message", "a", "1")]


@pytest.mark.parametrize(("line", "expected"), [(b"retry: 250", 250), (b"retry: 1.5", None), (b"retry: -1", None)])
def test_only_digits_are_a_retry_delay(line: bytes, expected: int | None) -> None:
    reader = SseReader()
    reader.feed(line + b"\n\n")
    assert reader.retry_ms == expected


def test_one_byte_order_mark_at_the_start_is_dropped_even_when_it_is_cut() -> None:
    assert read(b"\xef", b"\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n") == [SseEvent("message", "1", "")]


def test_bytes_that_are_not_utf_8_do_not_stop_the_stream() -> None:
    assert read(b"data: \xff\n\ndata: 2\n\n") == [SseEvent("message", "�", ""), SseEvent("message", "2", "")]


LINES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
EVENTS = st.lists(
    st.builds(
        SseEvent,
        type=st.sampled_from(["item.updated", "job.completed", "stream.head"]),
        data=st.lists(LINES, min_size=1, max_size=3).map("\n".join).filter(bool),
        id=st.from_regex(r"[a-z0-9]{8}\.[1-9][0-9]{0,3}", fullmatch=True),
    ),
    max_size=8,
)
PLACES = st.lists(st.integers(0, 10_000), max_size=20)


@given(EVENTS, PLACES, st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_wherever_the_bytes_are_cut_every_event_comes_once_and_in_order(
    events: list[SseEvent], places: list[int], end: bytes
) -> None:
    stream = b"".join(frame(event) for event in events).replace(b"\n", end)
    assert read(*cut(stream, places)) == events


@given(EVENTS, st.integers(0, 10_000))
def test_a_reconnect_after_a_cut_anywhere_goes_on_where_the_last_whole_event_was(
    events: list[SseEvent], place: int
) -> None:
    stream = b"".join(frame(event) for event in events)
    first = SseReader()
    received = first.feed(stream[: place % (len(stream) + 1)])
    rest = events[len(received) :]
    assert first.last_event_id == (received[-1].id if received else "")
    assert received + read(b"".join(frame(event) for event in rest)) == events
