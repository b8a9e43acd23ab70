"""Bodies of event streams, to find out how they are read: those that the HTML standard settles, and random ones."""

import itertools
import random

LONG_ID = "k3v9x0ab." + "9" * 18

# What comes, in which parts, and what the page sees of it: (type, data, lastEventId).
BODIES: dict[str, tuple[list[bytes], list[tuple[str, str, str]]]] = {
    "an event": ([b"data: x\n\n"], [("message", "x", "")]),
    "a name": ([b"event: a\ndata: x\n\n"], [("a", "x", "")]),
    "a name that is empty": ([b"event: \ndata: x\n\n"], [("message", "x", "")]),
    "the last of two names": ([b"event: a\nevent: b\ndata: x\n\n"], [("b", "x", "")]),
    "a name that is forgotten after its event": (
        [b"event: a\ndata: x\n\ndata: y\n\n"],
        [("a", "x", ""), ("message", "y", "")],
    ),
    "a name without data": ([b"event: a\n\n"], []),
    "several lines of data": ([b"data: x\ndata: y\ndata\ndata: z\n\n"], [("message", "x\ny\n\nz", "")]),
    "data that is empty": ([b"data\n\ndata:\n\ndata: \n\n"], [("message", "", "")] * 3),
    "two lines of empty data": ([b"data\ndata\n\n"], [("message", "\n", "")]),
    "no space after the colon": ([b"data:x\n\n"], [("message", "x", "")]),
    "one space too many": ([b"data:  x \n\n"], [("message", " x ", "")]),
    "a tab after the colon": ([b"data:\tx\n\n"], [("message", "\tx", "")]),
    "colons in the data": ([b"data::x: y\n\n"], [("message", ":x: y", "")]),
    "a space before the colon": ([b"data : x\n\n"], []),
    "a name in capitals": ([b"DATA: x\n\n"], []),
    "unknown fields": ([b"note: n\ndata: x\nlatad: y\n\n"], [("message", "x", "")]),
    "comments": ([b": c\n\n:\ndata: x\n: c\n\n"], [("message", "x", "")]),
    "lines that end with CR": ([b"data: x\rdata: y\r\r"], [("message", "x\ny", "")]),
    "lines that end with CRLF": ([b"data: x\r\ndata: y\r\n\r\n"], [("message", "x\ny", "")]),
    "all three line ends": ([b"data: x\rdata: y\r\ndata: z\n\r"], [("message", "x\ny\nz", "")]),
    "LF and CR, which are two": ([b"data: x\n\rdata: y\n\n"], [("message", "x", ""), ("message", "y", "")]),
    "a byte order mark at the start": ([b"\xef\xbb\xbfdata: x\n\n"], [("message", "x", "")]),
    "two byte order marks": ([b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n"], [("message", "y", "")]),
    "a byte order mark inside": ([b"data: \xef\xbb\xbfx\n\n"], [("message", "\ufeffx", "")]),
    "a NUL in the data": ([b"data: x\0y\n\n"], [("message", "x\0y", "")]),
    "a byte that is not UTF-8": ([b"data: \xff\xe2\x82x\n\n"], [("message", "\ufffd\ufffdx", "")]),
    "line separators of Unicode": ([b"data: a\xe2\x80\xa8b\xc2\x85c\n\n"], [("message", "a\u2028b\x85c", "")]),
    "an id": ([b"id: 7\ndata: x\n\n"], [("message", "x", "7")]),
    "an id of ours": ([f"id: {LONG_ID}\ndata: x\n\n".encode()], [("message", "x", LONG_ID)]),
    "an id that stays for the events without one": (
        [b"id: 7\ndata: x\n\nevent: a\ndata: y\n\n"],
        [("message", "x", "7"), ("a", "y", "7")],
    ),
    "an id that is empty and takes the last one away": (
        [b"id: 7\ndata: x\n\nid\ndata: y\n\n"],
        [("message", "x", "7"), ("message", "y", "")],
    ),
    "an id with a NUL in it": (
        [b"id: 7\ndata: x\n\nid: 8\x009\ndata: y\n\n"],
        [("message", "x", "7"), ("message", "y", "7")],
    ),
    "an id without data, which counts all the same": ([b"id: 7\n\ndata: x\n\n"], [("message", "x", "7")]),
    "an event without its empty line": ([b"id: 7\ndata: x\n\nid: 8\ndata: y\n"], [("message", "x", "7")]),
    "an event without its line end": ([b"id: 7\ndata: x\n\nid: 8\ndata: y"], [("message", "x", "7")]),
    "a stream that ends with one line end too few": (
        [b"data: x\n\ndata: y\r\n\r"],
        [("message", "x", ""), ("message", "y", "")],
    ),
    "a delay with a unit": ([b"retry: 9s\ndata: x\n\n"], [("message", "x", "")]),
    "parts that end inside a character": (
        [b"data: \xf0", b"\x9f", b"\x8d", b"\xa3\xe4\xb8", b"\xbc\n\n"],
        [("message", "🍣丼", "")],
    ),
    "parts that end inside a CRLF": (
        [b"data: x\r", b"\ndata: y\r", b"\n\r", b"\ndata: z\r\n\r\n"],
        [("message", "x\ny", ""), ("message", "z", "")],
    ),
    "parts that end inside the byte order mark": ([b"\xef", b"\xbb", b"\xbfdata: x\n\n"], [("message", "x", "")]),
    "parts that end inside a name": ([b"da", b"ta: x\n", b"ev", b"ent: a\n", b"\n"], [("a", "x", "")]),
    "parts of one byte": (
        [bytes([byte]) for byte in b"id: 7\nevent: a\ndata: x\n\n"],
        [("a", "x", "7")],
    ),
}

# What random bodies are made of: every byte that means something, and the halves of some that do.
PIECES = (
    *(
        b"data",
        b"data:",
        b"data: ",
        b"event:",
        b"event: a",
        b"event: b",
        b"id",
        b"id:",
        b"id: 7",
        b"id: x.8",
        b":",
        b" ",
    ),
    *(b"\n", b"\n", b"\n\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\0", b"x", b"\t"),
    *(b"\xef\xbb\xbf", b"\xf0\x9f\x8d", b"\xa3", b"\xff"),
)


def random_body(chance: random.Random) -> list[bytes]:
    """Some pieces, in one to three parts that end anywhere."""
    body = b"".join(chance.choices(PIECES, k=chance.randint(1, 80))) + chance.choice([b"", b"\n", b"\n\n"])
    ends = sorted(chance.randint(0, len(body)) for _ in range(chance.randint(0, 2)))
    return [part for start, end in itertools.pairwise([0, *ends, len(body)]) if (part := body[start:end])]
