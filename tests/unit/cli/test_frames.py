"""Server-sent events out of bytes, as the HTML standard reads them, however the bytes were cut into chunks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.frames import Frame, FrameDecoder, FrameTooLarge

PIECES = [b"data: a", b"id", b"event", b"retry", b":", b": ", b"\n", b"\r", b"\r\n", b"\n\n", b"7", b"a", "丼".encode()]
ODD_BYTES = [b"\xef\xbb\xbf", b"\0", b"\xff", "\u2028".encode(), b"\xe4\xb8", b" "]


def frames(*chunks: bytes, most_bytes: int = 1000) -> list[Frame]:
    """All frames of these chunks."""
    decoder = FrameDecoder(most_bytes)
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\r\rdata:b\r\n\r\ndata:c\n\n", ["a", "b", "c"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data\ndata: b\ndata\n\n", ["\nb\n"]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", ["a"]),
        (b"Data: a\n data: a\ndata : a\n\n", []),
        (b": comment\n\n:\n\ndata: a\n\n", ["a"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: \xe4\xb8\n\n", ["\ufffd"]),
        (b"data: a\xe2\x80\xa8b\xc2\x85c\x0bd\x0ce\x1cf\n\n", ["a\u2028b\x85c\x0bd\x0ce\x1cf"]),
    ],
)
def test_the_data_of_a_frame(body: bytes, data: list[str]) -> None:
    assert [frame.data for frame in frames(body)] == data


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"id: 7\n\n", Frame("", "", "7", None)),
        (b"id\n\n", Frame("", "", "", None)),
        (b"id: 7\nid: 8\0\n\n", Frame("", "", "7", None)),
        (b"retry: 1500\n\n", Frame("", "", None, 1500)),
        (b"event: a\nevent: b\n\n", Frame("b", "", None, None)),
    ],
)
def test_the_other_fields(body: bytes, expected: Frame) -> None:
    assert frames(body) == [expected]


@pytest.mark.parametrize("value", [b"-5", b"1_000", b"1e3", b"  7", b"\xd9\xa3", b"9" * 10, b"9" * 5000, b""])
def test_a_retry_that_is_no_number_of_milliseconds_is_no_retry(value: bytes) -> None:
    assert frames(b"retry:" + value + b"\n\n", most_bytes=10_000) == []


def test_a_line_end_of_two_characters_may_come_in_two_chunks() -> None:
    assert [frame.data for frame in frames(b"data: a\r", b"\ndata: b\r\n\r", b"\ndata: c\n\n")] == ["a\nb", "c"]


def test_a_blank_line_behind_a_line_end_in_two_chunks_ends_the_frame() -> None:
    assert [frame.data for frame in frames(b"data: a\r", b"\n", b"\n", b"data: b\n\n")] == ["a", "b"]
    assert [frame.data for frame in frames(b"data: a\r", b"", b"\n", b"", b"\n", b"data: b\n\n")] == ["a", "b"]


@given(st.lists(st.sampled_from([b"data: a", b"\r", b"\n", b"\r\n", b"\n\n"]), max_size=12).map(b"".join))
def test_no_cut_through_any_mixture_of_line_ends_makes_a_difference(body: bytes) -> None:
    whole = frames(body)

    assert frames(*(bytes([byte]) for byte in body)) == whole
    for cut in range(len(body)):
        assert frames(body[:cut], body[cut:]) == whole
        assert frames(body[:cut], body[cut : cut + 1], body[cut + 1 :]) == whole


def test_an_id_is_that_of_its_own_frame() -> None:
    assert [frame.id for frame in frames(b"id: 7\ndata: a\n\ndata: b\n\n")] == ["7", None]


@given(st.lists(st.sampled_from(PIECES + ODD_BYTES), max_size=40).map(b"".join), st.data())
def test_how_the_bytes_were_cut_makes_no_difference(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=10)))
    chunks = [body[start:end] for start, end in itertools.pairwise([0, *cuts, len(body)])]

    assert frames(*chunks) == frames(body)
    assert frames(*(bytes([byte]) for byte in body)) == frames(body)


@given(st.integers(1, 400), st.sampled_from([b"data: x\n", b"data: " + b"x" * 50, b":", b"\r", b"id: 7\n"]))
def test_no_more_than_the_limit_is_ever_kept(count: int, piece: bytes) -> None:
    decoder = FrameDecoder(100)
    try:
        for _ in range(count):
            list(decoder.feed(piece))
    except FrameTooLarge:
        assert piece != b"\r"
        assert count * len(piece) > 100
    else:
        assert piece == b"\r" or count * len(piece) <= 100, "blank lines end frames; all else must come to an end"


def test_the_limit_is_that_of_one_frame_and_not_of_the_stream() -> None:
    assert len(frames(*[b"data: " + b"x" * 90 + b"\n\n"] * 50, most_bytes=100)) == 50
