"""The form of every refusal: RFC 9457, with the field named twice."""

import httpx


def check_problem(answer: httpx.Response, status: int, field: str | None = None, kind: str | None = None) -> None:
    """A problem document with this status; it names this field (or none), and is of this kind when one is given."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"].startswith("/problems/")
    assert kind is None or body["type"] == f"/problems/{kind}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    if field is None:
        assert "errors" not in body
        return
    (error,) = body["errors"]
    assert error["field"] == field
    assert error["pointer"] == "#/" + field.replace("[", "/").replace("]", "").replace(".", "/")
    assert error["detail"]
