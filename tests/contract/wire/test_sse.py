"""The reader of this suite refuses whatever the grammar of the contract does not have."""

import httpx
import pytest

from .sse import Frame, StreamReader, parse_frame

EVENT = b'id: k3v9x0ab.17\nevent: job.started\ndata: {"run":1}'
GOOD = {
    "a durable event": (EVENT, Frame("job.started", {"run": 1}, "k3v9x0ab.17", None)),
    "a control frame": (b"event: stream.head\ndata: {}", Frame("stream.head", {}, None, None)),
    "a bare retry": (b"retry: 2000", Frame(None, None, None, 2000)),
    "a retry within a control frame": (
        b'retry: 9\nevent: stream.busy\ndata: {"retry_ms":9}',
        Frame("stream.busy", {"retry_ms": 9}, None, 9),
    ),
}
BAD = {
    "a comment": b": ping",
    "a comment inside a frame": b": ping\n" + EVENT,
    "a field that is not one": b"note: x\n" + EVENT,
    "no space after the colon": EVENT.replace(b"data: ", b"data:"),
    "a line without a colon": b"data\n" + EVENT,
    "two data lines": EVENT + b"\ndata: {}",
    "two ids": b"id: k3v9x0ab.16\n" + EVENT,
    "CRLF": EVENT.replace(b"\n", b"\r\n"),
    "a carriage return": EVENT.replace(b"{", b"\r{"),
    "a byte order mark": b"\xef\xbb\xbf" + EVENT,
    "a NUL": EVENT.replace(b"1}", b"\0}"),
    "bytes that are not UTF-8": EVENT.replace(b"1}", b'"\xff"}'),
    "data that is not JSON": EVENT.replace(b"1}", b"1"),
    "NaN": EVENT.replace(b"1}", b"NaN}"),
    "data that is no object": EVENT.replace(b'{"run":1}', b"[1]"),
    "no data": b"id: k3v9x0ab.17\nevent: job.started",
    "no name": b"id: k3v9x0ab.17\ndata: {}",
    "an unknown name": EVENT.replace(b"job.started", b"job.paused"),
    "a durable event without an id": EVENT.partition(b"\n")[2],
    "a control frame with an id": b"id: k3v9x0ab.17\nevent: stream.head\ndata: {}",
    "an id without an epoch": EVENT.replace(b"k3v9x0ab.", b""),
    "an id in capitals": EVENT.replace(b"k3v9x0ab", b"K3V9X0AB"),
    "an id of nine characters": EVENT.replace(b"k3v9x0ab", b"k3v9x0abc"),
    "the number zero": EVENT.replace(b".17", b".0"),
    "a number with a leading zero": EVENT.replace(b".17", b".017"),
    "a delay with a unit": b"retry: 2s",
    "an empty frame": b"",
}


@pytest.mark.parametrize("what", GOOD)
def test_a_frame_of_the_contract_is_read(what: str) -> None:
    block, frame = GOOD[what]
    assert parse_frame(block) == frame


@pytest.mark.parametrize("what", BAD)
def test_a_frame_that_the_contract_does_not_have_is_refused(what: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        parse_frame(BAD[what])


def test_frames_are_found_wherever_the_bytes_are_cut() -> None:
    body = b"\n\n".join(block for block, _ in GOOD.values()) + b"\n\n"
    for size in range(1, len(body) + 1):
        chunks = iter([body[n : n + size] for n in range(0, len(body), size)])
        assert StreamReader(httpx.Response(200, content=chunks)).read_all() == [frame for _, frame in GOOD.values()]


def test_a_cut_inside_a_frame_is_not_taken_for_an_end() -> None:
    with pytest.raises(AssertionError, match="cut inside a frame"):
        StreamReader(httpx.Response(200, content=iter([EVENT + b"\n\n" + EVENT]))).read_all()
