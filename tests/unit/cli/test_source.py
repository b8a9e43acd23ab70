"""What a file becomes when it is submitted."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.terminal.exits import Exit, Stop
from gateway.terminal.source import MAX_TITLE, find_title, read_body


def body_of(file: Path | str, *options: Any) -> dict[str, Any]:
    kind, language, session = (*options, None, None, None)[:3]
    decoded: dict[str, Any] = json.loads(read_body(str(file), kind, language, session))
    return decoded


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts text on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


def test_a_text_is_a_menu_with_plain_newlines_and_no_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "menu.txt"
    file.write_bytes("\ufeff丼物\r\n親子丼 ¥980\rカツ丼\n".encode())

    assert body_of(file) == {"kind": "menu", "target_language": "en", "text": "丼物\n親子丼 ¥980\nカツ丼\n"}


def test_a_prompt_takes_its_title_from_the_first_heading(tmp_path: Path) -> None:
    file = tmp_path / "support.md"
    file.write_text("intro\n\n## Answer a customer ##\n\n# Later\n")

    assert body_of(file, "prompt", "ja") == {
        "kind": "prompt",
        "target_language": "ja",
        "title": "Answer a customer",
        "content": "intro\n\n## Answer a customer ##\n\n# Later\n",
    }


@pytest.mark.parametrize(
    ("prompt", "file", "expected"),
    [
        ("no heading", "a/support.md", "support"),
        ("no heading", "-", "Prompt from standard input"),
        ("#hashtag is none", "tag.txt", "tag"),
        ("```\n# a comment in code\n```\n# The title", "x.md", "The title"),
        ("# " + "x" * 300, "x.md", "x" * MAX_TITLE),
    ],
)
def test_every_prompt_has_a_title(prompt: str, file: str, expected: str) -> None:
    assert find_title(prompt, file) == expected


def test_json_goes_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    content = '{ "kind":"menu",  "items":[{"name":"親子丼","unknown":1}] }\n'
    file.write_text(content, encoding="utf-8")

    assert read_body(str(file), "menu", None, None) == content.encode()


def test_options_add_what_json_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"kind":"menu","text":"soup"}')

    assert body_of(file, "menu", "fr", "s" * 26) == {
        "kind": "menu", "text": "soup", "target_language": "fr", "session_id": "s" * 26,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "named"),
    [(("prompt", None, None), "--kind"), ((None, "fr", None), "--target-language"), ((None, None, "x"), "--session")],
)
def test_options_must_not_contradict_json(options: tuple[Any, ...], named: str, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"kind":"menu","text":"soup","target_language":"en","session_id":"y"}')

    with pytest.raises(Stop, match=f"{named} .* does not agree") as caught:
        read_body(str(file), *options)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("text", "kind"), [('{"kind":"menu","text":"soup"}', "menu"), ("soup 3\n", "menu"), ("{soup of the day} 3", "menu")]
)
def test_standard_input_is_json_only_when_it_is_json(text: str, kind: str, typed: Any) -> None:
    typed(text)
    assert body_of("-")["kind"] == kind


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("menu.txt", b" \n\t\n", "is empty"),
        ("menu.txt", "caf\xe9 1".encode("latin-1"), "is not UTF-8"),
        ("job.json", b'{"kind":', "is not valid JSON"),
        ("job.json", b"[1]", "holds no submission"),
    ],
)
def test_a_file_that_can_be_no_job_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(Stop, match=said) as caught:
        read_body(str(file), None, None, None)
    assert caught.value.code is Exit.USAGE


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(Stop, match=r"nowhere\.txt can't be read: No such file"):
        read_body("nowhere.txt", None, None, None)
